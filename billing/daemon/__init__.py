"""The daemon: a few processes that wake up and do what is due.

Owns: the job table, the tick wrapper, the worker process, order of start and stop.
Does not own: what a job does (each concern's -er), pages (web).
Invariants: due work is derived from the database, so a missed tick loses nothing; a bug in a job stops the daemon with a
non-zero exit; operating errors are counted and tried again; one holder a role.
"""
