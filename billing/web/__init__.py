"""What is served over HTTP: the API, the tenant's invoice page, health, metrics.

Owns: routes, who may call which, problem details, pages, the answers already given to repeated writes.
Does not own: any rule about money, usage or chains (the concerns keep them); signals and sockets (daemon).
Invariants: every API route names its roles or the application is not built; a tenant's key never learns that another
tenant's invoice exists; a page behind sign-in names its rule too, and what it changes comes from a form of ours; nothing
is loaded from a third party; no answer holds a traceback; a write that is repeated
under its Idempotency-Key happens once; a page says everything without JavaScript.
"""
