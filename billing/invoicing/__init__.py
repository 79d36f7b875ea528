"""Invoices: drafted from rated usage, issued as documents that nobody can change.

Owns: drafts, numbers, documents and their verification, the archive, invoice status, tenants' credit.
Does not own: prices (pricing), addresses (wallets), payments (reconciliation).
Invariants: numbers have no gap; an issued document is never changed; it is in the archive before it is in the
database; lines add up to the total to the last unit; amount due is total less credits.
"""
