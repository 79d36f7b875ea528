"""Native coin on payment addresses. It pays nothing, and is not lost: a person is told where it lies, until it is gone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from billing.chain.watcher import Chain
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.store import deposits
from billing.reconciliation import store as questions
from billing.wallets import store as wallets

COIN: Final = "native_coin"
COIN_DECIMALS: Final = 18
"""Of every EVM chain's native coin."""


def ask(session: Session, chain: Chain, held: Mapping[Address, int], now: datetime) -> None:
    """One question an address. What a person has acknowledged is asked again when the amount is another one."""
    for owner, units in held.items():
        if units:
            questions.ask_anew(session, _question(session, chain, owner, units), now)
    gone = [_subject(chain, owner) for owner, units in held.items() if not units]
    questions.drop(session, COIN, gone, "it was moved away", now)


def _subject(chain: Chain, owner: Address) -> str:
    return f"{chain.chain_id} {owner}"


def _question(session: Session, chain: Chain, owner: Address, units: int) -> questions.Question:
    known = wallets.known(session, owner)
    invoice = invoicing.by_id(session, known.invoice_id) if known and known.invoice_id else None
    deposit = deposits.by_id(session, known.deposit_id) if known and known.deposit_id else None
    payee = invoice or deposit
    of = f", the address of {payee.number}" if payee else ""
    if known is not None and known.hd_index is not None:
        how = f"whoever holds the extended key moves it (index {known.hd_index})"
    else:
        how = f"stablemeter sweep plan {chain.name} --coin brings it to the treasury (flush with token 0x0)"
    return questions.Question(
        kind=COIN,
        subject=_subject(chain, owner),
        detail=f"{decimal_text(units, COIN_DECIMALS)} of {chain.name}'s native coin lie on {checksum(owner)}{of}",
        suggestion=f"ask the payer what it is for; {how}",
        invoice_id=known.invoice_id if known else None,
        tenant_id=payee.tenant_id if payee else None,
    )
