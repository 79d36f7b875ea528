"""From what sources saw to what is billable.

Owns: sources, readings, observations, exclusions, usage, conservation.
Does not own: prices (pricing), who may hold what (leasing), the inventory (fleet).
Invariants: one GPU, one moment, one payer; no sample is not zero; reading a window again changes nothing;
billed + excluded + disputed + idle + unattributed + missing + blind = the in-service time of every GPU.
Times inside are whole epoch seconds, samples are whole milliseconds; no float survives a decoder.
"""
