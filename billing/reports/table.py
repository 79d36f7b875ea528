"""A report as every format sees it: named, typed columns, and rows that come one after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """`text`, a `whole` number, an `amount` as decimal text, a `time`, a `day`."""

    TEXT = "text"
    WHOLE = "whole"
    AMOUNT = "amount"
    TIME = "time"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Column:
    """`of` names the column that says what an amount is an amount of: only like amounts are added up."""

    name: str
    kind: Kind = Kind.TEXT
    of: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`span` says in words what the rows are of: `2026-10`, or a day. `rows` may be read once."""

    name: str
    span: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[object]]

    @property
    def header(self) -> list[str]:
        return [column.name for column in self.columns]
