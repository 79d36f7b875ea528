"""Makes credit of what comes to deposit addresses, and takes it back. Always in the reconciler's transaction."""

from datetime import datetime

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.chain.transfer import Transfer
from billing.core.money import decimal_text
from billing.db.engine import Session
from billing.invoicing.deposit import Deposit
from billing.invoicing.document import Settlement
from billing.invoicing.store import credit, deposits
from billing.ledger import store as ledger
from billing.quotes.feed import Rate
from billing.reconciliation import store, topup
from billing.reconciliation.lifecycle import DispositionEvent
from billing.reconciliation.matching import MatchKind
from billing.wallets import store as wallets


def target(session: Session, transfer: Transfer, deposit_id: int) -> tuple[Deposit, MatchKind | None]:
    """Whose address it is, and why the transfer is no top-up (None when it is). Its document counts, also when another one
    has replaced it."""
    deposit = deposits.by_id(session, deposit_id)
    taken = (transfer.chain_id, transfer.token) in accepted(deposit)
    return deposit, None if taken else MatchKind.WRONG_TOKEN


def accepted(deposit: Deposit) -> dict[tuple[int, str], Settlement]:
    """{(chain id, token address): terms} that the document accepts, for ever."""
    return {(one.chain_id, one.token_address): one for one in deposit.document.settlement}


def top_up(session: Session, transfer: Transfer, deposit: Deposit, rate: Rate, now: datetime) -> None:
    """Book a transfer as credit. It may be used once the transfer is final."""
    terms, currency = accepted(deposit)[transfer.chain_id, transfer.token], deposit.currency
    key = (transfer.id, transfer.incarnation)
    payment_id = store.add(session, key, DispositionEvent.MATCH, now, invoice=(None, deposit.tenant_id))
    store.give_rate(session, payment_id, rate)
    worth = topup.worth(transfer.units, terms, rate, currency)
    store.write(session, topup.allocation(payment_id, worth), currency.code, now)
    entry = topup.entry(transfer, (deposit.tenant_id, currency.code), worth, now)
    if entry is not None:
        ledger.post(session, entry)
    final = transfer.state is ChainState.FINAL
    grant = credit.Grant(deposit.tenant_id, "prepaid", currency.code, worth.value, transfer.tx_hash, final)
    credit.set_credit(session, transfer.id, grant, now)


def take_back(session: Session, payment: store.Payment, now: datetime) -> int:
    """A top-up's block left the chain; its entries are reversed already. Returns how many questions are new: only a person
    who rewinds a chain can take back credit that was used."""
    store.clear(session, payment.id, now)
    credit.set_credit(session, payment.transfer_id, None, now)
    used = credit.used_of(session, payment.transfer_id)
    if used <= 0:
        return 0
    known = wallets.known(session, chain.by_id(session, payment.transfer_id).receiver)
    assert known is not None and known.deposit_id is not None
    deposit = deposits.by_id(session, known.deposit_id)
    amount = decimal_text(used, deposit.currency.exponent)
    question = store.Question(
        kind="credit_used",
        subject=f"credit of transfer {payment.transfer_id}",
        detail=f"{amount} {deposit.currency.code} of its credit pay invoices, and the chain took it back",
        suggestion=f"ask {deposit.tenant} for it; until then its credit is overdrawn",
        tenant_id=deposit.tenant_id,
    )
    return int(store.keep_asking(session, question, now))
