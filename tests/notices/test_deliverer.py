"""What was told arrives, signed, at least once, whatever the receiver does; and nothing is told that did not happen."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.bootstrap import unfenced
from billing.core.clock import ManualClock
from billing.core.errors import NotFound
from billing.db.engine import Database
from billing.notices import store
from billing.notices.deliverer import Deliverer
from billing.notices.notice import ATTEMPTS, PAUSES, Notice, NoticeType
from billing.notices.store import Wants
from billing.notices.webhook import WebhookReceiver
from tests.notices.receiver import OLD_SECRET, SECRET, Inbox, listening
from tests.parts import free_port

NOTICE = Notice(NoticeType.INVOICE_PAID, "INV-000001", {"number": "INV-000001", "total": "200.00"})


@pytest.fixture
def clock() -> ManualClock:
    """Now: receivers refuse what is older than five minutes."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def deliverer(
    database: Database, clock: ManualClock, stack: ExitStack, urls: dict[str, str], **wants: frozenset[str]
) -> Deliverer:
    receivers = [WebhookReceiver(name, url, [SECRET]) for name, url in urls.items()]
    for one in receivers:
        stack.callback(one.close)
    return Deliverer(database, clock, receivers, {name: Wants(wants.get(name, frozenset())) for name in urls}, unfenced)


def tell(database: Database, clock: ManualClock, notice: Notice = NOTICE) -> None:
    with database.transaction() as session:
        store.tell(session, notice, clock.now())


def rows(database: Database) -> list[dict[str, Any]]:
    with database.transaction() as session:
        return store.listed(session)


def test_it_is_told_once_with_a_signature_that_holds(database: Database, clock: ManualClock, stack: ExitStack) -> None:
    inbox = stack.enter_context(listening(Inbox()))
    delivering = deliverer(database, clock, stack, {"books": inbox.url})
    tell(database, clock)
    assert delivering.tick().delivered == 1 and delivering.tick().delivered == 0
    assert list(inbox.heard.values()) == [
        {"type": "invoice.paid", "timestamp": clock.now().isoformat().replace("+00:00", "Z"), "data": dict(NOTICE.data)}
    ]
    (row,) = rows(database)
    assert (row["state"], row["attempts"], row["answer"]) == ("delivered", 1, "answered 204")


def test_a_secret_is_replaced_while_both_sign(database: Database, clock: ManualClock, stack: ExitStack) -> None:
    old, new = (stack.enter_context(listening(Inbox(secret=secret))) for secret in (OLD_SECRET, SECRET))
    receivers = [WebhookReceiver(name, one.url, [SECRET, OLD_SECRET]) for name, one in (("old", old), ("new", new))]
    for one in receivers:
        stack.callback(one.close)
    tell(database, clock)
    assert Deliverer(database, clock, receivers, {"old": Wants(), "new": Wants()}, unfenced).tick().delivered == 2
    assert old.types() == new.types() == ["invoice.paid"]


@pytest.mark.parametrize("status", [500, 302, 400])
def test_what_is_not_taken_is_tried_again_with_the_same_bytes_until_it_is(
    database: Database, clock: ManualClock, stack: ExitStack, status: int
) -> None:
    inbox = stack.enter_context(listening(Inbox(answers=[status, status])))
    delivering = deliverer(database, clock, stack, {"books": inbox.url})
    tell(database, clock)
    assert delivering.tick().failed == 1
    clock.advance(PAUSES[0] - timedelta(seconds=1))
    assert delivering.tick().failed == 0, "it is not due yet"
    clock.advance(timedelta(seconds=1))
    assert delivering.tick().failed == 1
    with database.transaction() as session:  # the receiver's library refuses a clock that is minutes ahead
        store.replay(session, clock.now(), notice_ids=[rows(database)[0]["id"]])
    assert delivering.tick().delivered == 1
    assert len(set(inbox.ids)) == 1 and len(inbox.ids) == 3 and len(set(inbox.bodies)) == 1


