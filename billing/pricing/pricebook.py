"""The price book: a TOML file that says what is sold and what it costs from when on. Checked as a whole before use."""

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from billing.core.errors import Invalid
from billing.core.money import Asset, parse_rate, parse_units
from billing.core.period import FOREVER, HOUR, Span, rfc3339
from billing.pricing.agreement import Agreement, AgreementKind
from billing.pricing.tariff import Model, Tariff, Tier

UNIT_SIZE_MAX: Final = 10**15
TIERS_MAX: Final = 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _in_utc(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise ValueError("write a date, or a time with its offset from UTC, without quotes")  # noqa: TRY004
    if value.tzinfo is None:
        raise ValueError("needs an offset from UTC (append Z)")
    if value.microsecond:
        raise ValueError("must be a whole second")
    return value.astimezone(UTC)


def _exact(value: object) -> object:
    if isinstance(value, str):
        if len(value) > 36:
            raise ValueError("has too many digits")
        try:
            parse_rate(value)
        except Invalid as error:
            raise ValueError(str(error)) from None
    return value


Moment = Annotated[datetime, BeforeValidator(_in_utc)]
Price = Annotated[str, BeforeValidator(_exact)]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
Title = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Size = Annotated[int, Field(ge=1, le=UNIT_SIZE_MAX, strict=True)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class BookTier(_Strict):
    """Hours, or units of a meter, up to `up_to`; the last tier has no end."""

    up_to: Size | None = None
    per_hour: Price | None = None
    per_unit: Price | None = None


class BookPackage(_Strict):
    """So many hours, or units of a meter, for one price; a package that was begun costs whole."""

    hours: Size | None = None
    units: Size | None = None
    price: Price


class BookPrice(_Strict):
    """A price from a moment on, until the next one of its SKU, or until its own end."""

    at: Moment = Field(alias="from")
    until: Moment | None = None
    per_hour: Price | None = None
    per_unit: Price | None = None
    unit_size: Annotated[int, Field(ge=0, le=UNIT_SIZE_MAX, strict=True)] = 0
    graduated: list[BookTier] = Field(default_factory=list, max_length=TIERS_MAX)
    volume: list[BookTier] = Field(default_factory=list, max_length=TIERS_MAX)
    package: BookPackage | None = None
    spot: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = (self.per_hour, self.per_unit, self.graduated or None, self.volume or None, self.package, self.spot)
        if sum(one is not None for one in kinds) != 1:
            raise ValueError("give per_hour, or per_unit, or one of graduated, volume, package and spot")
        if self.is_time is not False and self.unit_size:
            raise ValueError("unit_size goes with per_unit")
        if self.package is not None and (self.package.hours is None) == (self.package.units is None):
            raise ValueError("a package has hours, or units")
        _require_tiers(self.graduated or self.volume)
        if self.until is not None and self.until <= self.at:
            raise ValueError("until must be later than from")
        return self

    @property
    def is_time(self) -> bool | None:
        """A price of hours, or of a meter's units; None for spot, which says neither."""
        if self.spot is not None:
            return None
        if self.package is not None:
            return self.package.hours is not None
        tiers = self.graduated or self.volume
        return tiers[0].per_hour is not None if tiers else self.per_hour is not None

    def tariff(self) -> Tariff:
        size = HOUR if self.is_time is not False else self.unit_size or 1
        if self.spot is not None:
            return Tariff(Model.SPOT, (), HOUR, True)
        if self.package is not None:
            held = self.package.hours * HOUR if self.package.hours else self.package.units or 0
            return Tariff(Model.PACKAGE, (Tier(Decimal(self.package.price)),), held, self.package.hours is not None)
        if tiers := self.graduated or self.volume:
            factor = HOUR if self.is_time else 1
            found = tuple(
                Tier(Decimal(one.per_hour or one.per_unit or "0"), None if one.up_to is None else one.up_to * factor)
                for one in tiers
            )
            return Tariff(Model.GRADUATED if self.graduated else Model.VOLUME, found, size, bool(self.is_time))
        if self.per_unit is not None:
            return Tariff.flat(self.per_unit, size)
        return Tariff.flat(self.per_hour or "0")


def _require_tiers(tiers: Sequence[BookTier]) -> None:
    """Tiers go up without a gap, the last one has no end, and no two have one price: a line is told by its price."""
    if not tiers:
        return
    if any((one.per_hour is None) == (one.per_unit is None) for one in tiers):
        raise ValueError("each tier has per_hour, or per_unit")
    if len({one.per_hour is None for one in tiers}) > 1:
        raise ValueError("tiers are all per_hour, or all per_unit")
    if tiers[-1].up_to is not None or any(one.up_to is None for one in tiers[:-1]):
        raise ValueError("every tier but the last has up_to, the last has none: nothing may lie above or between")
    limits = [one.up_to or 0 for one in tiers[:-1]]
    if any(a >= b for a, b in pairwise(limits)):
        raise ValueError("tiers must rise: the same or a lower up_to would overlap")
    prices = [Decimal(one.per_hour or one.per_unit or "0") for one in tiers]
    if len(set(prices)) != len(prices):
        raise ValueError("two tiers have one price; a line is told by its price, so make it one tier")


class BookSku(_Strict):
    """What is sold: devices of these models, whole, or as one MIG profile or share (1of4); or what a meter counts."""

    code: Code
    title: Annotated[str, Field(min_length=1, max_length=200)]
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
        _require_unit(self.price, is_meter=bool(self.meter))
        return self


def _require_unit(prices: Iterable[BookPrice], *, is_meter: bool) -> None:
    for price in prices:
        if is_meter and price.spot:
            raise ValueError("spot rates are of devices, not of a meter")
        if price.is_time is is_meter:
            raise ValueError("a meter is priced per_unit" if is_meter else "devices are priced per_hour")


class BookOverride(_Strict):
    """What one tenant pays for a SKU instead of the list price; of a reseller: what each of its customers' usage costs it."""

    tenant: Slug
    sku: Code
    price: list[BookPrice] = Field(min_length=1)


class BookAgreement(_Strict):
    """A fee, a minimum or a discount of one payer, or (discounts only) of everybody."""

    code: Code
    title: Title
    tenant: Slug | None = None
    skus: list[Code] = Field(default_factory=list, max_length=200)
    amount: Price | None = None
    percent: Price | None = None
    prorate: bool = True
    at: Moment = Field(alias="from")
    until: Moment | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.amount is None) == (self.percent is None):
            raise ValueError("give amount, or percent")
        if self.percent is not None and not 0 < Decimal(self.percent) <= 100:
            raise ValueError("percent is more than 0 and at most 100")
        if self.until is not None and self.until <= self.at:
            raise ValueError("until must be later than from")
        return self


class PriceBook(_Strict):
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    exponent: int = Field(default=2, ge=0, le=4)
    sku: list[BookSku] = Field(min_length=1)
    override: list[BookOverride] = Field(default_factory=list, max_length=20_000)
    fee: list[BookAgreement] = Field(default_factory=list, max_length=20_000)
    minimum: list[BookAgreement] = Field(default_factory=list, max_length=20_000)
    discount: list[BookAgreement] = Field(default_factory=list, max_length=20_000)

    @property
    def asset(self) -> Asset:
        return Asset(self.currency, self.exponent)

    def terms(self) -> list["BookTerm"]:
        """Every price with the span in which it holds: of the list, and of tenants."""
        found = [BookTerm(sku.code, "", span, tariff) for sku in self.sku for span, tariff in _spans(sku.price)]
        for one in self.override:
            found += [BookTerm(one.sku, one.tenant, span, tariff) for span, tariff in _spans(one.price)]
        return found

    def agreements(self) -> list[tuple[Agreement, str]]:
        """Fees, minimums and discounts, each with the slug of its tenant; empty is everybody."""
        return [
            (_agreement(kind, one, self.asset), one.tenant or "")
            for kind, own in self._kinds()
            for one in own
        ]  # fmt: skip

    def _kinds(self) -> list[tuple[AgreementKind, list[BookAgreement]]]:
        return [
            (AgreementKind.FEE, self.fee),
            (AgreementKind.MINIMUM, self.minimum),
            (AgreementKind.DISCOUNT, self.discount),
        ]


@dataclass(frozen=True, slots=True, order=True)
class BookTerm:
    """`tenant` is empty for the list price."""

    sku: str
    tenant: str
    span: Span
    tariff: Tariff


def _spans(prices: Sequence[BookPrice]) -> list[tuple[Span, Tariff]]:
    ends = [price.at for price in prices[1:]] + [FOREVER]
    return [
        (Span(price.at, price.until or end), price.tariff()) for price, end in zip(prices, ends, strict=True)
    ]  # fmt: skip


def _agreement(kind: AgreementKind, one: BookAgreement, currency: Asset) -> Agreement:
    amount = None if one.amount is None else parse_units(one.amount, currency).units
    percent = None if one.percent is None else Decimal(one.percent)
    span = Span(one.at, one.until or FOREVER)
    return Agreement(kind, one.code, one.title, None, frozenset(one.skus), amount, percent, span, one.prorate)


def parse(content: str) -> PriceBook:
    """Read a price book. Raises Invalid with every mistake on one line."""
    try:
        book = PriceBook.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the price book is no TOML: {error}") from None
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise Invalid(f"the price book is wrong: {'; '.join(mistakes[:5])}") from None
    _require_distinct(book)
    _require_dates(book)
    _require_scopes(book)
    return book


def _require_distinct(book: PriceBook) -> None:
    seen: dict[tuple[str, str], str] = {}
    meters: dict[str, str] = {}
    codes: set[str] = set()
    for code in (*(sku.code for sku in book.sku), *(one.code for _, own in book._kinds() for one in own)):
        if code in codes:
            raise Invalid(f"the price book lists {code} twice")
        codes.add(code)
    for sku in book.sku:
        for model in sku.models:
            other = seen.setdefault((model, sku.profile), sku.code)
            if other != sku.code:
                raise Invalid(f"{model} {sku.profile}".strip() + f" belongs to both {other} and {sku.code}")
        if sku.meter:
            other = meters.setdefault(sku.meter, sku.code)
            if other != sku.code:
                raise Invalid(f"the meter {sku.meter} belongs to both {other} and {sku.code}")


def _require_dates(book: PriceBook) -> None:
    """Prices come in order and do not overlap; list prices have no gap, for what is used in it could not be billed."""
    own: set[tuple[str, str]] = set()
    for name, prices, gaps in (
        *((sku.code, sku.price, False) for sku in book.sku),
        *((f"{one.sku} for {one.tenant}", one.price, True) for one in book.override),
    ):
        for earlier, later in pairwise(prices):
            if earlier.at >= later.at:
                raise Invalid(f"prices of {name} are not in order at {later.at.isoformat()}", remedy="oldest first")
            if earlier.until is not None and earlier.until > later.at:
                raise Invalid(f"prices of {name} overlap from {rfc3339(later.at)} to {rfc3339(earlier.until)}")
            if earlier.until is not None and earlier.until < later.at and not gaps:
                raise Invalid(f"prices of {name} have a gap from {rfc3339(earlier.until)} to {rfc3339(later.at)}")
    for one in book.override:
        if (one.tenant, one.sku) in own:
            raise Invalid(f"{one.tenant} has two overrides of {one.sku}", remedy="put their prices into one")
        own.add((one.tenant, one.sku))


def _require_scopes(book: PriceBook) -> None:
    """Overrides, fees, minimums and discounts name what there is, in the currency's own decimals."""
    skus = {sku.code: bool(sku.meter) for sku in book.sku}
    for one in book.override:
        if one.sku not in skus:
            raise Invalid(f"the override of {one.tenant} names {one.sku}, which the price book does not sell")
        try:
            _require_unit(one.price, is_meter=skus[one.sku])
        except ValueError as error:
            raise Invalid(f"the override of {one.sku} for {one.tenant}: {error}") from None
    known = {*skus, *(one.code for one in book.fee)}
    for kind, own in book._kinds():
        for agreement in own:
            _require_scope(kind, agreement, known)
            if agreement.amount is not None:
                parse_units(agreement.amount, book.asset)
    for term in book.terms():
        if term.tariff.model is Model.PACKAGE:
            parse_units(format(term.tariff.tiers[0].price, "f"), book.asset)  # whole packages are never rounded


def _require_scope(kind: AgreementKind, one: BookAgreement, known: set[str]) -> None:
    if kind is not AgreementKind.DISCOUNT and one.tenant is None:
        raise Invalid(f"the {kind} {one.code} needs a tenant")
    if kind is not AgreementKind.DISCOUNT and one.percent is not None:
        raise Invalid(f"the {kind} {one.code} needs an amount, not a percentage")
    if kind is AgreementKind.FEE and one.skus:
        raise Invalid(f"the fee {one.code} is of no SKU", remedy="leave skus out")
    for code in one.skus:
        if code not in known:
            raise Invalid(f"{one.code} names {code}, which the price book does not sell")


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
