"""What reconciliation books. ARCHITECTURE has the table for all concerns."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.ledger.account import (
    CONVERSION,
    EXTERNAL,
    FX,
    RECEIVABLE,
    REFUNDS_PAYABLE,
    SUSPENSE,
    TENANT_CREDIT,
    WRITE_OFF,
    deposit,
    held,
    treasury,
)
from billing.ledger.entry import Entry, EntryKind, Posting, entry_postings
from billing.reconciliation.matching import Allocation

ALLOCATION = "allocation"
CREDIT_REFUND = "credit_refund"
REFUND = "refund"


class Role(StrEnum):
    """Whose address a transfer comes from or goes to. `OUTSIDE` is everybody else's."""

    PAYMENT = "payment"
    TREASURY = "treasury"
    OUTSIDE = "outside"


def movement(transfer: Transfer, token: Token, roles: tuple[Role, Role], suspend: bool, now: datetime) -> list[Entry]:
    """The token side of a transfer: what left which account, what came to which. One or two entries."""
    asset, units = token.asset.code, transfer.units
    own = {
        Role.PAYMENT: deposit(transfer.chain_id, token.symbol),
        Role.TREASURY: treasury(transfer.chain_id, token.symbol),
    }
    sender, receiver = roles
    entries = []
    if receiver is Role.PAYMENT:
        kind, other = (EntryKind.SUSPENSE, SUSPENSE) if suspend else (EntryKind.PAYMENT, CONVERSION)
        entries.append(_entry(transfer, kind, [(own[receiver], asset, units), (other, asset, -units)], now))
        if sender is not Role.OUTSIDE:
            entries.append(
                _entry(transfer, EntryKind.EXTERNAL, [(EXTERNAL, asset, units), (own[sender], asset, -units)], now)
            )
    elif receiver is Role.TREASURY and sender is Role.PAYMENT:
        entries.append(
            _entry(transfer, EntryKind.FLUSH, [(own[receiver], asset, units), (own[sender], asset, -units)], now)
        )
    elif receiver is Role.TREASURY and sender is Role.OUTSIDE:
        entries.append(
            _entry(transfer, EntryKind.EXTERNAL, [(own[receiver], asset, units), (EXTERNAL, asset, -units)], now)
        )
    elif sender is not Role.OUTSIDE and receiver is Role.OUTSIDE:
        entries.append(
            _entry(transfer, EntryKind.EXTERNAL, [(EXTERNAL, asset, units), (own[sender], asset, -units)], now)
        )
    return entries


def hold(transfer: Transfer, token: Token, now: datetime) -> Entry:
    """A payment whose sender is on a list lies on its address, and is nobody's yet."""
    asset, units = token.asset.code, transfer.units
    account = deposit(transfer.chain_id, token.symbol)
    return _entry(transfer, EntryKind.HOLD, [(account, asset, units), (held(transfer.chain_id), asset, -units)], now)


def release(transfer: Transfer, token: Token, suspend: bool, now: datetime) -> Entry:
    """A person let a held payment through: it goes where it would have gone."""
    asset, units = token.asset.code, transfer.units
    other = SUSPENSE if suspend else CONVERSION
    return _entry(transfer, EntryKind.RELEASE, [(held(transfer.chain_id), asset, units), (other, asset, -units)], now)


def _entry(transfer: Transfer, kind: EntryKind, postings: Sequence[tuple[str, str, int]], now: datetime) -> Entry:
    return Entry(
        kind,
        now.date(),
        transfer.mined_at,
        tuple(Posting(account, asset, units) for account, asset, units in postings),
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )


def allocation(
    invoice: tuple[int, int, str, str], before: Sequence[Allocation], after: Sequence[Allocation], now: datetime
) -> Entry | None:
    """The currency side: how the allocation of an invoice's payments changed; None when it did not.

    `invoice` is (id, tenant id, number, currency). The value comes out of `conversion`, where the tokens went in at par; what a
    rate makes of it beyond par is `fx`.
    """
    invoice_id, tenant_id, number, currency = invoice
    applied = sum(one.applied for one in after) - sum(one.applied for one in before)
    credited = sum(one.credited for one in after) - sum(one.credited for one in before)
    written_off = sum(one.written_off for one in after) - sum(one.written_off for one in before)
    fx = sum(one.fx for one in after) - sum(one.fx for one in before)
    postings = entry_postings(
        Posting(CONVERSION, currency, applied + credited + fx, tenant_id, invoice_id),
        Posting(RECEIVABLE, currency, -applied - written_off, tenant_id, invoice_id),
        Posting(TENANT_CREDIT, currency, -credited, tenant_id),
        Posting(WRITE_OFF, currency, written_off, tenant_id, invoice_id),
        Posting(FX, currency, -fx, tenant_id, invoice_id),
    )
    if not postings:
        return None
    return Entry(ALLOCATION, now.date(), now, postings, invoice_id=invoice_id, memo=number)


def credit_from_suspense(
    transfer: Transfer, token: Token, tenant_id: int, currency: str, value: int, now: datetime
) -> Entry:
    """A person decided that suspended money is a tenant's credit of so much."""
    asset = token.asset.code
    return Entry(
        EntryKind.RESOLVE,
        now.date(),
        now,
        entry_postings(
            Posting(SUSPENSE, asset, transfer.units),
            Posting(CONVERSION, asset, -transfer.units),
            Posting(CONVERSION, currency, value, tenant_id),
            Posting(TENANT_CREDIT, currency, -value, tenant_id),
        ),
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )


def refund_from_suspense(transfer: Transfer, token: Token, tenant_id: int | None, now: datetime) -> Entry:
    """A person decided to send suspended money back. Nothing is sent here: it is owed."""
    asset = token.asset.code
    return Entry(
        EntryKind.RESOLVE,
        now.date(),
        now,
        (
            Posting(SUSPENSE, asset, transfer.units),
            Posting(REFUNDS_PAYABLE, asset, -transfer.units, tenant_id),
        ),
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )


def refund_of_credit(
    refund: tuple[int, int], token: tuple[str, int], value: tuple[str, str, int], now: datetime
) -> Entry:
    """Credit is owed back in its token; with signs turned: not any more. `refund` is (id, tenant id), `token` (asset, units),
    `value` (the account that held it, currency, units)."""
    refund_id, tenant_id = refund
    (asset, units), (account, currency, credit) = token, value
    return Entry(
        CREDIT_REFUND,
        now.date(),
        now,
        (
            Posting(account, currency, credit, tenant_id),
            Posting(CONVERSION, currency, -credit, tenant_id),
            Posting(CONVERSION, asset, units),
            Posting(REFUNDS_PAYABLE, asset, -units, tenant_id),
        ),
        memo=f"refund {refund_id}",
    )


def refund_paid(transfer: Transfer, token: Token, tenant_id: int | None, now: datetime) -> Entry:
    """The treasury's transfer, booked against `external` when it was seen, paid what was owed back."""
    asset = token.asset.code
    postings = ((REFUNDS_PAYABLE, asset, transfer.units), (EXTERNAL, asset, -transfer.units))
    return Entry(
        REFUND,
        now.date(),
        transfer.mined_at,
        tuple(Posting(account, code, units, tenant_id) for account, code, units in postings),
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )
