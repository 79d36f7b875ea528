"""Plans a sweep of one chain: what is there, what of it is worth moving, in which transactions. Sends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """What a native coin is worth in the tokens' currency: tokens that cost more gas than they are worth are left out.
    Coin needs no price for that: its gas is paid in the same."""


@dataclass(slots=True)
class SweepPlan:
    """`by_hand` are deposits of xpub wallets: their key's holder moves them. `small` is below the least that is wanted, `dear`
    costs more gas than it is worth, `suspended` waits for a person, `estimates` is the gas limit that a node says each batch
    needs (None: it would revert, or nobody tells), `different` is where the chain does not hold what the transfers say:
    {(address, token): (transfers, chain)}, `unread` where the token does not tell: [(address, token)]."""

    gas_price: int
    final: int
    batches: list[Batch] = field(default_factory=list)
    by_hand: list[Deposit] = field(default_factory=list)
    small: list[Deposit] = field(default_factory=list)
    dear: list[Deposit] = field(default_factory=list)
    estimates: list[int | None] = field(default_factory=list)
    suspended: list[Deposit] = field(default_factory=list)
    held: list[Deposit] = field(default_factory=list)
    """Their sender is on a list, or nobody was asked about it yet: no wish takes them."""
    different: dict[tuple[Address, Address], tuple[int, int]] = field(default_factory=dict)
    unread: list[tuple[Address, Address]] = field(default_factory=list)

    @property
    def limits(self) -> list[int]:
        """The gas limit to send each batch with."""
        return [one.limit(estimate) for one, estimate in zip(self.batches, self.estimates, strict=True)]

    @property
    def gas(self) -> int:
        return sum(one.gas for one in self.batches)

    @property
    def cost(self) -> int:
        """In the native coin's smallest unit, at the gas price of now."""
        return self.gas * self.gas_price


class Planner:
    def __init__(self, database: Database, screens: bool = False) -> None:
        """`screens`: senders are screened, so what nobody was asked about yet stays where it is."""
        self._database, self._screens = database, screens

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
        wanted = [
            replace(one, held=one.held or (self._screens and one.unbooked))
            for one in found
            if one.token in wish.minimum
        ]
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
                deposit = deposits.get((one.address, token))
                if deposit is None:
                    plan.unread.append((one.address, token))
                    continue
                if deposit.units != one.units and token != NATIVE:
                    plan.different[one.address, token] = (one.units, deposit.units)
                if one.held:
                    plan.held.append(deposit)
                elif one.suspended and not wish.with_suspense:
                    plan.suspended.append(deposit)
                elif deposit.units:
                    there.append(deposit)
            enough, small = worth(there, wish.minimum.get(token, 1))
            good, dear = self._paying(enough)
            plan.small += small
            plan.dear += dear
            if isinstance(wallet, ForwarderWallet):
                for batch in batches(wallet, token, good, wish.salts_max):
                    if self._pays(batch):
                        plan.batches.append(batch)
                    else:
                        plan.dear += batch.deposits
            else:
                plan.by_hand += good
        plan.estimates = [self._estimate(one) for one in plan.batches]
        return plan

    def _now(self, holdings: Sequence[Holding]) -> dict[tuple[Address, Address], Deposit]:
        """What is there now, where it is told: somebody may have flushed it since, or sent more."""
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
                held,
                one.salt,
                one.hd_index,
                one.invoice,
                deployed.get(one.address, False),
            )
            for one in holdings
            if (held := units[one.address, one.token]) is not None
        }

    def _paying(self, deposits: list[Deposit]) -> tuple[list[Deposit], list[Deposit]]:
        """(those that are worth their gas, those that are not)."""
        good: list[Deposit] = []
        dear: list[Deposit] = []
        for one in deposits:
            (good if self._pays(one) else dear).append(one)
        return good, dear

    def _pays(self, moved: Deposit | Batch) -> bool:
        """It is worth its gas, as far as somebody said what a coin is worth."""
        if moved.token == NATIVE:
            return Prices(self._gas_price, Decimal(1)).pays(moved, COIN_DECIMALS)
        price = self._wish.coin_price
        return price is None or Prices(self._gas_price, price).pays(moved, self._decimals[moved.token])

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
