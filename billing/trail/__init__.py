"""The audit trail: who did what, to what, and why.

Owns: the append-only list of decisions that people and the daemon took.
Does not own: logs (how it went) and the ledger (what it was worth).
Invariants: a row is never changed or removed; the database refuses it.
"""
