"""The audit lane: what an endpoint left out is found, what it made up is doubted, and one endpoint alone changes nothing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.audit import store as audit
from billing.chain import store
from billing.chain.policy import Finality
from billing.chain.pool import Pool
from billing.chain.proofreader import Proofreader, Proven
from billing.chain.store import proofs
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.clock import ManualClock
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import Address, to_hash
from billing.db.engine import Database
from tests.chain.memory import TOKEN, MemoryChain, MemoryNode, changed, raw_log
from tests.chain.test_watcher import MINE, PAYER, Watched, chain_of, standing, wanted
from tests.factories import at, no_fence

FINAL = 20
CHAIN = Chain(1, "memory", (Token(1, "USDC", TOKEN, 6),), Finality(3, FINAL), start=1, reorg_blocks_max=64)
CLOCK = ManualClock(at(0))


def tip(database: Database, *nodes: MemoryNode) -> Watcher:
    return Watcher(database, CLOCK, CHAIN, Pool(nodes, CLOCK), Watched(), no_fence)


def lane(database: Database, *nodes: MemoryNode, watched: Watched | None = None) -> Proofreader:
    return Proofreader(database, CLOCK, CHAIN, Pool(nodes, ManualClock(at(0))), watched or Watched(), no_fence)


def prove(one: Proofreader) -> Proven:
    """Until nothing is behind: the sum of what was done."""
    total = Proven()
    while True:
        done = one.tick()
        total = Proven(total.blocks + done.blocks, total.found + done.found, total.doubted + done.doubted, done.behind)
        if not done.behind:
            return total


def doubts(database: Database) -> list[str]:
    with database.transaction() as session:
        return [
            detail for _, detail in audit.wrong(session, audit.QUERIES["what is final was found on the chain again"])
        ]


class Quiet(MemoryNode):
    """Answers about blocks, and never with logs."""

    def logs(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        raise Unavailable(f"{self.url} has no logs")


def silent(*indexes: int) -> Any:
    """A lie: transfers of some numbers are left out, under the right block hash and without an error."""
    return lambda logs: [one for one in logs if int(one["data"], 16) not in indexes]


@pytest.mark.parametrize("range_max", [1, 7, 10**9])
def test_what_agrees_is_proven_once_up_to_what_is_final(database: Database, range_max: int) -> None:
    chain = chain_of(200)
    tip(database, MemoryNode(chain)).sync()
    second = MemoryNode(chain, "second")
    second.range_max = range_max
    one = lane(database, second)
    assert prove(one) == Proven(200 - FINAL, 0, 0, 0)
    calls = len(second.calls)
    assert one.tick() == Proven() and len(second.calls) == calls, "nothing is asked while nothing is due"
    for number in range(30):
        chain.extend(transfers=[(PAYER, MINE, 7_000 + number, f"more{number}")])
    tip(database, MemoryNode(chain)).sync()
    assert prove(one) == Proven(30, 0, 0, 0) and standing(database) == wanted(chain) and doubts(database) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left_out=st.sets(st.integers(1, 24).map(lambda number: number * 4)), length=st.integers(60, 99))
def test_whatever_an_endpoint_leaves_out_is_found_and_becomes_final(
    database: Database, left_out: set[int], length: int
) -> None:
    with database.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("chain_doubt", "chain_proof", "transfer", "block", "chain_state"):
            session.execute(text(f"DELETE FROM {table}"))
    chain = chain_of(length)
    liar = MemoryNode(chain, "liar")
    liar.lie = silent(*left_out)
    watcher = tip(database, liar)
    watcher.sync()
    done = prove(lane(database, MemoryNode(chain, "honest"), liar))
    assert done.found == len([number for number in left_out if number <= length - FINAL])
    watcher.tick()
    final = [one for one in wanted(chain) if one[0] <= length - FINAL]
    assert [one for one in standing(database) if one[0] <= length - FINAL] == final
    with database.transaction() as session:
        states = session.execute(
            text("SELECT DISTINCT state FROM transfer WHERE block_number <= :n"), {"n": length - FINAL}
        )
        assert states.scalars().all() in (["final"], [])


def test_what_an_endpoint_made_up_is_doubted_and_stays_until_it_is_seen(database: Database) -> None:
    chain = chain_of(100)
    liar = MemoryNode(chain, "liar")
    invented = raw_log(chain.blocks[10], 5, PAYER, MINE, 10**9, "invented")
    liar.lie = lambda logs: (
        [*logs, invented] if any(one["blockHash"] == invented["blockHash"] for one in logs) else logs
    )
    chain.transfers[chain.blocks[10].hash] = [(PAYER, MINE, 9, "t10")]
    tip(database, liar).sync()
    honest = MemoryNode(chain, "honest")
    assert prove(lane(database, honest)).doubted == 1
    assert doubts(database) == ["honest does not have it in block 10"]
    assert (10, chain.blocks[10].hash, 5, 10**9) in standing(database), "a person decides; nothing is deleted"
    with database.transaction() as session:
        proofs.lower(session, 1, 0)
    assert prove(lane(database, honest)).doubted == 0, "it is not counted twice"
    with database.transaction() as session:
        proofs.lower(session, 1, 0)
    assert prove(lane(database, liar)) == Proven(80, 0, 0, 0) and doubts(database) == []


def test_another_amount_in_the_same_place_is_doubted(database: Database) -> None:
    chain = chain_of(100)
    liar = MemoryNode(chain, "liar")
    liar.lie = lambda logs: [*changed(logs[:1], data="0x" + f"{5:064x}"), *logs[1:]] if logs else logs
    tip(database, MemoryNode(chain)).sync()
    done = prove(lane(database, liar))
    assert done.found == 0 and done.doubted > 0
    assert all(f"liar tells it otherwise: 5 units of {TOKEN}" in one for one in doubts(database))
    assert standing(database) == wanted(chain)


def test_a_payment_on_a_fork_that_only_one_endpoint_has_is_not_believed(database: Database) -> None:
    chain = chain_of(100)
    fork = MemoryChain(list(chain.blocks), dict(chain.transfers))
    fork.fork(40)
    for number in range(60):
        fork.extend("b", [(PAYER, MINE, 10**6 + number, f"fork{number}")])
    tip(database, MemoryNode(chain)).sync()
    astray, honest = MemoryNode(fork, "astray"), MemoryNode(chain, "honest")
    with pytest.raises(Unavailable, match=r"astray does not know our block 8[0-9]: it is behind, or on another branch"):
        lane(database, astray).tick()
    assert prove(lane(database, astray, honest)).found == 0
    assert standing(database) == wanted(chain) and doubts(database) == []


def test_a_payment_in_a_block_that_another_endpoint_has_otherwise_is_not_believed(database: Database) -> None:
    """Both know our newest block; one has made up a whole block below it."""
    chain = chain_of(100)
    made_up = MemoryChain(list(chain.blocks), dict(chain.transfers))
    made_up.blocks[50] = replace(chain.blocks[50], hash=to_hash(b"\x50" * 32))
    made_up.transfers[made_up.blocks[50].hash] = [(PAYER, MINE, 10**9, "gift")]
    tip(database, MemoryNode(chain)).sync()
    pool = Pool([MemoryNode(made_up, "false"), Quiet(chain, "honest")], CLOCK)
    with pytest.raises(Unavailable, match="honest has no logs"):
        Proofreader(database, CLOCK, CHAIN, pool, Watched(), no_fence).tick()
    assert pool.endpoints[0].last_error == "false has a payment in block 50, which is another one at honest"
    assert standing(database) == wanted(chain)


def test_a_known_transfer_in_another_place_is_not_booked_twice(database: Database) -> None:
    chain = chain_of(100)
    twice = MemoryNode(chain, "twice")
    copy = raw_log(chain.blocks[9], 0, PAYER, MINE, 8, "t8")
    twice.lie = lambda logs: [*logs, copy]
    tip(database, MemoryNode(chain)).sync()
    with pytest.raises(Untrusted, match="twice has a known transfer in another place of blocks 1 to 64"):
        lane(database, twice).tick()
    assert standing(database) == wanted(chain)


def test_an_endpoint_that_is_a_little_behind_is_good_enough(database: Database) -> None:
    """Else the audit lane would fall back to the endpoint whose word it is to check."""
    chain = chain_of(100)
    tip(database, MemoryNode(chain)).sync()
    behind = MemoryNode(chain, "behind")
    behind.lag = FINAL - 4
    assert prove(lane(database, behind)) == Proven(80, 0, 0, 0)
    behind.lag = FINAL + 5
    with database.transaction() as session:
        proofs.lower(session, 1, 10)
    with pytest.raises(Unavailable, match="it is behind"):
        lane(database, behind).tick()


def test_a_short_stretch_is_halved_from_its_own_length(database: Database) -> None:
    """Not from the span that a quiet chain allowed: that would ask the same again and again."""
    chain = chain_of(400)
    tip(database, MemoryNode(chain)).sync()
    node = MemoryNode(chain)
    one = lane(database, node)
    prove(one)  # the span has grown
    for number in range(8):
        chain.extend(transfers=[(PAYER, MINE, 7_000 + number, f"more{number}")])
    tip(database, MemoryNode(chain)).sync()
    node.range_max, node.calls[:] = 2, []
    assert prove(one).blocks == 8
    refused, read = 2 + 2, 4 * 2  # 8 and 4 blocks, and 4 again after each success but the last; out and into for each 2
    assert node.calls.count("logs") == refused + read


def test_an_endpoint_that_forgot_old_blocks_proves_nothing_and_hides_nothing(database: Database) -> None:
    chain = chain_of(100)
    tip(database, MemoryNode(chain)).sync()
    pruned = MemoryNode(chain, "pruned")
    pruned.block = lambda which: chain.blocks[which] if isinstance(which, int) and which > 50 else None  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="pruned does not know block 0"):
        lane(database, pruned).tick()
    assert prove(lane(database, pruned, MemoryNode(chain, "full"))).blocks == 80


def test_an_address_that_is_given_out_meanwhile_is_read_with(database: Database) -> None:
    late = Address("0x" + "bb" * 20)
    chain = chain_of(60)
    chain.transfers[chain.blocks[13].hash] = [(PAYER, late, 77, "late")]
    tip(database, MemoryNode(chain)).sync()
    watched = Watched()

    class Slow(MemoryNode):
        def logs(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
            found = super().logs(*args, **kwargs)
            watched.late = {late}
            return found

    assert prove(lane(database, Slow(chain), watched=watched)).found == 1


def test_a_rewind_is_proven_again(database: Database) -> None:
    chain = chain_of(100)
    tip(database, MemoryNode(chain)).sync()
    one = lane(database, MemoryNode(chain))
    prove(one)
    with database.transaction() as session:
        store.rewind(session, 1, chain.blocks[30], at(0))
        assert proofs.proven(session, 1) == 30
    assert one.tick() == Proven(), "the tip lane comes first"
    tip(database, MemoryNode(chain)).sync()
    assert prove(one) == Proven(50, 0, 0, 0) and standing(database) == wanted(chain)
