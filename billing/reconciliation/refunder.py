"""Owes credit back that a tenant wants returned, and takes such debts back when the chain takes the money itself. Nothing is sent
from here."""

from datetime import datetime

from billing.chain.store import tokens
from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset, Money, decimal_text, parse_units
from billing.db.engine import Database, Session
from billing.invoicing.draft import Credit
from billing.invoicing.store import credit
from billing.ledger import store as ledger
from billing.ledger.account import TENANT_CREDIT, TENANT_PREPAID
from billing.pricing import store as pricing
from billing.reconciliation import postings, store
from billing.reconciliation.store import Payment, refunds
from billing.reconciliation.store.refunds import Decision, Refund, Source
from billing.tenants import store as tenants
from billing.trail.store import Deed, record

PREPAID = "prepaid"


class Refunder:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def owe_credit(self, tenant: str, amount: str, *, reason: str, actor: str) -> str:
        """So much of a tenant's final credit, the oldest first, is owed back in the tokens that it came in. Returns one line that
        says what. Raises Invalid for what is no amount, Conflict when it holds less that came in on a chain."""
        if not reason.strip():
            raise Invalid("a refund needs a reason", remedy="--reason '...'")
        now = self._clock.now()
        with self._database.transaction() as session:
            currency, owner = pricing.currency(session), tenants.by_slug(session, tenant)
            wanted = parse_units(amount, currency).units
            if wanted <= 0:
                raise Invalid(f"{amount} is no amount to send back")
            parts = self._parts(session, owner.id, wanted, currency, tenant)
            told = [
                self._owe(session, (owner.id, one, part), source, currency, Decision(actor, reason, now))
                for one, part, source in parts
            ]
            done = " and ".join(told)
            subject = f"tenant {tenant}"
            record(session, Deed(now, actor, "refund.credit", subject, reason, {"amount": amount, "owed": done}))
        return done

    @staticmethod
    def _parts(
        session: Session, tenant_id: int, wanted: int, currency: Asset, tenant: str
    ) -> list[tuple[Credit, int, Source]]:
        """Of which credit how much. The credit is held for this transaction."""
        held = credit.credit_held(session, tenant_id, currency.code)
        known, parts, left = refunds.sources(session, held), [], wanted
        for one in held:
            if one.id in known and left > 0:
                part = min(left, one.units)
                left -= part
                parts.append((one, part, known[one.id]))
        if left > 0:
            has = Money(wanted - left, currency)
            raise Conflict(f"{tenant} holds {has} that can be sent back", remedy=f"stablemeter tenant show {tenant}")
        return parts

    def _owe(
        self, session: Session, whose: tuple[int, Credit, int], source: Source, currency: Asset, why: Decision
    ) -> str:
        tenant_id, held, value = whose
        token = tokens.known(session)[source.chain_id, source.token]
        over, under = source.rate.as_integer_ratio()
        units = min(source.units, value * 10**token.decimals * under // (10**currency.exponent * over))
        if units <= 0:
            raise Invalid(f"{Money(value, currency)} are not one unit of {token.symbol}")
        owed = Refund(
            0, source.payment_id, tenant_id, source.chain_id, source.token, units, refunds.OWED, currency.code, value
        )
        refund_id = refunds.add(session, owed, why)
        refunds.use_credit(session, held.id, refund_id, value, why.at)
        account = TENANT_PREPAID if held.kind == PREPAID else TENANT_CREDIT
        entry = postings.refund_of_credit(
            (refund_id, tenant_id), (token.asset.code, units), (account, currency.code, value), why.at
        )
        ledger.post(session, entry)
        return f"refund {refund_id}: {decimal_text(units, token.decimals)} {token.symbol} on chain {token.chain_id}"


def take_refunds_back(session: Session, payment: Payment, now: datetime) -> int:
    """A transfer left the chain: what it paid back is owed again, and what was owed out of it is not. Returns how many questions
    are new: money that was sent back already is a loss that a person must look at."""
    refunds.unpay(session, payment.transfer_id)
    asked = 0
    for one in refunds.of_payment(session, payment.id):
        if one.state == refunds.PAID:
            token = tokens.known(session)[one.chain_id, one.token]
            question = store.Question(
                kind="refund_gone",
                subject=f"refund {one.id}",
                detail=f"{decimal_text(one.units, token.decimals)} {token.symbol} were sent back, and the chain took back the"
                " transfer that they came in with",
                suggestion="ask the payer for it; until then the books say that too much was sent back",
                tenant_id=one.tenant_id,
            )
            asked += store.keep_asking(session, question, now)
            continue
        if one.value:
            assert one.tenant_id is not None
            token = tokens.known(session)[one.chain_id, one.token]
            account = ledger.accounts_with(session, postings.CREDIT_REFUND, f"refund {one.id}")
            held = TENANT_PREPAID if TENANT_PREPAID in account else TENANT_CREDIT
            ledger.post(
                session,
                postings.refund_of_credit(
                    (one.id, one.tenant_id), (token.asset.code, -one.units), (held, one.currency, -one.value), now
                ),
            )
            refunds.give_back(session, one.id, now)
        refunds.drop(session, one.id)
    return asked
