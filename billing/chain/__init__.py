"""Following chains: which transfers touched watched addresses, in which blocks, how sure that is.

Owns: endpoints, the cursor, blocks, transfers and their state.
Does not own: what a transfer pays (reconciliation), which addresses there are (wallets).
Invariants: a log is (chain, block hash, log index), stored once; the cursor never passes a block that was not read;
what was seen in a block that is no longer on the chain is orphaned, and seen again when it comes back.
"""
