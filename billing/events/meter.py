"""A declared meter: which events count, where in them the value is, and how values become one quantity. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from billing.core import quantity
from billing.core.errors import Invalid
from billing.core.period import Span

BUILT_IN: Final = "gpu_seconds"
"""The meter that no event feeds."""

_WHOLE_MAX: Final = 10**quantity.WHOLE_DIGITS_MAX
_INDEX: Final = re.compile(r"-?[0-9]+")


class Aggregation(StrEnum):
    """`sum` and `count` take every event. `max` and `latest` take one event for each subject, and subjects add up."""

    SUM = "sum"
    COUNT = "count"
    MAX = "max"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Meter:
    """`path` leads from an event's data to its value; of a `count` it is empty and not looked at."""

    name: str
    event_type: str
    path: tuple[str, ...]
    aggregation: Aggregation
    unit: str

    def value_of(self, data: Any) -> Decimal:
        """The value that an event's data states. Raises Invalid when there is none, or it is no quantity."""
        if self.aggregation is Aggregation.COUNT:
            return Decimal(1)
        for step in self.path:
            data = _inside(data, step)
        if type(data) is int and 0 <= data < _WHOLE_MAX:
            return Decimal(data)
        if isinstance(data, bool) or not isinstance(data, str | int | Decimal):
            raise Invalid(f"the meter {self.name} finds no value at {pointer(self.path)} of the data")
        try:
            return quantity.parse(data if isinstance(data, str) else quantity.plain(Decimal(data)))
        except Invalid as error:
            raise Invalid(f"the meter {self.name}: {error.what}", remedy=error.remedy) from None


@dataclass(frozen=True, slots=True)
class Total:
    """What a meter comes to for a tenant, in one of the spans asked for; `span` is None for what lies in none of them."""

    tenant_id: int
    meter: str
    span: Span | None
    quantity: Decimal
    events: int
    digest: str
    first: datetime


def _inside(data: Any, step: str) -> Any:
    if isinstance(data, dict):
        return data.get(step)
    if isinstance(data, list) and _INDEX.fullmatch(step) and int(step) < len(data):
        return data[int(step)]
    return None


def digest_of_hours(rows: Sequence[Mapping[str, Any]]) -> str:
    """The digest that an invoice line carries, over its hours: SHA-256 of `epoch digest` lines."""
    return hashlib.sha256("\n".join(f"{row['epoch']} {row['digest']}" for row in rows).encode()).hexdigest()


def parse_path(text: str) -> tuple[str, ...]:
    """`/usage/tokens` (a JSON pointer) or `$.usage.tokens`; `$` or nothing is the data itself. Raises Invalid."""
    if text in ("", "$"):
        return ()
    if text.startswith("$."):
        steps = text[2:].split(".")
        plain = all(re.fullmatch(r"[A-Za-z0-9_-]+", step) for step in steps)
    else:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")]
        plain = text.startswith("/") and all(steps) and not re.search(r"~(?![01])", text) and text.isprintable()
    if not plain or any(step.startswith("-") and _INDEX.fullmatch(step) for step in steps):
        raise Invalid(f"{text[:80]!r} is no path to a value", remedy="write /usage/tokens or $.usage.tokens")
    return tuple(steps)


def pointer(path: tuple[str, ...]) -> str:
    """A path as people read it."""
    return ".".join(("$", *path))
