"""What others push: events, and the meters that count them.

Owns: CloudEvents as they arrive, their rows, declared meters, what meters come to.
Does not own: GPU time (metering), prices (pricing), who a subject is (tenants keeps the claims; events only reads them).
Invariants: an answer comes after the commit; one row for each (source, id), for ever; rows never change; a batch is stored
whole or not at all; what meters come to does not depend on the order in which events arrived; every digit is kept.
"""
