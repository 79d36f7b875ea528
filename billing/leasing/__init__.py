"""Leases: which tenant holds which GPU from when to when.

Owns: leases; that nobody may hold what somebody else holds.
Does not own: what is billed of a lease (metering), what it costs (pricing).
Invariants: two leases never overlap on a GPU; a change names the span whose usage must be derived again.
"""
