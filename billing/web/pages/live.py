"""What an invoice's payer is told about it right now. Pure: it follows from the invoice, its document and its transfers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from billing.chain.lifecycle import ChainState
from billing.core.money import EXACT, Asset
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation.lifecycle import Disposition
from billing.reconciliation.matching import MatchKind
from billing.reconciliation.valuation import PAR, value_at

TokenKey = tuple[int, str]
"""(chain id, token address)."""


class PayState(StrEnum):
    """What the page says first. Late, wrong token and waiting for a person may also come beside it, as notes."""

    WAITING = "waiting"
    LATE = "late"
    WRONG_TOKEN = "wrong_token"  # noqa: S105
    DETECTED = "detected"
    UNVALUED = "unvalued"
    CHECKING = "checking"
    PART_PAID = "part_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    NOTHING_DUE = "nothing_due"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class Note(StrEnum):
    """What else the payer should know."""

    LATE = "late"
    WRONG_TOKEN = "wrong_token"  # noqa: S105
    AFTER_VOID = "after_void"
    NEEDS_PERSON = "needs_person"
    CHECKING = "checking"
    RESOLVED = "resolved"
    TAKEN_BACK = "taken_back"
    CREDIT = "credit"
    CREDIT_NOT_FINAL = "credit_not_final"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True)
class ChainTerms:
    """How a chain is called, and when its transfers count: `needed` blocks, or a tag that the chain sets. `bands` are for
    smaller amounts, the smallest first."""

    name: str
    needed: int | None
    tag: str = ""
    seconds: int | None = None
    bands: tuple[tuple[Decimal, "ChainTerms"], ...] = ()

    def of(self, amount: Decimal) -> "ChainTerms":
        """When a transfer counts with which so much has come to the invoice's address on this chain."""
        return next((terms for up_to, terms in self.bands if amount <= up_to), self)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A transfer to the invoice's address. `pending`: it will count, and does not yet. `held`: a person decides."""

    chain_id: int
    token_address: str
    symbol: str
    decimals: int | None
    units: int
    tx_hash: str
    sender: str
    block_number: int
    mined_at: datetime
    status: ChainState
    disposition: Disposition
    kind: str
    late: bool
    confirmations: int
    applied: int
    credited: int
    waived: int
    accepted: bool
    log_index: int = 0
    rate: Decimal = PAR
    """What one token will count as, as far as it is known before it is booked."""
    currency: str = ""
    """What the token is worth at par; empty for one that is not listened to any more."""
    piled: Decimal = Decimal(0)
    """What came to the address on this chain up to and including it, in chain order, at par. Infinite: nobody knows, or in several
    currencies."""

    @property
    def stands(self) -> bool:
        return self.status is not ChainState.ORPHANED

    @property
    def pending(self) -> bool:
        return self.stands and self.accepted and self.disposition is Disposition.UNMATCHED

    @property
    def held(self) -> bool:
        waits = self.disposition is Disposition.UNMATCHED and not self.accepted
        return self.stands and (waits or self.disposition is Disposition.SUSPENDED)

    @property
    def checked(self) -> bool:
        """The issuer looks at it before it counts."""
        return self.stands and self.disposition in (Disposition.HELD, Disposition.RELEASED)

    @property
    def counts(self) -> bool:
        return self.stands and self.disposition is Disposition.MATCHED


def arrival(
    row: Mapping[str, Any],
    known: Mapping[TokenKey, tuple[str, int]],
    accepted: set[TokenKey],
    currencies: Mapping[TokenKey, str],
) -> Arrival:
    """An arrival from a row of reconciliation's payments. `accepted` is empty for a void invoice; `currencies` are those of
    the tokens that are listened to."""
    key = (row["chain_id"], row["token_address"])
    symbol, decimals = known.get(key, ("", None))
    return Arrival(
        chain_id=row["chain_id"],
        token_address=row["token_address"],
        symbol=symbol,
        decimals=decimals,
        units=row["units"],
        tx_hash=row["tx_hash"],
        sender=row["from_address"],
        block_number=row["block_number"],
        mined_at=row["mined_at"],
        status=ChainState(row["status"]),
        disposition=Disposition(row["disposition"]),
        kind=row["kind"],
        late=row["late"],
        confirmations=row["confirmations"],
        applied=row["applied_units"],
        credited=row["credited_units"],
        waived=row["written_off_units"],
        accepted=key in accepted,
        log_index=row["log_index"],
        currency=currencies.get(key, ""),
    )


