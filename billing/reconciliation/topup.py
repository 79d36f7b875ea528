"""A top-up: what a transfer to a deposit address is worth, and what is booked for it. Pure.

It is valued alone, rounded down, and never depends on other transfers: so a reorganisation takes back exactly what it was.
"""

from dataclasses import dataclass
from datetime import datetime

from billing.chain.transfer import Transfer
from billing.core.money import Asset
from billing.invoicing.document import ByFeed, Settlement
from billing.ledger.account import CONVERSION, FX, TENANT_PREPAID
from billing.ledger.entry import Entry, EntryKind, Posting, entry_postings
from billing.quotes.feed import Rate
from billing.reconciliation.matching import Allocation, MatchKind
from billing.reconciliation.valuation import PAR, value_at


@dataclass(frozen=True, slots=True)
class Worth:
    """In the currency's smallest unit. `fx` is what it would be worth at par beyond its value; negative when it is worth more."""

    value: int
    fx: int


def worth(units: int, terms: Settlement, rate: Rate, currency: Asset) -> Worth:
    value = value_at(rate.value, units, terms.decimals, currency)
    at_par = value if isinstance(terms.rule, ByFeed) else value_at(PAR, units, terms.decimals, currency)
    return Worth(value, at_par - value)


def allocation(payment_id: int, of: Worth) -> Allocation:
    """All of it is credit. Less than the currency's smallest unit is dust: it is ours, and credits nothing."""
    kind = MatchKind.TOP_UP if of.value else MatchKind.DUST
    return Allocation(payment_id, kind, False, of.value, 0, of.value, 0, of.fx)


def entry(transfer: Transfer, whose: tuple[int, str], of: Worth, now: datetime) -> Entry | None:
    """The currency side; None when nothing is credited. `whose` is (tenant id, currency)."""
    tenant_id, currency = whose
    postings = entry_postings(
        Posting(CONVERSION, currency, of.value + of.fx, tenant_id),
        Posting(TENANT_PREPAID, currency, -of.value, tenant_id),
        Posting(FX, currency, -of.fx, tenant_id),
    )
    if not postings:
        return None
    return Entry(
        EntryKind.TOP_UP,
        now.date(),
        transfer.mined_at,
        postings,
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )
