"""Column types: exact units, half-open spans, seats, UTC times. Python on one side, PostgreSQL on the other."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY, INT8RANGE, JSONB, TSTZRANGE, Range
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

from billing.core.clock import as_utc
from billing.core.period import Span
from billing.core.quantity import plain


class Units(TypeDecorator[int]):
    """A whole number of smallest units, as NUMERIC(78,0): every uint256 fits, nothing is rounded."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        assert type(value) is int, "units are int"
        return Decimal(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class SpanColumn(TypeDecorator[Span]):
    """A `Span` as TSTZRANGE `[start, end)`. Both ends are always set; no end yet is the year 9999."""

    impl = TSTZRANGE
    cache_ok = True

    def process_bind_param(self, value: Span | None, dialect: Dialect) -> Range[datetime] | None:
        return None if value is None else Range(value.start, value.end, bounds="[)")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Span | None:
        return None if value is None else Span(value.lower, value.upper)


class SeatColumn(TypeDecorator[tuple[int, int]]):
    """The part of a physical GPU that a device is: a half-open range of slots, as INT8RANGE."""

    impl = INT8RANGE
    cache_ok = True

    def process_bind_param(self, value: tuple[int, int] | None, dialect: Dialect) -> Range[int] | None:
        return None if value is None else Range(value[0], value[1], bounds="[)")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> tuple[int, int] | None:
        return None if value is None else (value.lower, value.upper)


class UtcTime(TypeDecorator[datetime]):
    """TIMESTAMPTZ, always aware and in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else as_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else as_utc(value)


class Texts(TypeDecorator[list[str]]):
    """TEXT[]."""

    impl = ARRAY(Text)
    cache_ok = True

    def process_result_value(self, value: Sequence[str] | None, dialect: Dialect) -> list[str] | None:
        return None if value is None else list(value)


class Json(TypeDecorator[Any]):
    """JSONB. Money in it is text, as everywhere."""

    impl = JSONB
    cache_ok = True


class JsonOrNone(TypeDecorator[Any]):
    """JSONB in which None is no value, not the JSON word null."""

    impl = JSONB(none_as_null=True)
    cache_ok = True


class Price(TypeDecorator[Decimal]):
    """An exact decimal price or rate."""

    impl = Numeric(38, 18)
    cache_ok = True

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else value.normalize() + 0


class Quantity(TypeDecorator[Decimal]):
    """An exact quantity of a meter: sums of what events may state fit, nothing is rounded."""

    impl = Numeric(78, 18)
    cache_ok = True

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(plain(value))


def key() -> Any:
    """The identity column that every table has."""
    return Field(default=None, primary_key=True, sa_type=BigInteger)


def ref(to: str, *, index: bool = False) -> Any:
    """A required foreign key."""
    return Field(foreign_key=to, sa_type=BigInteger, index=index)


def ref_or_none(to: str, *, index: bool = False) -> Any:
    """An optional foreign key."""
    return Field(default=None, foreign_key=to, sa_type=BigInteger, nullable=True, index=index)