def pile(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The same, each with what had come to the address with it: small amounts may count sooner."""
    sums: dict[int, Decimal] = {}
    currencies: dict[int, set[str]] = defaultdict(set)
    piled: dict[int, Decimal] = {}
    order = sorted(range(len(arrivals)), key=lambda i: (arrivals[i].block_number, arrivals[i].log_index))
    for i in order:
        one = arrivals[i]
        if one.stands:
            among = currencies[one.chain_id]
            among.add(one.currency)
            known = one.decimals is not None and among == {one.currency} != {""}
            worth = Decimal(one.units).scaleb(-(one.decimals or 0), EXACT) if known else Decimal("Infinity")
            sums[one.chain_id] = EXACT.add(sums.get(one.chain_id, Decimal(0)), worth)
        piled[i] = sums.get(one.chain_id, Decimal(0))
    return [replace(one, piled=piled[i]) for i, one in enumerate(arrivals)]


@dataclass(frozen=True, slots=True)
class Live:
    """Amounts are in the currency's smallest unit. `to_send` is what remains once everything detected has counted."""

    state: PayState
    notes: tuple[Note, ...]
    due: int
    paid: int
    detected: int
    remaining: int
    to_send: int
    credited: int
    waived: int
    overdue: bool
    arrivals: tuple[Arrival, ...]

    @property
    def payable(self) -> bool:
        closed = (
            PayState.PAID,
            PayState.OVERPAID,
            PayState.NOTHING_DUE,
            PayState.VOID,
            PayState.UNVALUED,
            PayState.CHECKING,
        )
        return self.to_send > 0 and self.state not in closed

    @property
    def settled(self) -> bool:
        """Nothing is expected to change: the page need not ask often."""
        return self.remaining <= 0 and all(one.status is ChainState.FINAL or not one.stands for one in self.arrivals)


def live(invoice: Invoice, arrivals: Sequence[Arrival], tolerance: int, now: datetime) -> Live:
    """The state of an invoice for its payer. `tolerance` is the rest that is not asked for once something was paid."""
    standing = {one.tx_hash for one in arrivals if one.stands}
    arrivals = pile([one for one in arrivals if one.stands or one.tx_hash not in standing])  # mined again elsewhere
    counted = [one for one in arrivals if one.counts]
    waived, credited = sum(one.waived for one in counted), sum(one.credited for one in counted)
    remaining = 0 if invoice.status is InvoiceStatus.VOID else max(0, invoice.remaining)
    detected = _worth([one for one in arrivals if one.pending], invoice.currency)
    rest = max(0, remaining - detected)
    if detected and rest <= tolerance:
        rest = 0
    paid = max(0, invoice.paid - waived)
    overdue = invoice.overdue(now)
    return Live(
        state=_state(invoice, arrivals, paid, credited, overdue),
        notes=tuple(_notes(invoice, arrivals, overdue, waived)),
        due=invoice.claim,
        paid=paid,
        detected=detected,
        remaining=remaining,
        to_send=rest,
        credited=credited,
        waived=waived,
        overdue=overdue,
        arrivals=tuple(arrivals),
    )


def _worth(pending: Sequence[Arrival], currency: Asset) -> int:
    """As reconciliation will value them: by token and rate, rounded down once."""
    units: dict[tuple[int, str, int, Decimal], int] = {}
    for one in pending:
        assert one.decimals is not None, "an accepted token is known"
        key = (one.chain_id, one.token_address, one.decimals, one.rate)
        units[key] = units.get(key, 0) + one.units
    return sum(value_at(key[3], total, key[2], currency) for key, total in units.items())


def _state(invoice: Invoice, arrivals: Sequence[Arrival], paid: int, credited: int, overdue: bool) -> PayState:
    settled = invoice.status is InvoiceStatus.PAID
    first_that_holds = (
        (invoice.status is InvoiceStatus.VOID, PayState.VOID),
        (invoice.amount_due == 0 or (invoice.claim == 0 and not credited), PayState.NOTHING_DUE),
        (settled and credited > 0, PayState.OVERPAID),
        (settled, PayState.PAID),
        (any(one.pending for one in arrivals), PayState.DETECTED),
        (any(one.held and one.kind == MatchKind.NO_RATE for one in arrivals), PayState.UNVALUED),
        (any(one.checked for one in arrivals), PayState.CHECKING),
        (paid > 0, PayState.PART_PAID),
        (any(one.held for one in arrivals), PayState.WRONG_TOKEN),
        (invoice.status is InvoiceStatus.UNCOLLECTIBLE, PayState.UNCOLLECTIBLE),
        (overdue, PayState.LATE),
    )
    return next((state for holds, state in first_that_holds if holds), PayState.WAITING)


def _notes(invoice: Invoice, arrivals: Sequence[Arrival], overdue: bool, waived: int) -> list[Note]:
    void = invoice.status is InvoiceStatus.VOID
    credit = [one for one in arrivals if one.counts and one.credited]
    final = all(one.status is ChainState.FINAL for one in credit)
    found = {
        Note.LATE: overdue or any(one.late and one.counts for one in arrivals),
        Note.WRONG_TOKEN: any(_is_wrong(one, void) for one in arrivals),
        Note.AFTER_VOID: any(one.held and (one.kind == MatchKind.AFTER_VOID or void) for one in arrivals),
        Note.NEEDS_PERSON: any(one.held for one in arrivals),
        Note.CHECKING: any(one.checked for one in arrivals),
        Note.RESOLVED: any(one.stands and one.disposition is Disposition.RESOLVED for one in arrivals),
        Note.TAKEN_BACK: any(not one.stands for one in arrivals),
        Note.CREDIT: bool(credit) and final,
        Note.CREDIT_NOT_FINAL: bool(credit) and not final,
        Note.WAIVED: waived > 0,
    }
    return [note for note, holds in found.items() if holds]


def _is_wrong(one: Arrival, void: bool) -> bool:
    return one.held and (one.kind == MatchKind.WRONG_TOKEN or (not one.kind and not void))


def accepted_tokens(invoice: Invoice, document: InvoiceDocument) -> dict[TokenKey, tuple[str, int]]:
    """{(chain id, token address): (symbol, decimals)} that can pay the invoice; nothing can once it is void."""
    if invoice.status is InvoiceStatus.VOID:
        return {}
    return {(one.chain_id, one.token_address): (one.token, one.decimals) for one in document.settlement}
