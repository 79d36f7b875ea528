"""Events in PostgreSQL: once, whole, for ever."""

import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.db.engine import Database
from billing.events.event import Form
from billing.events.ingester import EventConflict, Ingested, Ingester
from tests.events.pushed import METERS, body, event
from tests.factories import at


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(24, day=31))


@pytest.fixture
def ingester(database: Database, clock: ManualClock) -> Ingester:
    return Ingester(database, clock, METERS)


def stored(database: Database) -> int:
    with database.transaction() as session:
        found: int = session.execute(text("SELECT count(*) FROM event")).scalar_one()
        return found


def test_an_event_is_stored_once_however_often_it_comes(database: Database, ingester: Ingester) -> None:
    batch = body(event("1"), event("2"), event("1"))
    assert ingester.ingest(batch, Form.BATCH) == Ingested(2, 1)
    assert ingester.ingest(batch, Form.BATCH) == Ingested(0, 3)
    assert stored(database) == 2


def test_source_and_id_are_two_columns(database: Database, ingester: Ingester) -> None:
    """`a-b` with `c` and `a` with `b-c` are two events."""
    ingester.ingest(body(event("c", source="a-b"), event("b-c", source="a")), Form.BATCH)
    assert stored(database) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"data": {"tokens": 2}},
        {"type": "other"},
        {"subject": "beta"},
        {"time": "2026-10-02T00:00:01Z"},
        {"data": {"tokens": 1, "x": 0}},
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_another_payload_under_a_known_key_is_a_conflict_and_nothing_is_stored(
    database: Database, ingester: Ingester, other: dict[str, object], together: bool
) -> None:
    first, second = event("1"), {**event("1"), **other}
    if not together:
        ingester.ingest(body(first), Form.BATCH)
    with pytest.raises(EventConflict, match="1 of //gateway; nothing was stored") as caught:
        ingester.ingest(body(event("3"), *([first] if together else []), second), Form.BATCH)
    assert caught.value.keys == [("//gateway", "1")]
    assert stored(database) == (0 if together else 1)


def test_the_same_payload_in_another_spelling_is_no_conflict(ingester: Ingester) -> None:
    first, again = event("1", {"tokens": 1, "model": "m"}), '{"model":"m","tokens":1.0}'
    ingester.ingest(body(first), Form.BATCH)
    text_of = json.dumps(event("1", {"X": 1})).replace('{"X": 1}', again)
    assert ingester.ingest(text_of.encode(), Form.SINGLE) == Ingested(0, 1)


def test_numbers_that_a_float_cannot_tell_apart_are_a_conflict(ingester: Ingester) -> None:
    ingester.ingest(body(event("1", {"tokens": 9007199254740992})), Form.BATCH)
    with pytest.raises(EventConflict):
        ingester.ingest(body(event("1", {"tokens": 9007199254740993})), Form.BATCH)


def test_an_event_without_a_time_may_be_sent_again_later(
    database: Database, ingester: Ingester, clock: ManualClock
) -> None:
    ingester.ingest(body(event("1", time=None)), Form.BATCH)
    clock.advance(timedelta(hours=1))
    assert ingester.ingest(body(event("1", time=None)), Form.BATCH) == Ingested(0, 1)
    with database.transaction() as session:
        assert session.execute(text("SELECT happened_at FROM event")).scalar_one() == at(24, day=31)


def test_an_event_without_the_value_that_its_meter_needs_is_refused_and_the_whole_batch_with_it(
    database: Database, ingester: Ingester
) -> None:
    with pytest.raises(Invalid, match=r"event 2: the meter tokens finds no value at \$.tokens"):
        ingester.ingest(body(event("1"), event("2", {"token": 5})), Form.BATCH)
    assert stored(database) == 0


def test_an_event_of_an_unknown_type_or_subject_is_kept(database: Database, ingester: Ingester) -> None:
    ingester.ingest(body(event("1", {"x": None}, type="new"), event("2", subject="nobody")), Form.BATCH)
    assert stored(database) == 2


def test_an_empty_batch_is_nothing(ingester: Ingester) -> None:
    assert ingester.ingest(b"[]", Form.BATCH) == Ingested(0, 0)


def test_events_are_never_changed_or_deleted(database: Database, ingester: Ingester) -> None:
    ingester.ingest(body(event("1")), Form.BATCH)
    for statement in ("UPDATE event SET subject = 'x'", "DELETE FROM event", "TRUNCATE event"):
        with pytest.raises(Conflict, match="append only"), database.transaction() as session:
            session.execute(text(statement))


def test_batches_that_cross_each_other_are_stored_once_and_never_deadlock(
    database: Database, ingester: Ingester
) -> None:
    """The same events from several senders at once, in opposite orders."""
    events = [event(str(n)) for n in range(200)]
    accepted: list[int] = []

    def send(order: int) -> None:
        for start in range(0, 200, 50):
            part = events[start : start + 100]
            accepted.append(ingester.ingest(body(*part[:: 1 if order % 2 else -1]), Form.BATCH).accepted)

    threads = [threading.Thread(target=send, args=(order,)) for order in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 24, "none failed"
    assert sum(accepted) == stored(database) == 200
