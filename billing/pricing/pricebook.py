"""The price book: a TOML file that says what is sold and what it costs from when on. Checked as a whole before use."""

import hashlib
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from billing.core.errors import Invalid
from billing.core.money import Asset, parse_rate
from billing.core.period import FOREVER, Span


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BookPrice(_Strict):
    """A flat price per device-hour from a moment on, until the next one of its SKU."""

    start: datetime | date = Field(alias="from")
    per_hour: str

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

    @field_validator("per_hour")
    @classmethod
    def _exact(cls, value: str) -> str:
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

    @property
    def rate(self) -> Decimal:
        return Decimal(self.per_hour)


class BookSku(_Strict):
    """What is sold: devices of these models, whole or as one MIG profile."""

    code: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    models: list[str] = Field(min_length=1)
    profile: str = ""
    price: list[BookPrice] = Field(min_length=1)

    def spans(self) -> list[tuple[Span, Decimal]]:
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
    return book


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
