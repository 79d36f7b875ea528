"""Resolves exceptions, as a person decided. Money is moved in the books only; nothing is ever sent from here."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.chain.store import tokens
from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset
from billing.db.engine import Database, Session
from billing.invoicing.store import credit
from billing.ledger import store as ledger
from billing.pricing import store as pricing
from billing.quotes.feed import RATE_MAX, Rate
from billing.reconciliation import postings, store
from billing.reconciliation.holder import HELD_SENDER, release
from billing.reconciliation.lifecycle import DispositionEvent
from billing.reconciliation.matching import MatchKind
from billing.reconciliation.store import refunds
from billing.reconciliation.store.refunds import Refund
from billing.reconciliation.valuation import PAR, value_at
from billing.tenants import store as tenants
from billing.trail.store import Deed, record


class Resolution(StrEnum):
    """`apply`: it pays invoices, at par or at a given rate; the rest is the tenant's credit (applier). `credit`: the tenant may use
    all of it. `refund`: it is owed back to the payer. `release`: what was held because of its sender is let through.
    `acknowledge`: seen, nothing booked; what lies in suspense or is held stays there, and may be decided later."""

    APPLY = "apply"
    CREDIT = "credit"
    REFUND = "refund"
    RELEASE = "release"
    ACKNOWLEDGE = "acknowledge"


@dataclass(frozen=True, slots=True)
class Credited:
    """What a person adds to a credit: whose it is when that is not known, and what one token is worth."""

    tenant: str = ""
    rate: Decimal | None = None


class Resolver:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def resolve(
        self, exception_id: int, how: Resolution, *, reason: str, actor: str, credited: Credited = Credited()
    ) -> str:
        """Close an exception. Returns one line that says what was booked.

        Raises Invalid without a reason, Conflict when somebody else resolved it first or the transfer is not final yet.
        """
        if not reason.strip():
            raise Invalid("resolving an exception needs a reason", remedy="--reason '...'")
        if how is Resolution.APPLY:
            raise Invalid("applying needs an invoice", remedy="--to INV-000001")
        now = self._clock.now()
        with self._database.transaction() as session:
            asked = store.answer(session, exception_id, resolution=how, reason=reason, actor=actor, now=now)
            if asked.transfer_id is None and how is not Resolution.ACKNOWLEDGE:
                raise Invalid(f"no money came in: {asked.detail}", remedy="--as acknowledge")
            done = "nothing was booked"
            if how is Resolution.RELEASE or (asked.kind == HELD_SENDER and how is not Resolution.ACKNOWLEDGE):
                done = self._release(session, asked, how, reason)
            elif how is not Resolution.ACKNOWLEDGE:
                done = self._book(session, asked, how, credited, (reason, actor))
            details = {"kind": asked.kind, "as": how, "booked": done}
            record(session, Deed(now, actor, "exception.resolve", asked.subject, reason, details))
        return done

    def _release(self, session: Session, asked: store.Question, how: Resolution, reason: str) -> str:
        """Money of who is on a list is neither credited nor sent back: that would be dealing with them."""
        if how is not Resolution.RELEASE:
            raise Invalid("held money is released or stays held", remedy="--as release, or --as acknowledge")
        if asked.kind != HELD_SENDER:
            raise Invalid(f"nothing is held: {asked.detail}", remedy="--as acknowledge")
        return release(session, asked, reason, self._clock.now())

    def _book(
        self, session: Session, asked: store.Question, how: Resolution, given: Credited, why: tuple[str, str]
    ) -> str:
        assert asked.transfer_id is not None
        now, transfer = self._clock.now(), chain.by_id(session, asked.transfer_id)
        if transfer.state is not ChainState.FINAL:
            raise Conflict("the transfer is not final yet", remedy="wait until its block cannot be taken back")
        token = tokens.known(session)[transfer.chain_id, transfer.token]
        payment = store.find(session, transfer.id, transfer.incarnation)
        assert payment is not None
        reason, actor = why
        store.move(session, payment.id, DispositionEvent.RESOLVE, now, reason)
        owner = tenants.by_slug(session, given.tenant) if given.tenant else None
        owner_id = owner.id if owner else asked.tenant_id
        if owner_id is None:
            raise Invalid("nobody is known to be the payer", remedy="--tenant NAME says whose money it is")
        if how is Resolution.REFUND:
            owed = Refund(0, payment.id, owner_id, transfer.chain_id, transfer.token, transfer.units, refunds.OWED)
            refunds.add(session, owed, refunds.Decision(actor, reason, now))
            ledger.post(session, postings.refund_from_suspense(transfer, token, owner_id, now))
            return f"{transfer.units} units of {token.symbol} are owed back; plan the refund to an address that two people checked"
        currency = pricing.currency(session)
        value, rate = worth(asked, given, transfer, token, currency)
        entry = postings.credit_from_suspense(transfer, token, owner_id, currency.code, value, now)
        ledger.post(session, entry)
        store.give_rate(session, payment.id, rate)
        grant = credit.Grant(owner_id, "overpayment", currency.code, value, transfer.tx_hash, final=True)
        credit.set_credit(session, transfer.id, grant, now)
        store.write(session, replace(payment.allocation, value=value, credited=value), currency.code, now)
        return f"{value} of {currency.code}'s smallest unit are the tenant's credit"


def worth(
    asked: store.Question, given: Credited, transfer: Transfer, token: Token, currency: Asset
) -> tuple[int, Rate]:
    """What suspended money is worth in the invoices' currency, and by which rate. Raises Invalid when a person must say more."""
    rate = _rate(asked, given, transfer.mined_at)
    value = value_at(rate.value, transfer.units, token.decimals, currency)
    if given.rate is None and token.currency != currency.code:
        raise Invalid(f"{token.symbol} is not worth {currency.code} at par", remedy="--rate says what it is worth")
    if value <= 0:
        raise Invalid(f"it is not worth {currency.code}'s smallest unit", remedy="resolve it as a refund")
    return value, rate


def _rate(asked: store.Question, given: Credited, mined_at: datetime) -> Rate:
    """Raises Invalid when a person must say the rate and did not, or said one that cannot be."""
    if given.rate is None:
        if asked.kind == MatchKind.NO_RATE:
            raise Invalid("nobody knows what it is worth", remedy="--rate says what one token is worth")
        return Rate(PAR, "par", mined_at)
    if not 0 < given.rate < RATE_MAX:
        raise Invalid(f"{given.rate} is no rate", remedy="--rate 0.998 says what one token is worth")
    return Rate(given.rate, f"person, {asked.subject}", mined_at)
