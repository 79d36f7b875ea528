"""What a price is: flat, by tiers, by whole packages, or by spot rates. Pure: from a quantity to its parts and what they cost.

Quantities are whole seconds of devices, or units of a meter. `size` says how many of them a price is of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from billing.core.money import Asset, ceil_div, half_even
from billing.core.period import HOUR
from billing.core.quantity import less, plain


class Model(StrEnum):
    """`graduated`: each tier's quantity at its own price. `volume`: everything at the price of the tier that the whole
    quantity reaches. `package`: whole packages, a started one in full. `spot`: rates that come later, hour by hour."""

    FLAT = "flat"
    GRADUATED = "graduated"
    VOLUME = "volume"
    PACKAGE = "package"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of what is over the tier before, up to and including `up_to`; None is without an end."""

    price: Decimal
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Tariff:
    """`size` is how many seconds or units the prices are of: 3600, a meter's `unit_size`, or a package. Spot has no tiers."""

    model: Model
    tiers: tuple[Tier, ...]
    size: int = HOUR
    is_time: bool = True

    @classmethod
    def flat(cls, price: Decimal | str, unit_size: int = 0) -> "Tariff":
        """A price of one device-hour, or of `unit_size` units of a meter."""
        return cls(Model.FLAT, (Tier(Decimal(price)),), unit_size or HOUR, not unit_size)

    @property
    def placeholder(self) -> Decimal:
        """The unit price where there is one for everything; zero where it depends on the quantity."""
        return self.tiers[0].price if self.model is Model.FLAT else Decimal(0)

    @property
    def package(self) -> int:
        """How much a package holds; 0 when nothing is sold in packages."""
        return self.size if self.model is Model.PACKAGE else 0

    def __str__(self) -> str:
        unit = self._unit()
        if self.model is Model.SPOT:
            return f"spot rate {unit}"
        if self.model in (Model.FLAT, Model.PACKAGE):
            return f"{self.tiers[0].price:f} {unit}"
        return f"{self.model}: " + ", ".join(self._tier(tier) for tier in self.tiers) + f" {unit}"

    def _tier(self, tier: Tier) -> str:
        if tier.up_to is None:
            return f"then {tier.price:f}"
        return f"{tier.price:f} up to {tier.up_to // HOUR if self.is_time else tier.up_to}"

    def _unit(self) -> str:
        if self.is_time:
            return "per hour" if self.size == HOUR else f"per {self.size // HOUR} hours started"
        started = " started" if self.model is Model.PACKAGE else ""
        return "per unit" + started if self.size == 1 else f"per {self.size} units" + started


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a quantity that has one price: one line. `note` says for people which part it is."""

    quantity: Decimal
    unit_price: Decimal
    note: str = ""


def split(tariff: Tariff, quantity: Decimal, unit_price: Decimal) -> list[Part]:
    """The parts of a quantity. `unit_price` is the spot rate, where the tariff is one. Quantities of parts sum to the whole."""
    if tariff.model is Model.SPOT:
        return [Part(quantity, unit_price, "spot")]
    if tariff.model is Model.FLAT:
        return [Part(quantity, tariff.tiers[0].price)]
    if tariff.model is Model.PACKAGE:
        return [Part(quantity, tariff.tiers[0].price, f"packages of {_amount(tariff, tariff.size)}")]
    if tariff.model is Model.VOLUME:
        reached = next(tier for tier in tariff.tiers if tier.up_to is None or quantity <= tier.up_to)
        return [Part(quantity, reached.price, _reached(tariff, reached))]
    return _graduated(tariff, quantity)


def _graduated(tariff: Tariff, quantity: Decimal) -> list[Part]:
    parts, before = [], 0
    for tier in tariff.tiers:
        upto = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        taken = less(upto, Decimal(before))
        if taken <= 0:
            break
        limit = "" if tier.up_to is None else f" to {_amount(tariff, tier.up_to)}"
        since = f"over {_amount(tariff, before)}" if before else "first"
        parts.append(Part(taken, tier.price, since + limit if before or limit else ""))
        before = tier.up_to or 0
    return parts or [Part(quantity, tariff.tiers[0].price)]


def _reached(tariff: Tariff, tier: Tier) -> str:
    return "highest volume" if tier.up_to is None else f"volume up to {_amount(tariff, tier.up_to)}"


def _amount(tariff: Tariff, quantity: int) -> str:
    return f"{quantity // HOUR:,} h" if tariff.is_time else f"{quantity:,}"


def price_of(tariff: Tariff, quantity: Decimal, unit_price: Decimal, currency: Asset) -> int:
    """What one part costs, in the currency's smallest unit, rounded once, half-even. A package that was begun costs whole."""
    units, parts = quantity.as_integer_ratio()
    numerator, denominator = unit_price.as_integer_ratio()
    if tariff.model is Model.PACKAGE:
        packages = ceil_div(units, parts * tariff.size)
        return half_even(packages * numerator * 10**currency.exponent, denominator)
    return half_even(units * numerator * 10**currency.exponent, parts * denominator * tariff.size)


def to_json(tariff: Tariff) -> list[list[str | int | None]]:
    """Tiers as they are stored: `[[up_to, price], ...]`, money as text."""
    return [[tier.up_to, plain(tier.price)] for tier in tariff.tiers]


def from_json(model: str, tiers: Sequence[Sequence[Any]], size: int, *, is_time: bool) -> Tariff:
    found = tuple(Tier(Decimal(str(price)), None if up_to is None else int(up_to)) for up_to, price in tiers)
    return Tariff(Model(model), found, size, is_time)
