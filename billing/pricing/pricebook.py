"""The price book: a TOML file that says what is sold and what it costs from when on. Checked as a whole before use."""

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from billing.core.errors import Invalid
from billing.core.money import Asset, parse_rate
from billing.core.period import FOREVER, Span

UNIT_SIZE_MAX: Final = 10**15


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """A price of one device-hour (`unit_size` is 0), or of `unit_size` units of a meter."""

    price: Decimal
    unit_size: int = 0

    def __str__(self) -> str:
        if not self.unit_size:
            return f"{self.price:f} per hour"
        return f"{self.price:f} per " + ("unit" if self.unit_size == 1 else f"{self.unit_size} units")


class BookPrice(_Strict):
    """A flat price from a moment on, until the next one of its SKU: per device-hour, or of `unit_size` units of a meter."""

    start: datetime | date = Field(alias="from")
    per_hour: str | None = None
    per_unit: str | None = None
    unit_size: int = Field(default=0, ge=0, le=UNIT_SIZE_MAX, strict=True)

    @field_validator("start")
    @classmethod
    def _in_utc(cls, value: datetime | date) -> datetime:
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if value.tzinfo is None:
            raise ValueError("needs an offset from UTC (append Z)")
        if value.microsecond:
            raise ValueError("must be a whole second")
        return value.astimezone(UTC)

    @field_validator("per_hour", "per_unit")
    @classmethod
    def _exact(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if len(value) > 36:
            raise ValueError("has too many digits")
        try:
            parse_rate(value)
        except Invalid as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def at(self) -> datetime:
        assert isinstance(self.start, datetime)
        return self.start

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.per_hour is None) == (self.per_unit is None):
            raise ValueError("give per_hour, or per_unit")
        if self.per_unit is None and self.unit_size:
            raise ValueError("unit_size goes with per_unit")
        return self

    @property
    def rate(self) -> Rate:
        if self.per_unit is not None:
            return Rate(Decimal(self.per_unit), self.unit_size or 1)
        assert self.per_hour is not None
        return Rate(Decimal(self.per_hour))


class BookSku(_Strict):
    """What is sold: devices of these models, whole, or as one MIG profile or share (1of4); or what a meter counts."""

    code: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    models: list[str] = Field(default_factory=list)
    profile: str = ""
    meter: str = Field(default="", max_length=41)
    price: list[BookPrice] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if bool(self.models) == bool(self.meter):
            raise ValueError("name models, or a meter")
        if self.meter and self.profile:
            raise ValueError("a profile goes with models")
        wrong = "per_hour" if self.meter else "per_unit"
        if any(getattr(price, wrong) is not None for price in self.price):
            raise ValueError("a meter is priced per_unit" if self.meter else "devices are priced per_hour")
        return self

    def spans(self) -> list[tuple[Span, Rate]]:
        """Each price with the span in which it holds."""
        ends = [price.at for price in self.price[1:]] + [FOREVER]
        return [(Span(price.at, end), price.rate) for price, end in zip(self.price, ends, strict=True)]


class PriceBook(_Strict):
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    exponent: int = Field(default=2, ge=0, le=4)
    sku: list[BookSku] = Field(min_length=1)

    @property
    def asset(self) -> Asset:
        return Asset(self.currency, self.exponent)


def parse(content: str) -> PriceBook:
    """Read a price book. Raises Invalid with every mistake on one line."""
    try:
        book = PriceBook.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the price book is no TOML: {error}") from None
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise Invalid(f"the price book is wrong: {'; '.join(mistakes[:5])}") from None
    seen: dict[tuple[str, str], str] = {}
    meters: dict[str, str] = {}
    codes: set[str] = set()
    for sku in book.sku:
        if sku.code in codes:
            raise Invalid(f"the price book lists {sku.code} twice")
        codes.add(sku.code)
        for earlier, later in pairwise(sku.price):
            if earlier.at >= later.at:
                raise Invalid(f"prices of {sku.code} are not in order at {later.at.isoformat()}", remedy="oldest first")
        for model in sku.models:
            other = seen.setdefault((model, sku.profile), sku.code)
            if other != sku.code:
                raise Invalid(f"{model} {sku.profile}".strip() + f" belongs to both {other} and {sku.code}")
        if sku.meter:
            other = meters.setdefault(sku.meter, sku.code)
            if other != sku.code:
                raise Invalid(f"the meter {sku.meter} belongs to both {other} and {sku.code}")
    return book


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
