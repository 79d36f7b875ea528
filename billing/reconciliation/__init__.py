"""Payments meet invoices.

Owns: matching, valuation, allocation, payments and their disposition, exceptions (those about disputed usage too),
what is held because of its sender.
Does not own: who is on a list (compliance), how sure a chain is (chain), the chart of accounts (ledger),
invoice documents (invoicing).
Invariants: each incarnation of a transfer is booked once; what the books say about an invoice depends only on which
transfers stand, not on the order in which they came and went; nothing that came in is dropped.
"""
