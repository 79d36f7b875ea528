"""Who may pay, and who may hold what.

Owns: lists of sanctioned addresses and their versions, what a sender's screening said, KYC, attestations, and the rules of
controlled GPUs.
Does not own: money that is held (reconciliation), tenants and GPUs, who holds what (leasing), chains: others ask them.
Invariants: a list that cannot be read or is old is an alarm, and its last good version still counts; who could not be screened is
not clear; what was stated of somebody is never rewritten, only ended with a reason.
"""