def test_who_is_never_there_is_given_up_and_can_be_told_later(
    database: Database, clock: ManualClock, stack: ExitStack
) -> None:
    url = f"http://127.0.0.1:{free_port()}/hook?token=secret"
    delivering = deliverer(database, clock, stack, {"books": url})
    tell(database, clock)
    for pause in PAUSES:
        assert delivering.tick().failed == 1
        clock.advance(pause)
    assert delivering.tick().failed == 1
    clock.advance(timedelta(days=30))
    assert delivering.tick().failed == 0
    (row,) = rows(database)
    assert (row["state"], row["attempts"]) == ("dead", ATTEMPTS) and "secret" not in row["answer"]
    assert row["answer"] == "cannot be reached: ConnectError"
    assert delivering.replay(None, actor="test") == 1
    with pytest.raises(NotFound):
        delivering.replay(None, actor="test")
    with pytest.raises(NotFound):
        delivering.replay(row["id"] + 1, actor="test")
    clock.move_to(datetime.now(UTC) + timedelta(days=60))
    assert delivering.tick().failed == 1, "it begins anew"


def test_gone_is_not_asked_again(database: Database, clock: ManualClock, stack: ExitStack) -> None:
    inbox = stack.enter_context(listening(Inbox(answers=[410])))
    delivering = deliverer(database, clock, stack, {"books": inbox.url})
    tell(database, clock)
    assert delivering.tick().dead == 1
    clock.advance(timedelta(days=2))
    assert delivering.tick().failed == 0 and len(inbox.ids) == 1


def test_each_gets_the_types_that_it_wants_and_nobody_waits_for_the_slow(
    database: Database, clock: ManualClock, stack: ExitStack
) -> None:
    slow, quick = (stack.enter_context(listening(Inbox())) for _ in range(2))
    slow.holding = threading.Event()
    delivering = deliverer(
        database, clock, stack, {"slow": slow.url, "quick": quick.url}, quick=frozenset({"invoice.issued"})
    )
    for kind in (NoticeType.INVOICE_ISSUED, NoticeType.INVOICE_PAID, NoticeType.INVOICE_ISSUED):
        tell(database, clock, Notice(kind, "INV-000001", {}))
    ticking = threading.Thread(target=delivering.tick)
    ticking.start()
    try:
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while len(quick.heard) < 2 and datetime.now(UTC) < deadline:
            pass
        assert quick.types() == ["invoice.issued"] * 2 and not slow.heard
    finally:
        slow.holding.set()
        ticking.join()
    assert slow.types() == ["invoice.issued", "invoice.paid", "invoice.issued"]


def test_two_copies_at_once_send_each_notice_once(database: Database, clock: ManualClock, stack: ExitStack) -> None:
    inbox = stack.enter_context(listening(Inbox()))
    copies = [deliverer(database, clock, stack, {"books": inbox.url}) for _ in range(2)]
    for number in range(30):
        tell(database, clock, Notice(NoticeType.INVOICE_PAID, f"INV-{number:06}", {"number": number}))
    threads = [threading.Thread(target=one.tick) for one in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while any(one.tick().delivered for one in copies):
        pass
    assert sorted(one["data"]["number"] for one in inbox.heard.values()) == list(range(30)) and len(inbox.ids) == 30


def test_who_dies_between_claim_and_answer_has_failed_once(
    database: Database, clock: ManualClock, stack: ExitStack
) -> None:
    inbox = stack.enter_context(listening(Inbox()))
    delivering = deliverer(database, clock, stack, {"books": inbox.url})
    tell(database, clock)
    with database.transaction() as session:
        store.spread(session, {"books": Wants()}, clock.now(), 10)
        assert store.claim(session, "books", clock.now()) is not None
    assert delivering.tick().delivered == 0
    clock.advance(PAUSES[0])
    assert delivering.tick().delivered == 1 and rows(database)[0]["attempts"] == 2


def test_what_did_not_happen_is_not_told_and_what_is_told_once_is_not_told_twice(
    database: Database, clock: ManualClock
) -> None:
    with pytest.raises(RuntimeError), database.transaction() as session:
        store.tell(session, NOTICE, clock.now())
        raise RuntimeError("the invoice was not issued after all")
    assert rows(database) == []
    once = Notice(NoticeType.INVOICE_OVERDUE, "INV-000001", {}, once="invoice.overdue INV-000001 7")
    with database.transaction() as session:
        assert [store.tell(session, once, clock.now()) for _ in range(2)] == [True, False]
    assert [(row["subject"], row["receiver"]) for row in rows(database)] == [("INV-000001", None)]
