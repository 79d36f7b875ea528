"""Small amounts may count sooner; splitting a large one gains nothing."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import text

from billing.chain.block import Block
from billing.chain.policy import Band, Finality, Tags
from billing.chain.pool import Pool
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.clock import ManualClock
from billing.core.onchain import Address
from billing.db.engine import Database
from billing.settings.chains import ChainSettings
from tests.chain.memory import TOKEN, MemoryChain, MemoryNode, raw_log
from tests.chain.test_watcher import MINE, PAYER, Watched
from tests.factories import at, no_fence

OTHER = Address("0x" + "bb" * 20)
"""Not of an invoice."""
BANDS = ((Decimal(10), 1), (Decimal(100), 3))
ANY = 6
FINALITY = Finality(ANY, 1000, tuple(Band(up_to, depth) for up_to, depth in BANDS))
AMOUNTS = (1_000_000, 5_000_000, 9_999_999, 10_000_001, 60_000_000, 90_000_000, 200_000_000)


@pytest.fixture(scope="module")
def shared(postgres: str) -> Iterator[Database]:
    import psycopg
    from sqlalchemy import make_url

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bands_property TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    database = Database(make_url(postgres).set(database="bands_property").render_as_string(hide_password=False))
    with database.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # addresses without wallets and invoices
        for address, kind in ((MINE, "invoice"), (OTHER, "unissued")):
            session.execute(
                text(
                    "INSERT INTO payment_address (address, kind, generation_id, salt, created_at) VALUES (:a, :k, 1, '', now())"
                ),
                {"a": address, "k": kind},
            )
    yield database
    database.close()


def following(database: Database, chain: MemoryChain) -> Watcher:
    clock = ManualClock(at(0))
    watched = Watched()
    watched.addresses |= {OTHER}
    wanted = Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), FINALITY, start=1, reorg_blocks_max=64)
    return Watcher(database, clock, wanted, Pool([MemoryNode(chain)], clock), watched, no_fence)


def started_anew(database: Database) -> MemoryChain:
    """A chain of three blocks, and a database that knows no chain."""
    with database.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("transfer", "block", "chain_state"):
            session.execute(text(f"DELETE FROM {table}"))
    chain = MemoryChain()
    for _ in range(3):
        chain.extend()
    return chain


def counted(database: Database) -> set[tuple[str, int]]:
    with database.transaction() as session:
        rows = session.execute(
            text("SELECT block_hash, log_index FROM transfer WHERE state NOT IN ('orphaned', 'seen')")
        )
        return {(row[0], row[1]) for row in rows}


def naive(chain: MemoryChain, before: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """What counts on the branch: what counted before, and what is deep enough for the sum that came with it."""
    found, sums = set(), {MINE: 0, OTHER: 0}
    for block in chain.blocks[1:]:
        for index, (_, receiver, units, _) in enumerate(chain.transfers[block.hash]):
            sums[receiver] += units
            depth = len(chain.blocks) - block.number
            need = next((deep for up_to, deep in BANDS if receiver == MINE and sums[MINE] <= up_to * 10**6), ANY)
            if depth >= need or (block.hash, index) in before:
                found.add((str(block.hash), index))
    return found


payments = st.lists(st.tuples(st.sampled_from((MINE, MINE, OTHER)), st.sampled_from(AMOUNTS)), max_size=3)
story = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), payments, st.sampled_from("ab")),
        st.tuples(st.just("fork"), st.integers(1, 5), st.sampled_from("ab")),
        st.tuples(st.just("tick"), st.none(), st.none()),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=story)
@example(
    story=[
        ("extend", [(MINE, 9_999_999)], "a"),
        ("tick", None, None),
        ("extend", [(MINE, 9_999_999)], "a"),
        ("tick", None, None),
    ]
)
def test_what_counts_is_what_is_deep_enough_for_the_sum(shared: Database, story: list[tuple[str, Any, Any]]) -> None:
    chain = started_anew(shared)
    one = following(shared, chain)
    one.sync()
    count: set[tuple[str, int]] = set()
    for position, (what, how, branch) in enumerate([*story, ("tick", None, None)]):
        if what == "extend":
            paid = [(PAYER, receiver, units, f"{position}.{i}") for i, (receiver, units) in enumerate(how)]
            chain.extend(f"{branch}{position}", paid)
        elif what == "fork":
            chain.fork(max(1, len(chain.blocks) - 1 - how))
            chain.extend(f"{branch}{position}")
            for filler in range(how):  # never shorter than before
                chain.extend(f"{branch}{position}.{filler}")
        else:
            one.sync()
            count = naive(chain, count)
            assert counted(shared) == count


EURC, USDX = Address("0x" + "ec" * 20), Address("0x" + "ed" * 20)


class TwoTokens(MemoryNode):
    """The transfer named `other` is of another token."""

    def __init__(self, chain: MemoryChain, token: Address) -> None:
        super().__init__(chain)
        self._token = token

    def logs(self, *args: Any, **wanted: Any) -> list[dict[str, Any]]:
        other = raw_log(self.chain.blocks[0], 0, PAYER, MINE, 1, "other")["transactionHash"]
        return [
            {**log, "address": self._token if log["transactionHash"] == other else TOKEN}
            for log in super().logs(*args, **wanted)
        ]


@pytest.mark.parametrize(("token", "currency", "count"), [(USDX, "USD", 3), (EURC, "EUR", 1)])
def test_only_tokens_of_one_currency_are_added_up(shared: Database, token: Address, currency: str, count: int) -> None:
    """Five, five more in another token, and one: together 11, if the two are of one currency. Else nobody knows."""
    chain = started_anew(shared)
    one = following(shared, chain)
    tokens = (Token(1, "USDC", TOKEN, 6), Token(1, f"{currency}X", token, 6, currency=currency))
    one.chain = Chain(1, "memory", tokens, FINALITY, start=1)
    one.pool = Pool([TwoTokens(chain, token)], ManualClock(at(0)))
    one.sync()
    chain.extend(transfers=[(PAYER, MINE, 5_000_000, "usd"), (PAYER, MINE, 5_000_000, "other")])
    chain.extend(transfers=[(PAYER, MINE, 1_000_000, "more")])
    chain.extend()
    one.sync()
    assert len(counted(shared)) == min(count, 2), "the third is the eleventh unit, and its band needs 3 blocks"
    chain.extend()
    one.sync()
    assert len(counted(shared)) == count
    for _ in range(ANY):
        chain.extend()
    one.sync()
    assert len(counted(shared)) == 3


def test_a_token_that_is_not_listened_to_any_more_waits_like_any_amount(shared: Database) -> None:
    chain = started_anew(shared)
    one = following(shared, chain)
    one.sync()
    chain.extend(transfers=[(PAYER, MINE, 1_000_000, "old")])
    one.chain = Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), Finality(ANY, 1000), start=1)
    one.sync()
    assert not counted(shared)
    one.chain = Chain(1, "memory", (Token(1, "NEW", Address("0x" + "cc" * 20), 6),), FINALITY, start=1)
    one.sync()
    assert not counted(shared)
    for _ in range(ANY):
        chain.extend()
    one.sync()
    assert len(counted(shared)) == 1


@pytest.mark.parametrize(
    ("bands", "more", "words"),
    [
        ([{"up_to": "10"}], {"confirmations": 5}, "either confirmations or finality"),
        ([{"up_to": "0", "confirmations": 1}], {"confirmations": 5}, "above 0"),
        ([{"up_to": "-1", "confirmations": 1}], {"confirmations": 5}, "pattern"),
        ([{"up_to": "1e3", "confirmations": 1}], {"confirmations": 5}, "pattern"),
        ([{"up_to": "10", "confirmations": 6}], {"confirmations": 5}, "at least as long"),
        ([{"up_to": "10", "finality": "safe"}], {"confirmations": 500}, "at least as long"),
        ([{"up_to": "10", "finality": "finalized"}], {"finality": "safe"}, "at least as long"),
        ([{"up_to": "10", "confirmations": 2}, {"up_to": "10.0", "confirmations": 3}], {"finality": "safe"}, "further"),
        ([{"up_to": "10", "confirmations": 3}, {"up_to": "20", "confirmations": 2}], {"finality": "safe"}, "as long"),
    ],
)
def test_bands_that_make_no_sense_are_refused(bands: list[dict[str, Any]], more: dict[str, Any], words: str) -> None:
    token = {"symbol": "USDC", "address": TOKEN, "decimals": 6}
    chain = {"chain_id": 1, "name": "one", "rpc_urls": ["http://127.0.0.1:1"], "tokens": [token], "bands": bands}
    with pytest.raises(ValidationError, match=words):
        ChainSettings(**chain, **more)


def test_tags_of_bands_are_asked_for_and_none_reaches_past_the_cursor() -> None:
    finality = Finality("finalized", 100, (Band(Decimal(1), 2), Band(Decimal(5), "safe")))
    assert finality.tags == {"safe", "finalized"}
    assert finality.bands_up_to(50, Tags(safe=60)) == [(Decimal(1), 49), (Decimal(5), 50)]
    assert finality.confirmed_up_to(50, Tags(safe=60)) == -1


def test_finality_that_stands_still_is_noticed_once_it_is_too_long(database: Database) -> None:
    chain = MemoryChain()
    for _ in range(30):
        chain.extend()
    clock, node = ManualClock(at(0)), MemoryNode(chain)
    wanted = Chain(1, "memory", (), Finality("safe", "finalized"), start=1, stall_seconds=600)
    one = Watcher(database, clock, wanted, Pool([node], clock), Watched(), no_fence)
    assert one.sync().stalled is None
    tagged = node.block("finalized")
    blocks = node.block
    node.block = lambda which: tagged if which == "finalized" else blocks(which)  # type: ignore[method-assign]
    for minutes, stalled in ((5, None), (5, 600), (10, 1200)):
        clock.move_to(clock.now() + timedelta(minutes=minutes))
        chain.extend()
        found = one.tick().stalled
        assert (found and found.seconds) == stalled
    node.block = blocks  # type: ignore[method-assign]
    chain.extend()
    assert one.tick().stalled is None


class Tagless(MemoryNode):
    """Does not tell the chain's tags."""

    def block(self, which: int | str) -> Block | None:
        return None if which in ("safe", "finalized") else super().block(which)


