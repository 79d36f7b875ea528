"""What a token is worth, as a price feed on its own chain says.

Owns: feeds (Chainlink-style aggregators), their rounds, which round was in force at a block, and quotes: rates that payers are
promised for a while.
Does not own: the rule that names a feed (invoicing), what a transfer pays (reconciliation).
Invariants: a rate comes from a round that is complete, positive and fresh at the block, or there is none and a reason;
never zero, never a guess.
"""
