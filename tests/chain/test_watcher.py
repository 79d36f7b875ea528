"""Following a chain in memory: any sequence of forks ends in the same transfers as the winning branch alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.chain import store
from billing.chain.policy import Finality, Tags
from billing.chain.pool import Pool
from billing.chain.reader import FILTER_MAX
from billing.chain.tokens import Token
from billing.chain.watcher import LOGS_AIM, Chain, Watcher
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.onchain import Address
from billing.db.engine import Database, Session
from tests.chain.memory import TOKEN, MemoryChain, MemoryNode
from tests.factories import at, no_fence

MINE, PAYER = Address("0x" + "aa" * 20), Address("0x" + "ee" * 20)


class Watched:
    """A watch list whose addresses may appear between a read and its save."""

    def __init__(self) -> None:
        self.addresses: set[Address] = {MINE}
        self.late: set[Address] = set()

    def refresh(self, session: Session) -> bool:
        grown = bool(self.late - self.addresses)
        self.addresses |= self.late
        return grown


def watcher(
    database: Database, *nodes: MemoryNode, start: int = 1, watched: Watched | None = None, depth: int = 3
) -> Watcher:
    chain = Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), Finality(depth, 1000), start=start, reorg_blocks_max=64)
    clock = ManualClock(at(0))
    return Watcher(database, clock, chain, Pool(nodes, clock), watched or Watched(), no_fence)


def standing(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as session:
        rows = session.execute(
            text(
                "SELECT block_number, block_hash, log_index, units FROM transfer WHERE state <> 'orphaned' ORDER BY 1, 3"
            )
        )
        return [(row[0], row[1], row[2], int(row[3])) for row in rows]


def wanted(chain: MemoryChain) -> list[tuple[Any, ...]]:
    """A naive replay of the branch that won."""
    return [
        (block.number, block.hash, index, units)
        for block in chain.blocks[1:]
        for index, (_, receiver, units, _) in enumerate(chain.transfers[block.hash])
        if receiver == MINE and units
    ]


def chain_of(length: int) -> MemoryChain:
    chain = MemoryChain()
    for number in range(length):
        chain.extend(transfers=[(PAYER, MINE, number, f"t{number}")] if number % 4 == 0 else [])
    return chain


@pytest.mark.parametrize("length", [2, 10, 17, 18, 40, 500])
@pytest.mark.parametrize("range_max", [1, 7, 10**9])
def test_catch_up_reads_every_block_once(database: Database, length: int, range_max: int) -> None:
    chain = chain_of(length)
    node = MemoryNode(chain)
    node.range_max = range_max
    one = watcher(database, node)
    done = one.sync()
    assert (done.blocks, done.behind) == (length - 1, 0)
    assert standing(database) == wanted(chain)
    assert one.sync().blocks == 0


actions = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 6), st.sampled_from("abc")),
        st.tuples(st.just("fork"), st.integers(1, 8), st.sampled_from("abc")),
        st.tuples(st.just("sync"), st.just(0), st.just("")),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def shared(postgres: str) -> Iterator[Database]:
    """One database for all examples: each starts from empty chain tables."""
    import psycopg
    from sqlalchemy import make_url

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE watcher_property TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    database = Database(make_url(postgres).set(database="watcher_property").render_as_string(hide_password=False))
    yield database
    database.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=actions)
def test_any_sequence_of_forks_ends_in_the_winning_branch(shared: Database, story: list[tuple[str, int, str]]) -> None:
    """Blocks are a function of parent and branch name, so a fork may come back to the very blocks it had left."""
    with shared.transaction() as session:
        session.execute(text("ALTER TABLE transfer DISABLE TRIGGER ALL"))
        session.execute(text("DELETE FROM transfer"))
        session.execute(text("DELETE FROM block"))
        session.execute(text("DELETE FROM chain_state"))
        session.execute(text("ALTER TABLE transfer ENABLE TRIGGER ALL"))
    chain = chain_of(6)
    one = watcher(shared, MemoryNode(chain))
    one.sync()
    for action, amount, branch in story:
        if action == "fork":
            chain.fork(max(1, len(chain.blocks) - 1 - amount))
        if action in ("extend", "fork"):
            for _ in range(amount + 1):
                number = len(chain.blocks)
                chain.extend(branch, [(PAYER, MINE, number, f"{branch}{number}")] if number % 2 else [])
        else:
            one.sync()
    one.sync()
    assert standing(shared) == wanted(chain)
    with shared.transaction() as session:
        cursor = store.cursor(session, 1)
    assert cursor is not None and cursor.hash == chain.blocks[-1].hash


def test_a_dead_endpoint_is_passed_over_and_asked_again_later(database: Database) -> None:
    chain = chain_of(30)
    dead, alive = MemoryNode(chain, "dead"), MemoryNode(chain, "alive")
    dead.down = True
    one = watcher(database, dead, alive)
    assert one.sync().behind == 0 and standing(database) == wanted(chain)
    assert [endpoint.failures for endpoint in one.pool.endpoints] == [1, 0]
    alive.down = True
    with pytest.raises(Unavailable, match="alive does not answer"):
        one.tick()


def test_an_endpoint_that_lags_does_not_undo_what_was_read(database: Database) -> None:
    chain = chain_of(30)
    node = MemoryNode(chain)
    one = watcher(database, node)
    one.sync()
    node.lag = 5
    with pytest.raises(Unavailable, match="5 blocks behind what was read already"):
        one.tick()
    assert standing(database) == wanted(chain)
    fresh = MemoryNode(chain, "fresh")
    assert watcher(database, node, fresh).sync().reorgs == 0


def test_an_endpoint_that_lies_is_not_used_where_another_one_is_honest(database: Database) -> None:
    chain = chain_of(12)
    liar, honest = MemoryNode(chain, "liar"), MemoryNode(chain, "honest")
    liar.lie = lambda logs: [{**one, "blockHash": "0x" + "13" * 32} for one in logs]
    one = watcher(database, liar, honest)
    one.sync()
    assert standing(database) == wanted(chain)
    assert "another block" in one.pool.endpoints[0].last_error


def test_an_address_given_out_while_blocks_are_read_is_not_missed(database: Database) -> None:
    chain = chain_of(5)
    late = Address("0x" + "dd" * 20)
    watched = Watched()
    node = MemoryNode(chain)
    one = watcher(database, node, watched=watched)
    one.sync()
    chain.extend(transfers=[(PAYER, late, 77, "late")])

    def given_out(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        watched.late = {late}
        return logs

    node.lie = given_out
    one.sync()
    assert 77 in [row[3] for row in standing(database)]


def test_a_reorganisation_deeper_than_remembered_stops_the_chain(database: Database) -> None:
    chain = chain_of(200)
    one = watcher(database, MemoryNode(chain), depth=200)
    one.sync()
    chain.fork(0)
    for _ in range(220):
        chain.extend("b")
    with pytest.raises(Conflict, match="took back"):
        one.tick()
    with database.transaction() as session:
        cursor = store.cursor(session, 1)
    assert cursor is not None and cursor.number == 199 and "took back" in cursor.stopped


def test_a_shorter_branch_that_wins_is_followed(database: Database) -> None:
    chain = chain_of(20)
    one = watcher(database, MemoryNode(chain))
    one.sync()
    chain.fork(15)
    chain.extend("b")
    assert one.sync().reorgs == 1
    assert standing(database) == wanted(chain)


@pytest.mark.parametrize(
    ("by", "cursor", "safe", "finalized", "wanted_number"),
    [(1, 100, None, None, 100), (12, 100, None, None, 89), ("safe", 100, 95, 90, 95), ("finalized", 100, 95, 90, 90), ("safe", 80, 95, 90, 80), ("finalized", 100, None, None, -1)],
)  # fmt: skip
def test_confirmed_is_a_depth_or_a_tag_and_never_past_the_cursor(
    by: Any, cursor: int, safe: int | None, finalized: int | None, wanted_number: int
) -> None:
    assert Finality(by, 5).confirmed_up_to(cursor, Tags(safe, finalized)) == wanted_number


def test_a_range_that_was_refused_is_approached_in_small_steps(database: Database) -> None:
    """Not refused again and again: a refusal costs a request of the budget."""
    node = MemoryNode(chain_of(1_500))
    node.range_max = 50
    asked: list[int] = []
    logs = node.logs

    def counted(tokens: Any, **wanted: Any) -> list[dict[str, Any]]:
        if span := wanted.get("span"):
            asked.append(span[1] - span[0] + 1)
        return logs(tokens, **wanted)

    node.logs = counted  # type: ignore[method-assign]
    assert watcher(database, node).sync().behind == 0
    refused = sum(length > 50 for length in asked)
    assert refused <= len(asked) // 10 and max(asked[1:]) <= 52


def test_a_busy_chain_is_read_in_shorter_ranges(database: Database) -> None:
    """Memory stays flat: about LOGS_AIM logs at once, however many there are in a block."""
    chain = MemoryChain()
    for _ in range(300):
        chain.extend(transfers=[(PAYER, PAYER, 1, "")] * 200)
    node, watched = MemoryNode(chain), Watched()
    watched.addresses |= {Address(f"0x{n:040x}") for n in range(FILTER_MAX)}  # too many for the node to filter
    asked: list[int] = []
    logs = node.logs

    def counted(tokens: Any, **wanted: Any) -> list[dict[str, Any]]:
        found = logs(tokens, **wanted)
        asked.append(len(found))
        return found

    node.logs = counted  # type: ignore[method-assign]
    assert watcher(database, node, watched=watched).sync().behind == 0
    assert LOGS_AIM // 2 < max(asked[1:]) <= LOGS_AIM


def deeply_reorganised(database: Database, *more: MemoryNode) -> tuple[MemoryChain, Watcher]:
    """200 blocks were final below 190; then another branch wins above block 100, and the chain is stopped."""
    chain = chain_of(200)
    one = Watcher(
        database,
        ManualClock(at(0)),
        Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), Finality(3, 10), start=1, reorg_blocks_max=64),
        Pool([MemoryNode(chain), *more], ManualClock(at(0))),
        Watched(),
        no_fence,
    )
    one.sync()
    chain.fork(100)
    for number in range(101, 200):
        chain.extend("b", [(PAYER, MINE, number, f"b{number}")] if number % 5 == 0 else [])
    if not more:
        with pytest.raises(Conflict, match="took back"):
            one.tick()
    return chain, one


def ask_to_rewind(database: Database, chain: MemoryChain, to_block: int) -> None:
    with database.transaction() as session:
        store.rewind_by_hand(session, 1, chain.blocks[to_block + 1].mined_at, at(0))


def test_a_rewind_by_hand_takes_back_what_was_final_and_is_gone(database: Database) -> None:
    chain, one = deeply_reorganised(database)
    ask_to_rewind(database, chain, 100)
    done = one.sync()
    assert standing(database) == wanted(chain) and done.orphaned == 24
    with database.transaction() as session:
        cursor = store.cursor(session, 1)
    assert cursor is not None and (cursor.rewind_to, cursor.takes_back, cursor.stopped) == (None, False, "")
    assert cursor.final == 190 and cursor.hash == chain.blocks[-1].hash


def test_a_rewind_by_hand_that_is_not_far_enough_stops_the_chain_again(database: Database) -> None:
    chain, one = deeply_reorganised(database)
    before = standing(database)
    ask_to_rewind(database, chain, 150)
    with pytest.raises(Conflict, match="is not on the chain either: rewind further back"):
        one.tick()
    with pytest.raises(Conflict, match="is stopped"):
        one.tick()
    assert standing(database) == before
    ask_to_rewind(database, chain, 60)
    one.sync()
    assert standing(database) == wanted(chain)


def test_a_rewind_by_hand_needs_every_endpoint_that_answers(database: Database) -> None:
    """One endpoint on a wrong fork must not take back what was paid."""
    honest = MemoryNode(chain_of(200), "honest")
    chain, one = deeply_reorganised(database, honest)
    before = standing(database)
    ask_to_rewind(database, chain, 100)
    honest_block = honest.block
    honest.block = lambda which: None if which == "latest" else honest_block(which)  # type: ignore[method-assign]
    with pytest.raises((Untrusted, Unavailable)):
        one.tick()
    assert "honest does not" in one.pool.endpoints[0].last_error
    assert standing(database) == before


def test_a_rewind_by_hand_waits_for_an_endpoint_that_is_as_far_as_what_was_read(database: Database) -> None:
    chain, one = deeply_reorganised(database)
    before = standing(database)
    ask_to_rewind(database, chain, 100)
    chain.fork(150)
    with pytest.raises(Unavailable, match="does not know block"):
        one.tick()
    assert standing(database) == before


def test_an_answer_that_happens_to_be_round_costs_one_request_and_no_pace(database: Database) -> None:
    """Twenty logs in each block: every fifty blocks are a thousand."""
    chain = MemoryChain()
    for _ in range(2_000):
        chain.extend(transfers=[(PAYER, PAYER, 1, "")] * 20)
    node, watched = MemoryNode(chain), Watched()
    watched.addresses |= {Address(f"0x{n:040x}") for n in range(FILTER_MAX)}
    asked: list[int] = []
    logs = node.logs

    def counted(tokens: Any, **wanted: Any) -> list[dict[str, Any]]:
        found = logs(tokens, **wanted)
        asked.append(len(found))
        return found

    node.logs = counted  # type: ignore[method-assign]
    assert watcher(database, node, watched=watched).sync().behind == 0
    assert max(asked) > LOGS_AIM // 2 and len(asked) < 16 + 2 * 2_000 * 20 // LOGS_AIM + 10
