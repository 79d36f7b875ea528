"""What the program says about itself: metrics and logs.

Owns: every metric's name and help, the log format, redaction.
Does not own: what is counted (the daemon and web call in), health (web).
Invariants: every metric is documented in the README; no secret is ever written to a log.
"""
