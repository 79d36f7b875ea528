"""Proof that what was metered, invoiced, paid on chain and booked is the same money.

Owns: the list of invariants that runs across concerns; the doctor, which checks the surroundings.
Does not own: any figure; it only reads and compares (but for the treasury's opening balance, which it books once).
Invariants: a check returns findings, one line each; no finding is ever dropped.
"""
