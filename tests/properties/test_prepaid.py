"""Any order of top-ups, reorganisations, grants, invoices and voids leaves a balanced ledger in which tenants' accounts say what
the rows of credit say, and those what stands on the chain. Reconciler, issuer and audit are real; the chain is written down."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from billing.chain import store as chain
from billing.chain.block import Log
from billing.core.clock import ManualClock
from billing.core.onchain import Address
from billing.invoicing.deposit import Deposit
from billing.invoicing.granter import Gift
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import Filter, listed
from tests.factories import at
from tests.web.client import USDC, WATCHED, application
from tests.web.scene import CHAIN, SENDER, Scene, hashed
from tests.world import PERIOD

CENTS = (1, 999, 2_000, 2_001, 5_000)
UNFINAL = 8
numbers = count()

Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("top up", "grant")), st.sampled_from(CENTS)),
        st.tuples(st.just("mine"), st.sampled_from((1, 3, 12))),
        st.tuples(st.sampled_from(("dust", "wrong token", "orphan", "return", "invoice", "void")), st.just(0)),
    ),
    max_size=14,
)


@dataclass
class Player:
    """Plays steps. `sent` are the logs of its transfers, in order."""

    scene: Scene
    deposit: Deposit
    sent: list[Log] = field(default_factory=list)

    def play(self, what: str, how: int) -> None:
        app, clock = self.scene.app, self.scene.clock
        if what in ("top up", "dust", "wrong token"):
            self._send(*{"dust": (USDC, 7), "wrong token": (WATCHED, 10**18)}.get(what, (USDC, how * 10_000)))
        elif what == "grant":
            app.granter.grant(Gift("acme", f"{how // 100}.{how % 100:02}", "a test"), actor="test")
        elif what == "mine":
            self.scene.mine(how)
        elif what == "orphan":
            with app.database.transaction() as session:
                chain.orphan_above(session, CHAIN, self.scene.head - UNFINAL, clock.now())
            app.reconciler.tick()
        elif what == "return" and self.sent:
            with app.database.transaction() as session:
                chain.add_transfers(
                    session, CHAIN, self.sent[-1:], {self.sent[-1].block_number: clock.now()}, clock.now()
                )
            self.scene.follow()
        elif what == "invoice":
            app.issuer.run(PERIOD, "acme", actor="test")
        elif what == "void":
            with app.database.transaction() as session:
                standing = [one.number for one in listed(session, Filter(status=InvoiceStatus.OPEN))]
            for number in standing:
                app.issuer.void(number, reason="a test", actor="test")

    def _send(self, token: str, units: int) -> None:
        number = self.scene.next_block()
        tx_hash = hashed("sent", len(self.sent))
        log = Log(number, hashed("block", number), 0, tx_hash, Address(token), SENDER, self.deposit.address, units)
        self.sent.append(log)
        with self.scene.app.database.transaction() as session:
            chain.add_transfers(session, CHAIN, [log], {number: self.scene.clock.now()}, self.scene.clock.now())
        self.scene.follow()

    def check(self) -> None:
        """In whole cents: what stands on the chain is the credit that stands, and is or was used; final credit alone was used."""
        with self.scene.app.database.transaction() as session:
            stands = session.execute(
                text(
                    "SELECT coalesce(sum(floor(units / 10000)), 0) FROM transfer WHERE state IN ('confirmed', 'final')"
                    " AND token_address = :token"
                ),
                {"token": USDC},
            ).scalar_one()
            held = session.execute(
                text("SELECT coalesce(sum(units), 0) FROM tenant_credit WHERE kind = 'prepaid' AND reversed_at IS NULL")
            ).scalar_one()
            unfinal = session.execute(
                text(
                    "SELECT count(*) FROM tenant_credit c WHERE final_at IS NULL"
                    " AND EXISTS (SELECT FROM credit_use u WHERE u.credit_id = c.id)"
                )
            ).scalar_one()
        assert (held, unfinal) == (stands, 0)


@dataclass
class Site:
    server: str
    folder: Path

    @contextmanager
    def copy(self) -> Iterator[Player]:
        """A copy of the database and its archive, in which acme used 20.00 USD and has a deposit address."""
        name, folder = f"prepaid_{next(numbers)}", self.folder / f"copy-{next(numbers)}"
        shutil.copytree(self.folder / "template", folder)
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE prepaid_template STRATEGY FILE_COPY")
        clock = ManualClock(at(30, day=31))
        app = application(_named(self.server, name), folder, clock)
        scene = Scene(app, clock)
        try:
            yield Player(scene, scene.deposit("acme"))
        finally:
            app.close()
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE prepaid_template TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    folder = tmp_path_factory.mktemp("prepaid")
    clock = ManualClock(at(24, day=31))
    app = application(_named(postgres, "prepaid_template"), folder / "template", clock)
    scene = Scene(app, clock)
    scene.meter("acme")
    scene.deposit("acme")
    app.close()
    yield Site(postgres, folder)


USED_AND_RETURNED: list[Step] = [
    ("top up", 5_000), ("mine", 3), ("orphan", 0), ("return", 0), ("mine", 12), ("grant", 999), ("invoice", 0), ("mine", 3),
]  # fmt: skip
IN_PART: list[Step] = [
    ("top up", 999),
    ("mine", 12),
    ("invoice", 0),
    ("top up", 2_000),
    ("void", 0),
    ("mine", 12),
    ("invoice", 0),
]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=steps)
@example(story=USED_AND_RETURNED)
@example(story=IN_PART)
def test_any_order_leaves_books_that_balance_and_say_what_credit_says(site: Site, story: list[Step]) -> None:
    with site.copy() as player:
        for what, how in story:
            player.play(what, how)
            player.check()
        found = player.scene.app.auditor.run(chains=False).findings
        assert found == [], [str(one) for one in found]
