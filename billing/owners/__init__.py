"""Owners: who owns which GPU when, what their GPUs earned, and what of it they were paid.

Owns: owners, dated shares of GPUs and fees, the splitting of collected money, settlements, payees, payout plans.
Does not own: charges (pricing), what was collected (reconciliation, invoicing), entries (ledger), sending (nobody).
Invariants: shares of a GPU are never more than all of it; what is split sums to what was collected to the last unit; a
settlement books the difference between the present truth and what was booked before, never on a day that is closed; an
address of a payee was confirmed by somebody else than who proposed it.
"""
