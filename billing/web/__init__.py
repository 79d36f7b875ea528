"""What is served over HTTP: the API, the tenant's invoice page, health, metrics.

Owns: routes, who may call which, problem details, pages, the answers already given to repeated writes.
Does not own: any rule about money, usage or chains (the concerns keep them); signals and sockets (daemon).
Invariants: every API route and every page behind sign-in names its roles or the application is not built; what changes
something comes with a key, or from a form of ours; a tenant never learns that another tenant's invoice exists; nothing is
loaded from a third party; no answer holds a traceback; a write that is repeated under its Idempotency-Key happens once; a page
says everything without JavaScript.
"""
