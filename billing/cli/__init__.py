"""The command line: one file per noun. Heavy imports stay inside the commands, so that --help answers at once.

Owns: arguments, tables, exit codes (0 done, 1 failed, 2 wrong use).
Does not own: what a command does: each calls one use case.
Invariants: an expected error is one line on standard error; every listing takes --json.
"""
