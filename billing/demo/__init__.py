"""The main job on embedded parts: a fleet, a month, a chain, and the story of an invoice run.

Owns: the made-up fleet and its truth, exporter pages over HTTP, a local EVM node with a test token, the script.
Does not own: anything that a real installation runs; it uses the same application.
Invariants: the fleet's truth is known, so that what was metered can be compared with it; only a local node is ever asked
to send a transaction.
"""
