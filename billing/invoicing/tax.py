"""Tax on an invoice, and what comes back of it with a credit note: once per rate on the sum, half-even. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.core.errors import Conflict
from billing.core.money import Asset, decimal_text, half_even
from billing.invoicing.document import TaxCurrency, exchanged, rate_text


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """So much tax at a rate, in the currency's smallest unit."""

    name: str
    rate: Decimal
    units: int


def tax_on(units: int, rate: Decimal) -> int:
    """The tax on a sum, rounded once, half-even."""
    numerator, denominator = rate.as_integer_ratio()
    return half_even(units * numerator, denominator)


def tax_back(taxes: Sequence[TaxAmount], subtotal: int, before: int, now: int) -> list[TaxAmount]:
    """The tax that comes back when `now` is taken off an invoice whose lines sum to `subtotal` and of which `before` was
    taken off already: what remains is taxed like an invoice over what remains, so that no cent is left at the end."""
    assert 0 <= before <= before + now <= subtotal
    left = [tax_on(subtotal - taken, one.rate) for one in taxes for taken in (before, before + now)]
    return [
        TaxAmount(one.name, one.rate, had - has) for one, had, has in zip(taxes, left[::2], left[1::2], strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one unit of a currency is worth in the tax currency, who says so, and of which day (YYYY-MM-DD)."""

    rate: Decimal
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class TaxOffice:
    """The currency in which the issuer's tax office wants to see the tax, and the rates by currency."""

    currency: Asset
    exchanges: Mapping[str, Exchange] = field(default_factory=dict)

    def told(self, currency: Asset, tax: int, total: int) -> TaxCurrency | None:
        """What the document says in the tax currency; None when it is the invoice's own. Raises Conflict without a rate."""
        if currency.code == self.currency.code:
            return None
        known = self.exchanges.get(currency.code)
        if known is None:
            raise Conflict(
                f"nobody says what {currency.code} is worth in the tax currency {self.currency.code}",
                remedy="set issuer.tax_rates",
            )
        abroad = TaxCurrency(
            code=self.currency.code, exponent=self.currency.exponent, rate=rate_text(known.rate), source=known.source,
            date=known.date, tax="0", total="0",
        )  # fmt: skip
        return in_tax_currency(abroad, currency, tax, total)


def in_tax_currency(like: TaxCurrency, currency: Asset, tax: int, total: int) -> TaxCurrency:
    """Other amounts at the same rate: a credit note takes back at its invoice's."""

    def text(units: int) -> str:
        return decimal_text(exchanged(units, Decimal(like.rate), currency.exponent, like.exponent), like.exponent)

    return like.model_copy(update={"tax": text(tax), "total": text(total)})
