"""Tells that a payment was seen, before it counts."""

from datetime import datetime

from billing.chain.store import tokens
from billing.chain.transfer import Transfer
from billing.core.money import decimal_text
from billing.core.onchain import checksum
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.notices import store as notices
from billing.notices.notice import Notice, NoticeType
from billing.wallets import store as wallets


def tell_seen(session: Session, transfer: Transfer, now: datetime) -> None:
    """Once for each incarnation of a transfer to an invoice's address."""
    target = wallets.known(session, transfer.receiver)
    if target is None or target.invoice_id is None:
        return
    invoice = invoicing.by_id(session, target.invoice_id)
    token = tokens.known(session)[transfer.chain_id, transfer.token]
    data = {
        "invoice": invoice.number,
        "tenant": invoice.tenant,
        "chain_id": transfer.chain_id,
        "token": token.symbol,
        "token_address": checksum(transfer.token),
        "amount": decimal_text(transfer.units, token.decimals),
        "amount_units": str(transfer.units),
        "tx_hash": transfer.tx_hash,
        "block_number": transfer.block_number,
        "mined_at": rfc3339(transfer.mined_at),
    }
    once = f"payment.seen {transfer.id} {transfer.incarnation}"
    notices.tell(session, Notice(NoticeType.PAYMENT_SEEN, invoice.number, data, invoice.tenant_id, once), now)
