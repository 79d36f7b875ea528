"""Tells others what happened: webhooks, at least once.

Owns: the outbox, its deliveries, when they are tried again, and the signatures.
Does not own: what is worth telling (invoicing, reconciliation), nor what a tenant owes.
Invariants: a notice is written in the transaction of what it tells, so neither is ever without the other; its bytes never
change; it is sent outside of any transaction, and an attempt that a crash cut off counts as one that failed.
"""
