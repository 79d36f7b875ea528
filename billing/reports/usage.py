"""The usage report: one row for each device of each tenant at each price."""

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from billing.core.money import decimal_text
from billing.core.period import HOUR
from billing.core.quantity import plain
from billing.invoicing.document import rate_text
from billing.invoicing.draft import coverage_text
from billing.pricing.used import Used
from billing.reports.books import Exponents
from billing.reports.table import Column, Kind

HOUR_DIGITS: Final = Decimal("0.000001")
"""Hours are told to a millionth: no second is lost in it."""
_EXACT: Final = Context(prec=40)

USAGE: Final = (
    Column("tenant"), Column("customer"), Column("device"), Column("gpu_instance"), Column("profile"), Column("model"),
    Column("sku"), Column("meter"), Column("currency"), Column("unit_price", Kind.AMOUNT), Column("start", Kind.TIME),
    Column("end", Kind.TIME), Column("seconds", Kind.WHOLE), Column("hours", Kind.AMOUNT), Column("coverage", Kind.AMOUNT),
    Column("bridged_seconds", Kind.WHOLE), Column("excluded_seconds", Kind.WHOLE), Column("excluded"),
    Column("charged_seconds", Kind.WHOLE), Column("quantity", Kind.AMOUNT), Column("amount", Kind.AMOUNT, of="currency"),
    Column("invoice"), Column("usage_digest"), Column("charged_digest"),
    Column("tenant_name"), Column("customer_name"),
)  # fmt: skip


def rows(used: Iterable[Used], exponents: Exponents) -> Iterator[tuple[object, ...]]:
    """A row of a meter has a quantity instead of time; what was not charged yet has no amount and no currency."""
    for one in used:
        timed = not one.meter
        yield (
            one.tenant, one.customer, one.device, one.gpu_instance, one.profile, one.model, one.sku, one.meter, one.currency,
            rate_text(one.unit_price), one.span.start, one.span.end,
            one.seconds if timed else None, hours_text(one.seconds) if timed else "",
            coverage_text(one.measured_seconds, one.seconds) if one.seconds else "",
            one.bridged_seconds if timed else None, sum(seconds for _, seconds in one.excluded) if timed else None,
            "; ".join(f"{reason}: {seconds}" for reason, seconds in one.excluded),
            one.charged_seconds if timed else None, "" if one.quantity is None else plain(one.quantity),
            "" if one.amount is None else decimal_text(one.amount, exponents[one.currency]),
            " ".join(one.invoices), one.usage_digest, one.charged_digest, one.tenant_name, one.customer_name,
        )  # fmt: skip


def hours_text(seconds: int) -> str:
    """Seconds as hours: `0.000278` is one."""
    hours = _EXACT.divide(Decimal(seconds), Decimal(HOUR))
    return str(hours.quantize(HOUR_DIGITS, ROUND_HALF_EVEN, _EXACT))
