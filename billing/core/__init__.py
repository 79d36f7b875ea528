"""Values and rules that every concern shares.

Owns: money, time spans, addresses and hashes, the clock, lifecycle tables, the error tree.
Does not own: anything with a database, a network, a setting or a metric.
Invariants: no float, no naive time, nothing here reads the clock by itself; `keccak` has the only third-party import.
"""
