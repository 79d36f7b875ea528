"""What was done with a transfer. How sure its chain is of it is another matter (chain)."""

from enum import StrEnum
from typing import Final

from billing.core.machine import Machine


class Disposition(StrEnum):
    UNMATCHED = "unmatched"
    MATCHED = "matched"
    BOOKED = "booked"
    SUSPENDED = "suspended"
    RESOLVED = "resolved"
    HELD = "held"
    RELEASED = "released"
    REVERSED = "reversed"


class DispositionEvent(StrEnum):
    MATCH = "match"
    BOOK = "book"
    SUSPEND = "suspend"
    RESOLVE = "resolve"
    HOLD = "hold"
    RELEASE = "release"
    REVERSE = "reverse"


S, E = Disposition, DispositionEvent

PAYMENT: Final = Machine(
    "payment",
    S.UNMATCHED,
    {
        (S.UNMATCHED, E.MATCH): S.MATCHED,  # it pays an invoice
        (S.UNMATCHED, E.BOOK): S.BOOKED,  # it pays nothing: a flush, or the treasury's own movement
        (S.UNMATCHED, E.SUSPEND): S.SUSPENDED,  # a person must say what it is
        (S.SUSPENDED, E.RESOLVE): S.RESOLVED,
        (S.UNMATCHED, E.HOLD): S.HELD,  # its sender is on a list
        (S.HELD, E.RELEASE): S.RELEASED,  # a person let it through; it is about to be matched
        (S.RELEASED, E.MATCH): S.MATCHED,
        (S.RELEASED, E.SUSPEND): S.SUSPENDED,
        (S.MATCHED, E.REVERSE): S.REVERSED,  # its block is no longer on the chain
        (S.BOOKED, E.REVERSE): S.REVERSED,
        (S.SUSPENDED, E.REVERSE): S.REVERSED,
        (S.RESOLVED, E.REVERSE): S.REVERSED,
        (S.HELD, E.REVERSE): S.REVERSED,
        (S.RELEASED, E.REVERSE): S.REVERSED,
    },
)
