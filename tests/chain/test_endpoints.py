"""One endpoint that lags, lies or belongs to another chain must neither stop a chain nor hide a payment."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from billing.chain import store
from billing.chain.pool import Pool
from billing.chain.rpc import HttpNode
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.db.engine import Database
from tests.chain.memory import TOKEN, MemoryChain, MemoryNode, changed
from tests.chain.test_watcher import MINE, PAYER, chain_of, standing, wanted, watcher
from tests.factories import at
from tests.parts import http_server


def stopped(database: Database) -> str:
    with database.transaction() as session:
        found = store.cursor(session, 1)
    assert found is not None
    return found.stopped


def test_an_endpoint_far_behind_what_is_remembered_is_passed_over(database: Database) -> None:
    chain = chain_of(300)
    good, stuck = MemoryNode(chain, "good"), MemoryNode(chain, "stuck")
    one = watcher(database, good, stuck)
    one.sync()
    stuck.lag, good.down = 290, True
    with database.transaction() as session:
        store.forget_blocks(session, 1, below=200)
    with pytest.raises(Unavailable, match="290 blocks behind"):
        one.tick()
    good.down = False
    chain.extend(transfers=[(PAYER, MINE, 777, "late")])
    one.pool = Pool([good, stuck], ManualClock(at(0)))
    one.sync()
    assert stopped(database) == "" and standing(database) == wanted(chain)


def test_an_endpoint_of_another_chain_is_not_a_reorganisation(database: Database) -> None:
    chain, alien = chain_of(100), MemoryChain()
    for _ in range(300):
        alien.extend("z")
    good, bad = MemoryNode(chain, "good"), MemoryNode(alien, "bad")
    bad.chain_id = lambda: 7  # type: ignore[method-assign]
    one = watcher(database, good, bad)
    one.sync()
    good.down = True
    with pytest.raises(Untrusted, match="bad is of chain 7, not 1"):
        one.tick()
    assert stopped(database) == ""


def test_a_deep_reorganisation_that_another_endpoint_does_not_see_stops_nothing(database: Database) -> None:
    chain = chain_of(200)
    wrong = MemoryChain(list(chain.blocks), dict(chain.transfers))
    wrong.fork(20)
    for _ in range(200):
        wrong.extend("b")
    good, bad = MemoryNode(chain, "good"), MemoryNode(wrong, "bad")
    one = watcher(database, good)
    one.sync()
    one.pool = Pool([bad, good], ManualClock(at(0)))
    one.sync()
    assert stopped(database) == "" and standing(database) == wanted(chain)


def test_a_person_resumes_a_stopped_chain_and_it_stops_again_while_it_is_another_one(database: Database) -> None:
    chain = chain_of(200)
    one = watcher(database, MemoryNode(chain))
    one.sync()
    kept = list(chain.blocks)
    chain.fork(20)
    for _ in range(200):
        chain.extend("b")
    with pytest.raises(Conflict, match="is stopped"):
        one.tick()
    with database.transaction() as session:
        assert "took back" in store.resume(session, 1, at(1))
    with pytest.raises(Conflict, match="is stopped"):
        one.tick()
    chain.blocks = kept
    with database.transaction() as session:
        store.resume(session, 1, at(1))
    one.sync()
    assert standing(database) == wanted(chain)
    with database.transaction() as session, pytest.raises(Conflict, match="not stopped"):
        store.resume(session, 1, at(1))


@pytest.mark.parametrize("again", [False, True])
def test_a_rewind_does_not_hide_a_reorganisation(database: Database, again: bool) -> None:
    """The payment is gone from the new branch, or it is in another block of it."""
    chain = chain_of(40)
    one = watcher(database, MemoryNode(chain))
    one.sync()
    chain.extend(transfers=[(PAYER, MINE, 555, "pay")])
    chain.extend()
    one.sync()
    with database.transaction() as session:
        store.request_rewind(session, chain.blocks[20].mined_at)
    chain.fork(39)
    chain.extend("b", transfers=[(PAYER, MINE, 555, "pay")] if again else [])
    for _ in range(6):
        chain.extend("b")
    one.sync()
    assert standing(database) == wanted(chain)


def test_a_reorganisation_above_a_rewound_cursor_is_noticed_when_its_blocks_are_read_again(database: Database) -> None:
    chain = chain_of(60)
    one = watcher(database, MemoryNode(chain))
    one.sync()
    with database.transaction() as session:
        store.rewind(session, 1, chain.blocks[20], at(1))  # the old cursor is forgotten: nothing else tells
    chain.fork(50)
    for _ in range(12):
        chain.extend("b", transfers=[(PAYER, MINE, 9, "other")] if len(chain.blocks) == 53 else [])
    one.sync()
    assert standing(database) == wanted(chain)


def test_whoever_begins_first_decides_where_a_chain_is_followed_from(database: Database) -> None:
    chain = chain_of(30)
    node = MemoryNode(chain)
    first, second = watcher(database, node, start=5), watcher(database, node, start=20)
    assert first.begin(node) == second.begin(node)
    first.sync()
    assert standing(database) == [row for row in wanted(chain) if row[0] >= 5]


@pytest.mark.parametrize("fields", [{"logIndex": "0x" + "f" * 60}, {"blockNumber": "0x" + "f" * 20}])
def test_an_absurd_place_is_the_endpoints_fault_and_no_bug(database: Database, fields: dict[str, Any]) -> None:
    chain = chain_of(40)
    node = MemoryNode(chain)
    node.lie = lambda logs: changed(logs, **fields)
    with pytest.raises(Untrusted, match="absurd place"):
        watcher(database, node).tick()


def test_hex_in_capitals_does_not_hide_a_payment(database: Database) -> None:
    chain = chain_of(40)
    node = MemoryNode(chain)
    node.lie = lambda logs: [{**one, "topics": ["0x" + topic[2:].upper() for topic in one["topics"]]} for one in logs]
    watcher(database, node).sync()
    assert standing(database) == wanted(chain)


def test_a_range_that_times_out_is_asked_for_in_parts_at_the_next_try(database: Database) -> None:
    chain = chain_of(400)
    node = MemoryNode(chain)
    answer, asked = node.logs, list[int]()

    def slow(*given: Any, span: tuple[int, int] | None = None, **more: Any) -> Any:
        if span is not None:
            asked.append(span[1] - span[0] + 1)
            if asked[-1] > 10:
                raise Unavailable("no answer in time")
        return answer(*given, span=span, **more)

    node.logs = slow  # type: ignore[method-assign]
    one = watcher(database, node)
    for _ in range(300):  # more failures in a row than a pause can be doubled
        try:
            one.sync()
        except Unavailable:
            continue
        break
    assert standing(database) == wanted(chain) and max(asked) > 10 >= asked[-1]


def test_an_endpoint_may_be_away_for_ever(database: Database) -> None:
    node = MemoryNode(chain_of(10))
    node.down = True
    one = watcher(database, node)
    for _ in range(100):
        with pytest.raises(Unavailable):
            one.tick()


SIZE = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Log response size exceeded. Use a 2K block range."}}'


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_refusal_of_a_range_is_understood_under_any_http_status(status: int) -> None:
    from billing.chain.node import RangeTooLarge

    with http_server(lambda path, body: (status, SIZE)) as url:
        node = HttpNode(url)
        with pytest.raises(RangeTooLarge, match="size exceeded"):
            node.logs([TOKEN], span=(1, 2000))
        node.close()


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", orjson.dumps([1]), b"\xff" * 70_000])
def test_an_error_page_is_the_endpoints_failure(body: bytes) -> None:
    with http_server(lambda path, _: (502, body)) as url:
        node = HttpNode(url)
        with pytest.raises(Unavailable, match="answered 502 to eth_chainId"):
            node.chain_id()
        node.close()


def test_a_chain_is_followed_before_it_is_offered(database: Database) -> None:
    """Its cursor stands where the chain was when it was begun, so a payment that comes before the first tick is seen."""
    chain = chain_of(30)
    node = MemoryNode(chain)
    one = watcher(database, node)
    one.begin(node)
    chain.extend(transfers=[(PAYER, MINE, 4242, "early")])
    one.sync()
    with database.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM transfer WHERE units = 4242")).scalar_one() == 1


def test_an_endpoint_that_stands_still_is_passed_over_while_another_one_goes_on(database: Database) -> None:
    """A node that hangs answers for hours as if nothing were wrong."""
    chain = chain_of(300)
    stuck, fresh = MemoryNode(chain, "stuck"), MemoryNode(chain, "fresh")
    stuck.lag = 200
    one = watcher(database, stuck, fresh)
    one._clock = ManualClock(chain.blocks[-1].mined_at)
    one.sync()
    assert standing(database) == wanted(chain)
    assert "stuck stands still: its newest block is 400 s old" in one.pool.endpoints[0].last_error


def test_a_chain_that_stands_still_everywhere_is_read_to_its_end(database: Database) -> None:
    chain = chain_of(60)
    one = watcher(database, MemoryNode(chain, "one"), MemoryNode(chain, "other"))
    one._clock = ManualClock(chain.blocks[-1].mined_at + timedelta(days=1))
    assert one.sync().behind == 0 and standing(database) == wanted(chain)
