"""Plans a sweep of one chain: what is there, what of it is worth moving, in which transactions. Sends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.chain import store as chain_store
from billing.chain.balances import NATIVE, balances
from billing.chain.node import Node
from billing.chain.watcher import Watcher
from billing.core.errors import Conflict, NotFound, Unavailable
from billing.core.onchain import ZERO_ADDRESS, Address, Hash32
from billing.db.engine import Database
from billing.treasury import store
from billing.treasury.store import Holding
from billing.treasury.sweep import COIN_DECIMALS, SALTS_MAX, Batch, Deposit, Prices, batches, worth
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
    coin: bool = False
    """Native coin too."""
    coin_price: Decimal | None = None
    """What a native coin is worth in the tokens' currency: what costs more gas than it is worth is left out."""


@dataclass(slots=True)
class SweepPlan:
    """`by_hand` are deposits of xpub wallets: their key's holder moves them. `small` is below the least that is wanted, `dear`
    costs more gas than it is worth, `suspended` waits for a person, `estimates` is what a node says that each batch uses
    (None: it would revert, or nobody tells), `different` is where the chain does not hold what the transfers say: {(address,
    token): (transfers, chain)}."""

    gas_price: int
    final: int
    batches: list[Batch] = field(default_factory=list)
    by_hand: list[Deposit] = field(default_factory=list)
    small: list[Deposit] = field(default_factory=list)
    dear: list[Deposit] = field(default_factory=list)
    estimates: list[int | None] = field(default_factory=list)
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
            coins = store.addresses(session, generations) if wish.coin else []
        wanted = [one for one in found if one.token in wish.minimum]
        decimals = {token.address: token.decimals for token in watcher.chain.tokens}
        return watcher.pool.ask(
            lambda node: _Look(node, wish, decimals).plan([*wanted, *coins], generations, cursor.final)
        )


class _Look:
    """One node's view of what there is to sweep."""

    def __init__(self, node: Node, wish: Wish, decimals: Mapping[Address, int]) -> None:
        self._node, self._wish, self._decimals = node, wish, decimals
        self._gas_price = node.gas_price()

    def plan(self, holdings: Sequence[Holding], generations: dict[int, Wallet], final: int) -> SweepPlan:
        wish, plan = self._wish, SweepPlan(self._gas_price, final)
        deposits = self._now(holdings)
        for (generation_id, token), group in _grouped(holdings).items():
            wallet, there = generations[generation_id], []
            for one in group:
                deposit = deposits[one.address, token]
                if deposit.units != one.units and token != NATIVE:
                    plan.different[one.address, token] = (one.units, deposit.units)
                if one.suspended and not wish.with_suspense:
                    plan.suspended.append(deposit)
                elif deposit.units:
                    there.append(deposit)
            enough, small = worth(there, wish.minimum.get(token, 1))
            good, dear = self._paying(enough)
            plan.small += small
            plan.dear += dear
            if isinstance(wallet, ForwarderWallet):
                plan.batches += batches(wallet, token, good, wish.salts_max)
            else:
                plan.by_hand += good
        plan.estimates = [self._estimate(one) for one in plan.batches]
        return plan

    def _now(self, holdings: Sequence[Holding]) -> dict[tuple[Address, Address], Deposit]:
        """What is there now: somebody may have flushed it since, or sent more."""
        head = self._node.block("latest")
        if head is None:
            raise Unavailable(f"{self._node.url} knows no block")
        units = balances(self._node, [(one.address, one.token) for one in holdings], head.number)
        full = sorted({one.address for one in holdings if one.salt and units[one.address, one.token]})
        deployed = dict(zip(full, self._node.have_code(full), strict=True))
        return {
            (one.address, one.token): Deposit(
                one.address,
                one.token,
                units[one.address, one.token] or 0,
                one.salt,
                one.hd_index,
                one.invoice,
                deployed.get(one.address, False),
            )
            for one in holdings
        }

    def _paying(self, deposits: list[Deposit]) -> tuple[list[Deposit], list[Deposit]]:
        """(those that are worth their gas, those that are not)."""
        if self._wish.coin_price is None:
            return deposits, []
        prices = Prices(self._gas_price, self._wish.coin_price)
        coins = Prices(self._gas_price, Decimal(1))
        pays = {
            one: coins.pays(one, COIN_DECIMALS) if one.token == NATIVE else prices.pays(one, self._decimals[one.token])
            for one in deposits
        }
        return [one for one in deposits if pays[one]], [one for one in deposits if not pays[one]]

    def _estimate(self, batch: Batch) -> int | None:
        sender = batch.wallet.treasury if batch.wallet.flusher == ZERO_ADDRESS else batch.wallet.flusher
        try:
            return self._node.estimate_gas(sender, batch.to, batch.data)
        except (Conflict, Unavailable):
            return None


def _grouped(holdings: Sequence[Holding]) -> dict[tuple[int, Address], list[Holding]]:
    grouped: dict[tuple[int, Address], list[Holding]] = {}
    for one in holdings:
        grouped.setdefault((one.generation_id, one.token), []).append(one)
    return grouped
