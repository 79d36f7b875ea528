"""A finance desk: tenants with two open invoices each, and money that waits for a person."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url, text

from billing.chain import store as chain
from billing.chain.block import Log
from billing.chain.lifecycle import ChainState
from billing.chain.store import reach
from billing.core.clock import ManualClock
from billing.core.keccak import keccak256
from billing.core.onchain import Address, to_hash
from billing.core.period import Span, month
from billing.fleet.gpu import DeviceKey
from billing.invoicing.invoice import Invoice
from billing.reconciliation import store
from tests.factories import NO_EXCLUSIONS, ScriptedSource, at, collector
from tests.web.client import TREASURY, USDC, WATCHED, application
from tests.web.scene import CHAIN, Scene

NOVEMBER = month(2026, 11)
NOW = at(24 * 32, day=31)
TEMPLATE = "desk_template"
numbers = count(1)


class Desk(Scene):
    """acme and beta each owe 20.00 USD for October (INV-000001 and 2), and 30.00 for November (3 and 4)."""

    @property
    def invoices(self) -> list[Invoice]:
        from billing.invoicing.store import listed

        with self.app.database.transaction() as session:
            return listed(session)

    def stray(self, to: Invoice, amount: int) -> int:
        """So many whole dollars in a token that invoices do not accept, final; the exception's id."""
        self.pay(to, amount * 10**18, WATCHED)
        self.mine(10)
        return int(max(one["id"] for one in self.questions()))

    def moved(self, sender: str, receiver: str, units: int, token: str = USDC) -> str:
        """Any transfer, final; its transaction."""
        number, now = self.next_block(), self.clock.now()
        tx_hash = to_hash(keccak256(f"moved {next(self._numbers)}".encode()))
        block_hash = to_hash(keccak256(f"block of {tx_hash}".encode()))
        log = Log(number, block_hash, 0, tx_hash, Address(token), Address(sender), Address(receiver), units)
        with self.app.database.transaction() as session:
            chain.add_transfers(session, CHAIN, [log], {number: now}, now)
        self._all_final()
        return str(tx_hash)

    def _all_final(self) -> None:
        with self.app.database.transaction() as session:
            for before, after in ((ChainState.SEEN, ChainState.CONFIRMED), (ChainState.CONFIRMED, ChainState.FINAL)):
                reach.move_up_to(session, CHAIN, before, after, self.head, self.clock.now())
        self.app.reconciler.tick()

    def pays_out(self, receiver: str, units: int, token: str = USDC) -> str:
        return self.moved(TREASURY, receiver, units, token)

    def forget(self, transfer_id: int) -> None:
        """A person rewound the chain, and the transfer is not on it any more."""
        ((block_hash,),) = self.rows(f"SELECT block_hash FROM transfer WHERE id = {transfer_id}")
        with self.app.database.transaction() as session:
            chain.orphan_blocks(session, CHAIN, [block_hash], self.clock.now(), even_final=True)
        self.app.reconciler.tick()

    def bring_back(self, transfer_id: int) -> None:
        """Its block is on the chain again."""
        row = self.rows(
            "SELECT block_number, block_hash, log_index, tx_hash, token_address, from_address, to_address, units::text, mined_at"
            f" FROM transfer WHERE id = {transfer_id}"
        )[0]
        number, block_hash, index, tx, token, sender, receiver, units, _ = row
        log = Log(number, block_hash, index, tx, token, sender, receiver, int(units))
        with self.app.database.transaction() as session:
            chain.add_transfers(session, CHAIN, [log], {row[0]: row[8]}, self.clock.now())
        self._all_final()

    def questions(self, status: str | None = "open") -> list[dict[str, Any]]:
        with self.app.database.transaction() as session:
            return store.exceptions(session, status=status)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.app.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(sql))]

    def balance(self, account: str, asset: str = "USD") -> int:
        sql = f"SELECT coalesce(sum(units), 0) FROM posting WHERE account = '{account}' AND asset = '{asset}'"
        return int(self.rows(sql)[0][0])

    def findings(self) -> list[str]:
        return [str(one) for one in self.app.auditor.run(chains=False).findings]


def _two_months(scene: Scene, *slugs: str) -> None:
    scene.invoiced(*slugs, hours=10)
    gpus = {slug: DeviceKey(f"GPU-{slug}") for slug in slugs}
    source = ScriptedSource({gpu: [(0, 10**11, "")] for gpu in gpus.values()}, up=[(0, 10**11)], interval=3600)
    collecting = collector(scene.app.database, scene.clock, source, rule=NO_EXCLUSIONS)
    for slug, gpu in gpus.items():
        span = Span(NOVEMBER.start, NOVEMBER.start.replace(hour=15))
        scene.app.leaser.add(slug, span, uuids=[gpu.uuid], reference=f"november-{slug}", actor="test")
    scene.clock.move_to(NOW)
    collecting.apply_changes()
    while collecting.tick(240).windows:
        pass
    scene.app.issuer.run(NOVEMBER, actor="test")


@dataclass(frozen=True)
class Site:
    """A database and an archive of which every test gets a copy of its own."""

    server: str
    folder: Path

    def _url(self, name: str) -> str:
        return make_url(self.server).set(database=name).render_as_string(hide_password=False)

    def build(self) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE stablemeter_template STRATEGY FILE_COPY")
        clock = ManualClock(at(24, day=31))
        app = application(self._url(TEMPLATE), self.folder / "template", clock)
        _two_months(Scene(app, clock), "acme", "beta")
        app.close()

    @contextmanager
    def copy(self) -> Iterator[Desk]:
        name = f"desk_{next(numbers)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        shutil.copytree(self.folder / "template", self.folder / name)
        clock = ManualClock(NOW)
        app = application(self._url(name), self.folder / name, clock)
        try:
            yield Desk(app, clock)
        finally:
            app.close()
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
