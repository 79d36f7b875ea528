"""What monitors are told of the state: gauges, read when they are asked for.

Owns: how each gauge of `telemetry.metrics` is read, from the database and from the disks.
Does not own: counters (the processes count), names and help (telemetry), what is an alarm (config/prometheus).
Invariants: reading changes nothing; every gauge is read; amounts are whole units of a currency, for curves and never for books.
"""
