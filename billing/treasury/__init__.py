"""Plans that bring money to the treasury. A plan is calldata for signers; nothing is signed or sent from here.

Owns: what is worth flushing, batches, gas estimates, Safe files and their check against the pin.
Does not own: addresses and calldata (wallets), what came in (chain), who may not be swept (reconciliation's dispositions).
Invariants: a plan names only addresses that were given out, only final money that is still there, and its transactions can
only reach a factory whose money goes to its treasury.
"""
