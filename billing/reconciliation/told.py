"""Tells that a payment was seen, before it counts; and of top-ups, when they count."""

from datetime import datetime
from typing import Any

from billing.chain.store import tokens
from billing.chain.transfer import Transfer
from billing.core.money import decimal_text
from billing.core.onchain import checksum
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.store import deposits
from billing.notices import store as notices
from billing.notices.notice import Notice, NoticeType
from billing.reconciliation import store
from billing.wallets import store as wallets


def tell_seen(session: Session, transfer: Transfer, now: datetime) -> None:
    """Once for each incarnation of a transfer to an address of an invoice, or of a tenant's deposits."""
    target = wallets.known(session, transfer.receiver)
    if target is None:
        return
    if target.deposit_id is not None:
        deposit = deposits.by_id(session, target.deposit_id)
        data = {"deposit": deposit.number, "tenant": deposit.tenant, **_facts(session, transfer)}
        once = f"topup.seen {transfer.id} {transfer.incarnation}"
        notices.tell(session, Notice(NoticeType.TOPUP_SEEN, deposit.number, data, deposit.tenant_id, once), now)
    elif target.invoice_id is not None:
        invoice = invoicing.by_id(session, target.invoice_id)
        data = {"invoice": invoice.number, "tenant": invoice.tenant, **_facts(session, transfer)}
        once = f"payment.seen {transfer.id} {transfer.incarnation}"
        notices.tell(session, Notice(NoticeType.PAYMENT_SEEN, invoice.number, data, invoice.tenant_id, once), now)


def tell_credited(session: Session, transfer: Transfer, now: datetime) -> None:
    """A top-up is final: its credit may be used. Once for each incarnation."""
    target = wallets.known(session, transfer.receiver)
    payment = store.find(session, transfer.id, transfer.incarnation)
    if target is None or target.deposit_id is None or payment is None or not payment.allocation.credited:
        return
    deposit = deposits.by_id(session, target.deposit_id)
    data = {
        "deposit": deposit.number,
        "tenant": deposit.tenant,
        "currency": deposit.currency.code,
        "credited": decimal_text(payment.allocation.credited, deposit.currency.exponent),
        **_facts(session, transfer),
    }
    once = f"topup.credited {transfer.id} {transfer.incarnation}"
    notices.tell(session, Notice(NoticeType.TOPUP_CREDITED, deposit.number, data, deposit.tenant_id, once), now)


def _facts(session: Session, transfer: Transfer) -> dict[str, Any]:
    token = tokens.known(session)[transfer.chain_id, transfer.token]
    return {
        "chain_id": transfer.chain_id,
        "token": token.symbol,
        "token_address": checksum(transfer.token),
        "amount": decimal_text(transfer.units, token.decimals),
        "amount_units": str(transfer.units),
        "tx_hash": transfer.tx_hash,
        "block_number": transfer.block_number,
        "mined_at": rfc3339(transfer.mined_at),
    }
