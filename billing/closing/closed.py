"""A closed month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it was made at the close."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Closed:
    """`carried` are the questions that were open: (kind, subject, detail). Without `files` the close was not finished."""

    id: int
    period: str
    closed_at: datetime
    closed_by: str
    carried: Sequence[Sequence[str]]
    files: tuple[KeptFile, ...]
