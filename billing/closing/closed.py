"""A closed month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Needed(StrEnum):
    """What must hold before a month is closed."""

    OVER = "over"
    ORDER = "order"
    USAGE = "usage"
    TRANSFERS = "transfers"
    CHAINS = "chains"


@dataclass(frozen=True, slots=True)
class Condition:
    """`lacks` says what is missing, in words; empty: it holds."""

    needed: Needed
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it was made at the close."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FrozenUsage:
    """What was charged for a month's usage when its books were closed: the charges up to the row `until`, how many, and a digest
    of them and of what stands behind each. What is charged later for that month is an adjustment."""

    until: int
    charges: int
    digest: str


@dataclass(frozen=True, slots=True)
class Closed:
    """`carried` are the questions that were open: (kind, subject, detail). Without `files` the close was not finished. `usage`
    is None for a month that was closed before usage was frozen."""

    id: int
    period: str
    closed_at: datetime
    closed_by: str
    carried: Sequence[Sequence[str]]
    files: tuple[KeptFile, ...]
    usage: FrozenUsage | None
