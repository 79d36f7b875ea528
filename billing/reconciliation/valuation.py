"""What token units are worth in an invoice's currency, by the rule in its document. At par a token is the currency."""

from decimal import Decimal
from typing import Final

from billing.core.money import Asset, ceil_div
from billing.core.onchain import Address
from billing.invoicing.document import Par, ParWithin
from billing.quotes.feed import Feed, NoRate, Rate, within

PAR: Final = Decimal(1)


def units_due(amount: int, currency: Asset, decimals: int) -> int:
    """Token units that pay an amount at par, rounded up to the token's decimals."""
    return ceil_div(amount * 10**decimals, 10**currency.exponent)


def value_at(rate: Decimal, units: int, decimals: int, currency: Asset) -> int:
    """What token units are worth at a rate, rounded down: never more than came in. Applied to the sum of an invoice's
    payments in a token at that rate, so that parts lose nothing that the whole would not."""
    over, under = rate.as_integer_ratio()
    return int(units * 10**currency.exponent * over // (10**decimals * under))


def value_at_par(units: int, decimals: int, currency: Asset) -> int:
    return value_at(PAR, units, decimals, currency)


def feed_of(rule: Par | ParWithin) -> Feed | None:
    """The feed that a rule must ask; None when it needs none."""
    if isinstance(rule, Par):
        return None
    return Feed(Address(rule.feed), rule.feed_decimals, rule.feed_staleness_seconds)


def by_rule(rule: ParWithin, found: Rate | NoRate) -> Rate | NoRate:
    """The rate that a transfer is valued at: par as long as the feed is within the limit, otherwise the feed's own."""
    if isinstance(found, Rate) and within(found.value, Decimal(rule.limit)):
        return Rate(PAR, f"par within {rule.limit}, {found.source}", found.at)
    return found
