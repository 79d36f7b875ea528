"""Tenants: who is billed, which labels mean them, who may call the API.

Owns: tenants, label claims, API keys.
Does not own: leases (leasing), balances (ledger, invoicing).
Invariants: one label means one tenant at a moment; a key is stored only as its digest.
"""
