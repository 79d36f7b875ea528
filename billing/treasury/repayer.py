"""Plans refunds of one chain, and links the treasury's transfers that paid them. Sends nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.chain import store as chain_store
from billing.chain.lifecycle import ChainState
from billing.chain.node import Node
from billing.chain.store import tokens
from billing.chain.transfer import Transfer
from billing.chain.watcher import Watcher
from billing.core.clock import Clock
from billing.core.errors import Conflict, Unavailable
from billing.core.money import decimal_text
from billing.core.onchain import Address, Hash32, checksum
from billing.db.engine import Database, Session
from billing.ledger import store as ledger
from billing.ledger.account import treasury
from billing.reconciliation import postings
from billing.reconciliation import store as reconciliation
from billing.reconciliation.store import refunds
from billing.reconciliation.store.refunds import Refund
from billing.tenants import store as tenants
from billing.trail.store import Deed, record
from billing.treasury.payee import Screen
from billing.treasury.payout import Payout
from billing.treasury.store import payees
from billing.wallets import store as wallets


@dataclass(slots=True)
class RefundPlan:
    """`payouts` in the order of the refunds; `homeless` are refunds (id, tenant, token, units) without a confirmed payee, `refused`
    those (id, why) whose payee must not be paid,
    `estimates` what gas a node says each payout needs (None: it would revert, or nobody tells), `short` is {token: units} that
    the treasury lacks, as the books say."""

    payouts: list[Payout] = field(default_factory=list)
    homeless: list[tuple[int, str, Address, int]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    estimates: list[int | None] = field(default_factory=list)
    short: dict[Address, int] = field(default_factory=dict)


class Repayer:
    def __init__(self, database: Database, clock: Clock, screen: Screen) -> None:
        self._database, self._clock, self._screen = database, clock, screen

    def plan(self, watcher: Watcher, sender: Address | None) -> RefundPlan:
        """Everything that is owed back on a chain, to confirmed payees only. `sender` is the treasury that would send it."""
        chain_id = watcher.chain.chain_id
        with self._database.transaction() as session:
            found = self._found(session, chain_id)
        self._leave_out(found, chain_id)
        with self._database.transaction() as session:
            found.short = _short(session, chain_id, found.payouts)
        if sender is not None and found.payouts:
            found.estimates = _estimates(watcher, sender, found.payouts)
        else:
            found.estimates = [None] * len(found.payouts)
        return found

    @staticmethod
    def _found(session: Session, chain_id: int) -> RefundPlan:
        found, homes = RefundPlan(), payees.confirmed(session, chain_id)
        names = {one: tenant.slug for one, tenant in tenants.by_id(session).items()}
        for one in refunds.owed_on(session, chain_id):
            payee = homes.get(one.tenant_id or 0)
            if payee is None:
                found.homeless.append((one.id, names.get(one.tenant_id or 0, ""), one.token, one.units))
            else:
                found.payouts.append(Payout(one.id, payee.tenant, one.token, payee.address, one.units))
        return found

    def _leave_out(self, plan: RefundPlan, chain_id: int) -> None:
        """What is on a sanctions list by now. Raises Unavailable or Untrusted while nobody can tell: such a plan must wait."""
        on = {payee: self._screen(chain_id, payee) for payee in {one.payee for one in plan.payouts}}
        plan.refused = [
            (one.refund, f"{checksum(one.payee)} is on {on[one.payee]}") for one in plan.payouts if on[one.payee]
        ]
        plan.payouts = [one for one in plan.payouts if not on[one.payee]]

    def paid(self, refund_id: int, tx_hash: Hash32, *, actor: str, reason: str = "") -> str:
        """Link the treasury's transfer that paid a refund. Returns one line that says what was booked.

        Raises Conflict when it is paid already, or no final transfer of the transaction is exactly this refund to a payee that two
        people confirmed.
        """
        now = self._clock.now()
        with self._database.transaction() as session:
            refund = refunds.hold(session, refund_id)
            if refund.state != refunds.OWED:
                raise Conflict(f"refund {refund_id} is {refund.state}", remedy="stablemeter refund list --all")
            transfer = _paying(session, refund, tx_hash)
            token = tokens.known(session)[transfer.chain_id, transfer.token]
            refunds.pay(session, refund_id, transfer.id, now)
            ledger.post(session, postings.refund_paid(transfer, token, refund.tenant_id, now))
            done = (
                f"{decimal_text(transfer.units, token.decimals)} {token.symbol} went to {checksum(transfer.receiver)}"
            )
            details = {"tx_hash": tx_hash, "paid": done}
            record(session, Deed(now, actor, "refund.paid", f"refund {refund_id}", reason, details))
        return done


def _paying(session: Session, refund: Refund, tx_hash: Hash32) -> Transfer:
    """The transfer that pays exactly this refund. Raises Conflict that says why there is none."""
    there = [chain_store.by_id(session, one) for one in refunds.in_transaction(session, refund.chain_id, tx_hash)]
    ours = [one for one in there if one.token == refund.token and _is_treasury(session, one.sender)]
    if not ours:
        raise Conflict(
            f"no transfer of this token out of the treasury was seen in {tx_hash}",
            remedy="wait until the chain was read so far: stablemeter chain status",
        )
    right = [
        one for one in ours if payees.ever_confirmed(session, refund.tenant_id or 0, refund.chain_id, one.receiver)
    ]
    if not right:
        raise Conflict(f"it went to {checksum(ours[0].receiver)}, which two people never confirmed for this tenant")
    exact = [one for one in right if one.units == refund.units]
    if not exact:
        raise Conflict(f"it sent {right[0].units} units, and {refund.units} are owed")
    free = [one for one in exact if not refunds.is_used(session, one.id)]
    if not free:
        raise Conflict("that transfer paid another refund already")
    transfer = free[0]
    if transfer.state is not ChainState.FINAL:
        raise Conflict("the transfer is not final yet", remedy="wait until its block cannot be taken back")
    if reconciliation.find(session, transfer.id, transfer.incarnation) is None:
        raise Conflict("the transfer is not booked yet", remedy="stablemeter reconcile")
    return transfer


def _is_treasury(session: Session, address: Address) -> bool:
    known = wallets.known(session, address)
    return known is not None and known.kind == "treasury"


def _short(session: Session, chain_id: int, payouts: Sequence[Payout]) -> dict[Address, int]:
    """What the treasury holds less of each token than would be sent."""
    known, wanted = tokens.known(session), dict[Address, int]()
    for one in payouts:
        wanted[one.token] = wanted.get(one.token, 0) + one.units
    found = {}
    for address, units in wanted.items():
        token = known[chain_id, address]
        held = ledger.balance(session, treasury(chain_id, token.symbol), token.asset.code)
        if units > held:
            found[address] = units - held
    return found


def _estimates(watcher: Watcher, sender: Address, payouts: Sequence[Payout]) -> list[int | None]:
    def ask(node: Node) -> list[int | None]:
        return [_estimate(node, sender, one) for one in payouts]

    try:
        return watcher.pool.ask(ask)
    except Unavailable:
        return [None] * len(payouts)


def _estimate(node: Node, sender: Address, payout: Payout) -> int | None:
    try:
        return node.estimate_gas(sender, payout.to, payout.data)
    except Conflict:
        return None