def paid_long_ago(chain: MemoryChain) -> MemoryChain:
    for _ in range(3):
        chain.extend()
    chain.extend(transfers=[(PAYER, MINE, 1_000_000, "one")])
    for _ in range(20):
        chain.extend()
    return chain


def states(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.execute(text("SELECT state FROM transfer WHERE state <> 'orphaned'")).scalars())


def on(database: Database, finality: Finality, *nodes: MemoryNode) -> Watcher:
    clock = ManualClock(at(0))
    wanted = Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), finality, start=1)
    return Watcher(database, clock, wanted, Pool(nodes, clock), Watched(), no_fence)


def test_payments_count_by_depth_where_nobody_tells_the_tags(database: Database) -> None:
    on(database, Finality(2, "finalized"), Tagless(paid_long_ago(MemoryChain()))).sync()
    assert states(database) == ["confirmed"]


def test_another_endpoint_tells_the_tags_when_the_first_does_not(database: Database) -> None:
    chain = paid_long_ago(MemoryChain())
    one = on(database, Finality("finalized", "finalized"), Tagless(chain), Tagless(chain), MemoryNode(chain))
    one.sync()
    assert states(database) == ["final"]
    assert [endpoint.failures for endpoint in one.pool.endpoints] == [0, 0, 0]


def test_a_tag_of_another_branch_is_not_believed(database: Database) -> None:
    chain, other = paid_long_ago(MemoryChain()), MemoryChain()
    for number in range(40):
        other.extend(f"other {number}")
    on(database, Finality("finalized", "finalized"), Tagless(chain), MemoryNode(other)).sync()
    assert states(database) == ["seen"]


def test_an_endpoint_that_fails_to_tell_a_tag_rests_and_holds_nothing_up(database: Database) -> None:
    chain = paid_long_ago(MemoryChain())
    dead = MemoryNode(chain)
    dead.down = True
    one = on(database, Finality(2, "finalized"), Tagless(chain), dead)
    one.sync()
    one.tick()
    assert states(database) == ["confirmed"]
    assert [endpoint.failures for endpoint in one.pool.endpoints] == [0, 1], "it was asked once, and rests"
