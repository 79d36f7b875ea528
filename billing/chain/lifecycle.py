"""How sure a chain is of a transfer. What was done with it is another matter (reconciliation)."""

from enum import StrEnum
from typing import Final

from billing.core.machine import Machine


class ChainState(StrEnum):
    SEEN = "seen"
    CONFIRMED = "confirmed"
    FINAL = "final"
    ORPHANED = "orphaned"


class ChainEvent(StrEnum):
    CONFIRM = "confirm"
    FINALISE = "finalise"
    ORPHAN = "orphan"
    REAPPEAR = "reappear"


S, E = ChainState, ChainEvent

TRANSFER: Final = Machine(
    "transfer",
    S.SEEN,
    {
        (S.SEEN, E.CONFIRM): S.CONFIRMED,
        (S.CONFIRMED, E.FINALISE): S.FINAL,
        (S.SEEN, E.ORPHAN): S.ORPHANED,
        (S.CONFIRMED, E.ORPHAN): S.ORPHANED,
        (S.FINAL, E.ORPHAN): S.ORPHANED,  # only when a person rewinds the chain
        (S.ORPHANED, E.REAPPEAR): S.SEEN,  # a new incarnation
    },
)
