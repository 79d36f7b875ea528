"""Plans a sweep of one chain: what is there, what of it is worth moving, in which transactions. Sends nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.chain import store as chain_store
from billing.chain.node import Node
from billing.chain.verifier import balance_of
from billing.chain.watcher import Watcher
from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address, Hash32
from billing.db.engine import Database
from billing.treasury import store
from billing.treasury.store import Holding
from billing.treasury.sweep import SALTS_MAX, Batch, Deposit, batches, worth
from billing.wallets import store as wallets
from billing.wallets.wallet import ForwarderWallet, Wallet


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants swept: some tokens (by address: least units), of some wallets (empty: all), with addresses that
    wait for a person or without."""

    minimum: dict[Address, int]
    pins: frozenset[Hash32] = frozenset()
    with_suspense: bool = False
    salts_max: int = SALTS_MAX


@dataclass(slots=True)
class SweepPlan:
    """`by_hand` are deposits of xpub wallets: their key's holder moves them. `small` is not worth it, `suspended` waits for
    a person, `different` is where the chain does not hold what the transfers say: {address: (transfers, chain)}."""

    gas_price: int
    final: int
    batches: list[Batch] = field(default_factory=list)
    by_hand: list[Deposit] = field(default_factory=list)
    small: list[Deposit] = field(default_factory=list)
    suspended: list[Deposit] = field(default_factory=list)
    different: dict[tuple[Address, Address], tuple[int, int]] = field(default_factory=dict)

    @property
    def gas(self) -> int:
        return sum(one.gas for one in self.batches)

    @property
    def cost(self) -> int:
        """In the native coin's smallest unit, at the gas price of now."""
        return self.gas * self.gas_price


class Planner:
    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, watcher: Watcher, wish: Wish) -> SweepPlan:
        """Raises NotFound for an unknown pin, Conflict before anything is final, Unavailable when no endpoint answers."""
        with self._database.transaction() as session:
            cursor = chain_store.cursor(session, watcher.chain.chain_id)
            generations = {
                one.id: one.wallet
                for one in wallets.generations(session)
                if not wish.pins or one.wallet.pin() in wish.pins
            }
            if wish.pins - {one.pin() for one in generations.values()}:
                raise NotFound("no wallet has that pin", remedy="see: stablemeter wallet show")
            if cursor is None or cursor.final < 0:
                raise Conflict(f"nothing is final on {watcher.chain.name} yet", remedy="stablemeter chain status")
            found = store.holdings(session, cursor.chain_id, cursor.final, generations)
        wanted = [one for one in found if one.token in wish.minimum]
        return watcher.pool.ask(lambda node: _plan(node, wanted, generations, wish, cursor.final))


def _plan(node: Node, holdings: Sequence[Holding], generations: dict[int, Wallet], wish: Wish, final: int) -> SweepPlan:
    plan = SweepPlan(node.gas_price(), final)
    for (generation_id, token), group in _grouped(holdings).items():
        wallet = generations[generation_id]
        deposits = []
        for one in group:
            deposit = _look(node, one)
            if deposit.units != one.units:
                plan.different[one.address, token] = (one.units, deposit.units)
            if one.suspended and not wish.with_suspense:
                plan.suspended.append(deposit)
            elif deposit.units:
                deposits.append(deposit)
        enough, small = worth(deposits, wish.minimum[token])
        plan.small += small
        if isinstance(wallet, ForwarderWallet):
            plan.batches += batches(wallet, token, enough, wish.salts_max)
        else:
            plan.by_hand += enough
    return plan


def _grouped(holdings: Sequence[Holding]) -> dict[tuple[int, Address], list[Holding]]:
    grouped: dict[tuple[int, Address], list[Holding]] = {}
    for one in holdings:
        grouped.setdefault((one.generation_id, one.token), []).append(one)
    return grouped


def _look(node: Node, one: Holding) -> Deposit:
    """What is there now: somebody may have flushed it since, or sent more."""
    units = balance_of(node, one.token, one.address, "latest")
    deployed = bool(units and one.salt and node.code(one.address))
    return Deposit(one.address, one.token, units, one.salt, one.hd_index, one.invoice, deployed)
