"""The books: double entry, append only, balanced per asset.

Owns: accounts, entries, postings, balances, the trial balance.
Does not own: when to book what (invoicing, reconciliation).
Invariants: an entry balances in every asset, which the database checks at commit; nothing is changed, only reversed;
assets meet only in `conversion`.
"""
