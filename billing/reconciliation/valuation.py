"""What token units are worth in an invoice's currency, by the rule in its document. At par a token is the currency."""

from billing.core.money import Asset, ceil_div


def units_due(amount: int, currency: Asset, decimals: int) -> int:
    """Token units that pay an amount at par, rounded up to the token's decimals."""
    return ceil_div(amount * 10**decimals, 10**currency.exponent)


def value_at_par(units: int, decimals: int, currency: Asset) -> int:
    """What token units are worth at par, rounded down: never more than came in. Applied to the sum of an invoice's
    payments in a token, so that parts lose nothing that the whole would not."""
    return int(units * 10**currency.exponent // 10**decimals)
