"""Any sequence of reorganisations, seen at any moments, ends in the same books as the branch that won, read once.

A block is a function of its parent and its branch's name, so the chain may come back to the very blocks that it had left. The
books are real: PostgreSQL, watcher, reconciler and ledger as in production; only the node is in memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from billing.bootstrap import App, build
from billing.chain.block import Block
from billing.chain.policy import Band, Finality
from billing.chain.pool import Pool
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.compliance.screener import ListFile, Policy, Screener
from billing.core.clock import ManualClock
from billing.core.onchain import Address, Hash32
from billing.settings import Settings
from billing.wallets.watchlist import WatchList
from tests.chain.memory import MemoryChain, MemoryNode, raw_log
from tests.factories import no_fence
from tests.world import issued, world

CHAIN_ID, PAYER = 31337, Address("0x" + "ee" * 20)
LISTED = Address("0x" + "bd" * 20)
"""On a list of sanctioned addresses."""
DEEPEST = 5
FINALITY = Finality(3, DEEPEST + 1, (Band(Decimal(100), 1),))
CENTS = (1, 5_000, 19_999, 20_000, 20_001, 50_000)
numbers = count()


class Signers:
    """Every transaction is signed by the payer."""

    url = "memory"

    def transaction(self, tx_hash: Hash32) -> dict[str, str]:
        return {"from": PAYER}

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        raise AssertionError("there is no oracle")


@dataclass
class Site:
    """A database in which invoices were issued: two that are open and one that is void."""

    server: str
    settings: Settings
    clock: ManualClock
    addresses: Sequence[Address]
    treasury: Address
    usdc: Address
    other: Address
    sanctioned: Path

    @contextmanager
    def copy(self) -> Iterator[App]:
        name = f"books_{next(numbers)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE books_template STRATEGY FILE_COPY")
        url = make_url(self.server).set(database=name).render_as_string(hide_password=False)
        database = self.settings.database.model_copy(update={"url": type(self.settings.database.url)(url)})
        app = build(self.settings.model_copy(update={"database": database}), self.clock)
        policy = Policy((ListFile("sdn", self.sanctioned, self.clock.now()),))
        app.screener = Screener(app.database, self.clock, policy, lambda _, what: what(Signers()))
        try:
            yield app
        finally:
            app.close()
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE books_template TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    url = make_url(postgres).set(database="books_template").render_as_string(hide_password=False)
    folder: Path = tmp_path_factory.mktemp("books")
    with world(url, folder) as made:
        invoices = issued(made, "acme", "beta", "gamma")
        made.app.issuer.void(invoices[2].number, reason="wrong", actor="test")
        with made.app.database.transaction() as session:  # another chain of the same number is read from here on
            session.execute(text("DELETE FROM block"))
            session.execute(text("DELETE FROM chain_state"))
        addresses = [one.address for one in invoices if one.address is not None]
        found = Site(
            postgres, made.settings, made.clock, addresses, made.treasury, made.usdc, made.other, folder / "sdn"
        )
        found.sanctioned.write_text(LISTED)
    yield found


class Node(MemoryNode):
    """Transfers of two tokens: those whose name ends with `!` are of the one that is only watched."""

    def __init__(self, chain: MemoryChain, usdc: Address, other: Address) -> None:
        super().__init__(chain)
        self._usdc, self._other = usdc, other

    def chain_id(self) -> int:
        return CHAIN_ID

    def logs(self, tokens: Sequence[Address], **wanted: Any) -> list[dict[str, Any]]:
        self.lie = lambda logs: logs
        span, block_hash = wanted.get("span"), wanted.get("block_hash")
        found = []
        for block in self.chain.blocks:
            if block.hash == block_hash or (span is not None and span[0] <= block.number <= span[1]):
                found += self._of(block)
        for position, topics in enumerate(wanted.get("topics", ()), 1):
            if topics is not None:
                found = [one for one in found if one["topics"][position] in topics]
        return found

    def _of(self, block: Block) -> list[dict[str, Any]]:
        made = [raw_log(block, i, *one[:3], one[3]) for i, one in enumerate(self.chain.transfers[block.hash])]
        names = [one[3] for one in self.chain.transfers[block.hash]]
        return [
            {**log, "address": self._other if name.endswith("!") else self._usdc}
            for log, name in zip(made, names, strict=True)
        ]


def following(site: Site, app: App, chain: MemoryChain) -> Watcher:
    tokens = (Token(CHAIN_ID, "USDC", site.usdc, 6), Token(CHAIN_ID, "OUSD", site.other, 18))
    wanted = Chain(CHAIN_ID, "anvil", tokens, FINALITY, start=1, reorg_blocks_max=64)
    pool = Pool([Node(chain, site.usdc, site.other)], site.clock)
    return Watcher(app.database, site.clock, wanted, pool, WatchList(), no_fence)


BOOKS = {
    "ledger": "SELECT account, asset, tenant_id, invoice_id, sum(units)::text FROM posting GROUP BY 1, 2, 3, 4 HAVING sum(units) <> 0",
    "invoices": "SELECT number, status FROM invoice",
    "transfers": "SELECT block_hash, log_index, units::text, state, settled FROM transfer WHERE state <> 'orphaned'",
    "payments": "SELECT t.block_hash, t.log_index, p.disposition, p.kind, p.value_units::text, p.applied_units::text,"
    " p.credited_units::text, p.written_off_units::text, p.late FROM payment p JOIN transfer t ON t.id = p.transfer_id"
    " WHERE p.disposition <> 'reversed'",
    "credit": "SELECT tenant_id, currency, reference, units::text, final_at IS NOT NULL FROM tenant_credit WHERE reversed_at IS NULL",
    "questions": "SELECT kind, detail, invoice_id, tenant_id FROM exception WHERE status = 'open'",
}


def books(app: App) -> dict[str, list[str]]:
    with app.database.transaction() as session:
        return {name: sorted(str(tuple(row)) for row in session.execute(text(sql))) for name, sql in BOOKS.items()}


Story = list[tuple[str, Any, str]]
moves = st.lists(
    st.tuples(
        st.sampled_from(("acme", "beta", "void", "treasury", "out", "wrong", "flush", "held")), st.sampled_from(CENTS)
    ),
    max_size=3,
)
stories = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), moves, st.sampled_from("ab")),
        st.tuples(st.just("fork"), st.integers(1, DEEPEST), st.sampled_from("ab")),
        st.tuples(st.sampled_from(("watch", "reconcile", "both", "restart")), st.none(), st.just("")),
    ),
    max_size=18,
)


def transfers(site: Site, moved: Sequence[tuple[str, int]], name: str) -> list[tuple[Address, Address, int, str]]:
    acme, beta, void = site.addresses
    ends = {
        "acme": (PAYER, acme), "beta": (PAYER, beta), "void": (PAYER, void), "wrong": (PAYER, acme),
        "treasury": (PAYER, site.treasury), "out": (site.treasury, PAYER), "flush": (acme, site.treasury), "held": (LISTED, acme),
    }  # fmt: skip
    return [
        (*ends[what], cents * 10_000, f"{name}.{i}{'!' if what == 'wrong' else ''}")
        for i, (what, cents) in enumerate(moved)
    ]


def play(site: Site, app: App, story: Story) -> MemoryChain:
    """Play a story, and come to rest: everything read, everything that will be is final."""
    chain = MemoryChain()
    for _ in range(3):
        chain.extend()
    one = following(site, app, chain)
    one.sync()
    for what, how, branch in story:
        if what == "extend":
            chain.extend(branch, transfers(site, how, f"{len(chain.blocks)}{branch}{how}"))
        elif what == "fork":
            depth = min(how, len(chain.blocks) - 3)
            chain.fork(len(chain.blocks) - 1 - depth)
            for _ in range(depth + 1):
                chain.extend(branch)
        elif what == "restart":
            one = following(site, app, chain)
        if what in ("watch", "both"):
            one.sync()
        if what in ("reconcile", "both"):
            app.reconciler.tick()
    for _ in range(DEEPEST + 2):
        chain.extend("end")
    one.sync()
    app.reconciler.tick()
    return chain


A_B_A: Story = [
    ("extend", [("acme", 20_000)], "a"), ("both", None, ""), ("fork", 1, "b"), ("both", None, ""),
    ("fork", 2, "a"), ("extend", [("acme", 20_000)], "a"), ("both", None, ""),
]  # fmt: skip
UNNOTICED: Story = [
    ("extend", [("acme", 5_000)], "a"), ("both", None, ""), ("fork", 1, "b"), ("watch", None, ""), ("fork", 2, "a"), ("both", None, ""),
]  # fmt: skip
"""The block left the chain and came back between two ticks of the reconciler."""
STOPPED: Story = [
    ("extend", [("held", 20_000), ("acme", 5_000), ("flush", 5_000)], "a"), ("both", None, ""), ("extend", [], "a"), ("both", None, ""),
    ("fork", 2, "b"), ("both", None, ""), ("extend", [("held", 5_000)], "b"), ("extend", [("flush", 1)], "b"), ("both", None, ""),
    ("extend", [], "b"), ("extend", [], "b"), ("both", None, ""), ("fork", 3, "a"), ("both", None, ""),
]  # fmt: skip
"""Money of a listed sender is flushed, and the flush leaves the chain."""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories)
@example(story=A_B_A)
@example(story=UNNOTICED)
@example(story=STOPPED)
def test_any_story_ends_in_the_books_of_the_branch_that_won(site: Site, story: Story) -> None:
    with site.copy() as lived, site.copy() as fresh:
        chain = play(site, lived, story)
        following(site, fresh, chain).sync()
        fresh.reconciler.tick()
        assert books(lived) == books(fresh)
        found = lived.auditor.run(chains=False).findings
        assert found == [], [str(one) for one in found]
