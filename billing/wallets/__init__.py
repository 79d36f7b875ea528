"""Addresses that somebody can be paid at, without a key on this machine.

Owns: the forwarder's code and addresses, HD addresses from an extended public key, wallet generations, pins.
Does not own: what was paid (chain), which invoice an address is for (invoicing writes it), sweeping.
Invariants: nothing here can sign; an address that was given out stays known for ever.
"""
