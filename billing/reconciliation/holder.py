"""Holds payments whose sender is on a list, until a person decides; and lets payments wait while nobody can tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.chain.store import tokens
from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.compliance import store as compliance
from billing.compliance.screener import Screener
from billing.compliance.screening import Hit, Screened
from billing.core.clock import Clock
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.ledger import store as ledger
from billing.reconciliation import postings, store
from billing.reconciliation.lifecycle import Disposition, DispositionEvent
from billing.trail.store import Deed, record
from billing.wallets import store as wallets

HELD_SENDER: Final = "held_sender"
HELD_MOVED: Final = "held_moved"
SANCTIONED_LATER: Final = "sanctioned_later"
REST: Final = timedelta(seconds=30)
"""A chain whose endpoints did not tell is left alone for so long."""


class Holder:
    """What a tick learnt of senders, and what is done about it. Without a screener, nobody is screened."""

    def __init__(self, clock: Clock, screener: Screener | None = None) -> None:
        self._clock, self._screener = clock, screener
        self._known: dict[tuple[int, int, str], Screened] = {}
        self._asked_again_at: dict[int, datetime] = {}

    def begin(self) -> None:
        """A tick begins: look at the lists, and forget what was learnt in the one before."""
        self._known.clear()
        if self._screener is not None:
            self._screener.refresh()

    def must_ask(self, session: Session, transfer: Transfer) -> bool:
        """Is this a payment that is about to be booked, and whose sender nobody was asked about in this tick?"""
        if self._screener is None or transfer.state not in (ChainState.CONFIRMED, ChainState.FINAL):
            return False
        target = wallets.known(session, transfer.receiver)
        if target is None or target.kind == "treasury" or _key(transfer) in self._known:
            return False
        if wallets.known(session, transfer.sender) is not None:  # our own money
            return False
        return store.find(session, transfer.id, transfer.incarnation) is None

    def ask(self, transfers: Sequence[Transfer]) -> set[int]:
        """Screen, outside of any transaction. Returns the transfers that must wait, because nobody could tell."""
        waiting = set()
        for transfer in transfers:
            assert self._screener is not None
            try:
                if self._clock.now() < self._asked_again_at.get(transfer.chain_id, self._clock.now()):
                    waiting.add(transfer.id)
                else:
                    found = self._screener.screen(transfer.chain_id, transfer.tx_hash, transfer.sender)
                    self._known[_key(transfer)] = found
            except (Unavailable, Untrusted):
                waiting.add(transfer.id)
                self._asked_again_at[transfer.chain_id] = self._clock.now() + REST
        return waiting

    def stops(self, transfer: Transfer) -> bool:
        found = self._known.get(_key(transfer))
        return found is not None and found.hit is not None

    def hold(self, session: Session, transfer: Transfer, token: Token) -> bool:
        """Keep what screening said of a payment that is being booked; book it as held when somebody is on a list. Returns
        whether it was. Also notices when money that is held leaves its address."""
        now, found = self._clock.now(), self._known.get(_key(transfer))
        if found is None:
            self._ask_if_moved(session, transfer, token, transfer.sender)
            return False
        key = (transfer.id, transfer.incarnation)
        if compliance.screening_of(session, key) is None:
            compliance.record(session, key, found, now)
        if found.hit is None:
            return False
        ledger.post(session, postings.hold(transfer, token, now))
        target = wallets.known(session, transfer.receiver)
        invoice_id = target.invoice_id if target is not None else None
        invoice = invoicing.by_id(session, invoice_id) if invoice_id is not None else None
        owner = (invoice.id, invoice.tenant_id) if invoice is not None else None
        store.add(session, key, DispositionEvent.HOLD, now, invoice=owner)
        store.ask(session, _question(transfer, token, found.hit, owner), now)
        details = {
            "address": checksum(found.hit.address),
            "by": found.hit.by,
            "screened_by": list(found.by),
            "tx_hash": transfer.tx_hash,
            "invoice": invoice.number if invoice is not None else "",
        }
        record(session, Deed(now, "daemon", "payment.hold", _subject(*key), str(found.hit), details))
        self._ask_if_moved(session, transfer, token, transfer.receiver)
        return True

    def taken_back(self, session: Session, transfer: Transfer) -> None:
        """A transfer left the chain: what it had moved away may be there again."""
        token = tokens.known(session)[transfer.chain_id, transfer.token]
        self._ask_if_moved(session, transfer, token, transfer.sender)

    def _ask_if_moved(self, session: Session, transfer: Transfer, token: Token, address: Address) -> None:
        """Anyone may flush a forwarder that has no flusher: the money is in the treasury then, and still held."""
        now = self._clock.now()
        for one in compliance.held_at(session, transfer.chain_id, address, token.address):
            subject = _subject(one.transfer_id, one.incarnation)
            if one.moved_by is None:
                store.withdraw(session, HELD_MOVED, subject, "it was not moved after all", now)
                continue
            question = store.Question(
                kind=HELD_MOVED,
                subject=subject,
                detail=f"somebody moved held {token.symbol} away from {checksum(address)} (transaction {one.moved_by})",
                suggestion="keep as much in the treasury, apart from other money, until it is released or frozen",
                transfer_id=one.transfer_id,
                invoice_id=one.invoice_id,
                tenant_id=one.tenant_id,
            )
            store.keep_asking(session, question, now)

    def look_back(self, session: Session) -> int:
        """A list changed: ask about earlier payments whose sender is on it now. They stay booked. Returns how many are new."""
        now, new = self._clock.now(), 0
        for list_id, name in compliance.unlooked(session) if self._screener is not None else ():
            for one in compliance.earlier(session, list_id):
                question = store.Question(
                    kind=SANCTIONED_LATER,
                    subject=_subject(one.transfer_id, one.incarnation),
                    detail=f"the {one.part} {checksum(one.address)} of a payment of {rfc3339(one.mined_at)} is on list {name} now",
                    suggestion="nothing was unbooked; report it where you must, and decide about this payer",
                    transfer_id=one.transfer_id,
                    invoice_id=one.invoice_id,
                    tenant_id=one.tenant_id,
                )
                new += store.keep_asking(session, question, now)
            compliance.looked_back(session, list_id, now)
        return new


def release(session: Session, asked: store.Question, reason: str, now: datetime) -> str:
    """A person lets a held payment through. It is matched at the next tick, as if it had just counted.

    Raises Conflict when it is not held any more."""
    assert asked.transfer_id is not None
    transfer = chain.unsettle(session, asked.transfer_id)
    payment = store.find(session, transfer.id, transfer.incarnation)
    if payment is None or payment.disposition is not Disposition.HELD:
        raise Conflict("the payment is not held any more", remedy="see: stablemeter payment list")
    store.move(session, payment.id, DispositionEvent.RELEASE, now, reason)
    return "the payment is let through and is matched next"


def _question(transfer: Transfer, token: Token, hit: Hit, owner: tuple[int, int] | None) -> store.Question:
    amount = f"{decimal_text(transfer.units, token.decimals)} {token.symbol}"
    return store.Question(
        kind=HELD_SENDER,
        subject=_subject(transfer.id, transfer.incarnation),
        detail=f"{amount} are held: the {hit.part} {checksum(hit.address)} is on {hit.by}",
        suggestion="acknowledge to keep it held, or release it when it is a mistake",
        transfer_id=transfer.id,
        invoice_id=owner[0] if owner else None,
        tenant_id=owner[1] if owner else None,
    )


def _subject(transfer_id: int, incarnation: int) -> str:
    return f"transfer {transfer_id}/{incarnation}"


def _key(transfer: Transfer) -> tuple[int, int, str]:
    return transfer.id, transfer.incarnation, transfer.block_hash
