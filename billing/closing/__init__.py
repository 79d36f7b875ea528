"""Closing the books of a month.

Owns: which months are closed, what keeps one open, and the files that were made of it then.
Does not own: the figures (ledger) and their formats (reports).
Invariants: nothing is booked into a closed month, which the database enforces; the bytes of its files never change.
"""
