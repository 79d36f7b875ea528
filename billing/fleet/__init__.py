"""The inventory: which physical GPUs are in service, where, and which devices (whole or MIG) they are used as.

Owns: GPUs, devices, seats.
Does not own: who holds a device (leasing), what was seen of it (metering).
Invariants: a GPU has 840 slots, `[840 id, 840 (id + 1))`; a device's seat lies inside them and never changes.
"""
