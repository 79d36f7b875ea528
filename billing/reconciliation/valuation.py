"""What token units are worth in an invoice's currency, by the rule in its document. At par a token is the currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.core.money import Asset, ceil_div
from billing.core.onchain import Address
from billing.invoicing.document import ByFeed, Par, ParWithin, RateRule
from billing.quotes.feed import Feed, NoRate, Rate, within
from billing.quotes.quote import FeedKey, Quote, feed_key

PAR: Final = Decimal(1)


def units_due(amount: int, currency: Asset, decimals: int) -> int:
    """Token units that pay an amount at par, rounded up to the token's decimals."""
    return units_at(PAR, amount, currency, decimals)


def value_at(rate: Decimal, units: int, decimals: int, currency: Asset) -> int:
    """What token units are worth at a rate, rounded down: never more than came in. Applied to the sum of an invoice's
    payments in a token at that rate, so that parts lose nothing that the whole would not."""
    over, under = rate.as_integer_ratio()
    return int(units * 10**currency.exponent * over // (10**decimals * under))


def value_at_par(units: int, decimals: int, currency: Asset) -> int:
    return value_at(PAR, units, decimals, currency)


def units_at(rate: Decimal, amount: int, currency: Asset, decimals: int) -> int:
    """Token units that pay an amount at a rate, rounded up to the token's decimals."""
    over, under = rate.as_integer_ratio()
    return ceil_div(amount * 10**decimals * under, 10**currency.exponent * over)


def feed_of(rule: RateRule) -> Feed | None:
    """The feed that a rule must ask; None when it needs none."""
    if isinstance(rule, Par):
        return None
    inverted = isinstance(rule, ByFeed) and rule.prices == "currency"
    return Feed(Address(rule.feed), rule.feed_decimals, rule.feed_staleness_seconds, inverted)


def by_rule(rule: RateRule, found: Rate | NoRate) -> Rate | NoRate:
    """What a rule makes of a feed's rate: par as long as it is within the limit, otherwise the feed's own."""
    if isinstance(rule, ParWithin) and isinstance(found, Rate) and within(found.value, Decimal(rule.limit)):
        return Rate(PAR, f"par within {rule.limit}, {found.source}", found.at)
    return found


def promised(rule: RateRule, quoted: Rate) -> Rate | None:
    """The rate that a quote promises under a rule. Within the limit of `par` nothing is: the limit is there to end par the
    moment that the feed leaves it."""
    made = by_rule(rule, quoted)
    return quoted if made is quoted and not isinstance(rule, Par) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a payer is asked to pay by, and until when that is promised; None: it does not change."""

    rate: Decimal
    until: datetime | None = None


def asked(rule: RateRule, chain_id: int, quotes: Mapping[FeedKey, Quote]) -> Asked | None:
    """By which rate to ask for a token now. None when nobody knows one: then it is not offered."""
    feed = feed_of(rule)
    quote = quotes.get(feed_key(chain_id, feed)) if feed is not None else None
    rate = promised(rule, quote.rate) if quote is not None else None
    if quote is not None and rate is not None:
        return Asked(rate.value, quote.until)
    return None if isinstance(rule, ByFeed) else Asked(PAR)


def best(rule: RateRule, found: Rate | NoRate, quoted: Sequence[Rate]) -> Rate | NoRate:
    """The rate that a transfer is valued at: the best for the payer of what the feed said at its block, and what was promised
    at its time. None of them: the reason."""
    at_block = by_rule(rule, found)
    rates = [one for rate in quoted if (one := promised(rule, rate)) is not None]
    if isinstance(at_block, Rate):
        rates.insert(0, at_block)
    return max(rates, key=lambda one: one.value, default=at_block)
