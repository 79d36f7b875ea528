"""An application with invoices and payments in a real database, and a chain that is written down instead of mined: the
rows that a watcher would store, dealt with by the real reconciler."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing.bootstrap import App
from billing.chain import store as chain
from billing.chain.block import Block, Log
from billing.chain.lifecycle import ChainState
from billing.chain.store import proofs, reach, tokens
from billing.core.clock import ManualClock
from billing.core.keccak import keccak256
from billing.core.onchain import Address, Hash32, to_hash
from billing.core.period import Span
from billing.fleet.gpu import DeviceKey
from billing.invoicing.deposit import Deposit
from billing.invoicing.depositor import Wanted
from billing.invoicing.invoice import Invoice
from billing.invoicing.store import Filter, listed
from billing.tenants.keys import KeyRole
from billing.tenants.tenant import Attribution, Tenant
from billing.wallets import store as wallets
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, at, collector
from tests.web.client import USDC, Client, client
from tests.world import BOOK, PERIOD

CHAIN = 31337
SENDER = Address("0x" + "5e" * 20)


def hashed(*parts: object) -> Hash32:
    return to_hash(keccak256(repr(parts).encode()))


@dataclass
class Scene:
    """Tenants lease a GPU each for `hours` at 2.00 USD an hour. Blocks are numbered from 100 on."""

    app: App
    clock: ManualClock
    head: int = 100
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def meter(self, *slugs: str, hours: int = 10, **fields: Any) -> None:
        """Usage of October; `fields` go into every tenant."""
        gpus = {slug: DeviceKey(f"GPU-{slug}") for slug in slugs}
        source = ScriptedSource({gpu: [(0, 10**11, "")] for gpu in gpus.values()}, up=[(0, 10**11)], interval=3600)
        collecting = collector(self.app.database, self.clock, source, rule=NO_EXCLUSIONS)
        self.clock.move_to(at(5))
        collecting.tick()
        for slug, gpu in gpus.items():
            name = fields.pop("name", slug.title())
            self.app.registrar.add(Tenant(slug, name, Attribution.LEASE, **fields), [], actor="test")
            span = Span(OCTOBER, at(hours))
            self.app.leaser.add(slug, span, uuids=[gpu.uuid], reference=f"lease-{slug}", actor="test")
        self.clock.move_to(at(hours + 4))
        while collecting.tick().windows:
            pass
        self.app.rater.apply(BOOK, actor="test")
        self.clock.move_to(at(30, day=31))

    def issue(self) -> list[Invoice]:
        """The invoices of October, on a chain that counts as verified."""
        self.accept()
        return self.app.issuer.run(PERIOD, actor="test")

    def accept(self) -> None:
        """The chain counts as verified, and is followed."""
        with self.app.database.transaction() as session:
            assert self.app.wallet is not None
            generation = wallets.generation(session, self.app.wallet, self.clock.now())
            wallets.accept_chain(session, generation.id, CHAIN, self.clock.now())
            block = Block(self.head, hashed("block", self.head), hashed("block", self.head - 1), self.clock.now())
            if chain.cursor(session, CHAIN) is None:
                tokens.note(session, self.app.tokens)
                chain.begin(session, CHAIN, "anvil", block, self.clock.now())

    def deposit(self, slug: str) -> Deposit:
        """A tenant's deposit address."""
        self.accept()
        return self.app.depositor.give(Wanted(slug), actor="test").deposit

    def invoiced(self, *slugs: str, hours: int = 10, **fields: Any) -> list[Invoice]:
        self.meter(*slugs, hours=hours, **fields)
        return self.issue()

    def pay(self, to: Invoice | Deposit, units: int, token: str = USDC) -> Hash32:
        """A transfer in a block of its own; returns its transaction."""
        assert to.address is not None
        number, now = self.next_block(), self.clock.now()
        tx_hash = hashed("tx", next(self._numbers))
        log = Log(number, hashed("block", number), 0, tx_hash, Address(token), SENDER, to.address, units)
        with self.app.database.transaction() as session:
            chain.add_transfers(session, CHAIN, [log], {number: now}, now)
        self.follow()
        return tx_hash

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.next_block()
        self.follow()

    def orphan(self) -> None:
        """The chain forgets every block above the first."""
        with self.app.database.transaction() as session:
            chain.orphan_above(session, CHAIN, 100, self.clock.now())
        self.app.reconciler.tick()

    def over(self, period: Span) -> None:
        """The month is over, and the chain is final and proven past its end."""
        self.clock.move_to(period.end + timedelta(days=2))
        self.mine(15)
        with self.app.database.transaction() as session:
            newest = Block(self.head, hashed("block", self.head), hashed("block", self.head - 1), self.clock.now())
            chain.add_blocks(session, CHAIN, [newest])
            reach.set_reach(session, CHAIN, self.head, self.head, self.clock.now())
            proofs.advance(session, CHAIN, proofs.proven(session, CHAIN), self.head, self.clock.now())

    def stop_chain(self) -> None:
        with self.app.database.transaction() as session:
            chain.stop(session, CHAIN, "a secret reason", self.clock.now())

    def again(self, invoice: Invoice) -> Invoice:
        with self.app.database.transaction() as session:
            return listed(session, Filter(number=invoice.number))[0]

    def client(self, role: KeyRole, tenant: str = "", owner: str = "") -> Client:
        return client(self.app, role, tenant, owner)

    def next_block(self) -> int:
        """Two seconds later, a block without transfers; its number."""
        self.clock.advance(timedelta(seconds=2))
        with self.app.database.transaction() as session:
            before = chain.cursor(session, CHAIN)
            assert before is not None
            self.head += 1
            block = Block(self.head, hashed("block", self.head), hashed("block", self.head - 1), self.clock.now())
            chain.advance(session, before, block, self.clock.now())
        return self.head

    def follow(self) -> None:
        """Three blocks confirm, ten are final."""
        now = self.clock.now()
        with self.app.database.transaction() as session:
            for before, after, depth in (
                (ChainState.SEEN, ChainState.CONFIRMED, 3),
                (ChainState.CONFIRMED, ChainState.FINAL, 10),
            ):
                reach.move_up_to(session, CHAIN, before, after, self.head - depth + 1, now)
        self.app.reconciler.tick()
