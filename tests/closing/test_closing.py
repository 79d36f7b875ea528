"""Closing a month: only when nothing can change in it, once, and for ever."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from billing.core.errors import Conflict
from billing.core.period import Span, month
from billing.ledger import store as ledger
from billing.ledger.entry import Entry, Posting
from billing.reports.reporter import Format
from tests.world import World, issued, usd, world

BLOCKS = 40
MANY_BLOCKS = 700
"""More than are remembered behind the head."""


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def paid(made: World) -> Span:
    """Invoices, a payment and a question; the month that they were booked in."""
    acme, beta = issued(made, "acme", "beta")
    assert acme.address is not None and beta.address is not None
    made.node.transfer(made.usdc, acme.address, usd("250.00"))
    made.node.transfer(made.other, beta.address, 10**18)
    made.settle(40)
    return month(made.clock.now().year, made.clock.now().month)


def after(made: World, period: Span, blocks: int = BLOCKS) -> None:
    """The month is over, and every chain is final and proven far past its end."""
    made.clock.move_to(period.end + timedelta(days=1))
    made.node.request("evm_setNextBlockTimestamp", [int(made.clock.now().timestamp())])
    made.node.mine(blocks)
    made.follow()
    while made.app.proofreaders[31337].tick().behind:
        pass


def kept(made: World, period: Span, name: str) -> bytes | None:
    content = made.app.closer.kept(period, name)
    return None if content is None else b"".join(content)


def test_a_month_is_closed_once_nothing_can_change_in_it_and_never_twice(made: World) -> None:
    period = paid(made)
    closer = made.app.closer
    assert closer.blockers(period) == ["it is not over"]
    made.clock.move_to(period.end + timedelta(hours=1))
    assert closer.blockers(period) == ["anvil is not final and read twice up to its end"]
    after(made, period, MANY_BLOCKS)
    assert closer.blockers(period) == []
    found = closer.close(period, actor="ann")
    assert [one[0] for one in found.carried] == ["wrong_token"] and found.closed_by == "ann"
    assert len(found.files) == 13 and closer.listed() == [found]
    with pytest.raises(Conflict, match="are closed already"):
        closer.close(period, actor="bob")
    assert made.findings() == []


def test_nothing_is_booked_into_a_closed_month_and_later_payments_are_booked_later(made: World) -> None:
    period = paid(made)
    after(made, period)
    made.app.closer.close(period, actor="ann")
    postings = (Posting("external", "USD", 1), Posting("conversion", "USD", -1))
    late = Entry("external", period.start.date(), made.clock.now(), postings)
    with (
        pytest.raises(Conflict, match=f"the books of {period.start:%Y-%m} are closed"),
        made.app.database.transaction() as s,
    ):
        ledger.post(s, late)
    before = kept(made, period, "journal.csv")
    beta = made.invoice("INV-000002")
    assert beta.address is not None
    made.node.transfer(made.usdc, beta.address, usd("200.00"))
    made.settle(40)
    assert made.invoice("INV-000002").remaining == 0
    assert kept(made, period, "journal.csv") == before == b"".join(made.app.reporter.journal(period, Format.CSV))


def test_the_bytes_of_a_closed_month_stay_though_the_figures_behind_them_go_on(made: World) -> None:
    """The reconciliation tells confirmations, which grow; its file does not. A file that is lost comes back only as it was."""
    period = paid(made)
    october = month(2026, 10)
    after(made, period)
    made.app.closer.close(period, actor="ann")
    (closed,) = made.app.closer.listed()
    folder = made.settings.data_dir / "closed" / closed.period
    for one in closed.files:
        content = kept(made, period, one.name)
        assert content is not None and hashlib.sha256(content).hexdigest() == one.sha256 and len(content) == one.size
        assert (folder / one.name).read_bytes() == content
    assert made.app.closer.kept(october, "journal.csv") is None, "that month is open"
    (folder / "journal.xlsx").unlink()
    (folder / "journal.csv").write_bytes(b"somebody's own")
    for name in ("journal.xlsx", "journal.csv"):
        assert kept(made, period, name) is not None
    wanted = next(one.sha256 for one in closed.files if one.name == "journal.csv")
    assert hashlib.sha256((folder / "journal.csv").read_bytes()).hexdigest() == wanted


def test_a_close_that_was_interrupted_is_finished(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    period = paid(made)
    after(made, period)
    closer = made.app.closer
    with monkeypatch.context() as patched:
        patched.setattr(made.app.reporter, "aging", _broken)
        with pytest.raises(RuntimeError):
            closer.close(period, actor="ann")
    assert closer.listed()[0].files == () and closer.kept(period, "journal.csv") is None
    assert len(closer.close(period, actor="bob").files) == 13
    assert closer.listed()[0].closed_by == "ann", "the books were closed then"


def test_a_month_waits_for_those_before_it(made: World) -> None:
    period = paid(made)
    later = month(period.end.year, period.end.month)
    after(made, later)
    assert made.app.closer.blockers(later) == [f"{period.start:%Y-%m} comes first"]
    made.app.closer.close(period, actor="ann")
    assert made.app.closer.blockers(later) == []


def test_a_payment_of_the_month_that_is_not_final_keeps_it_open(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path, chain={"confirmations": 1, "final_confirmations": 2000}) as made:
        period = paid(made)
        after(made, period)
        transfers, behind = made.app.closer.blockers(period)
        assert transfers == "2 transfers of it are not final and booked" and behind.startswith("anvil is not final")


def _broken(*args: object) -> Iterator[bytes]:
    raise RuntimeError("the disk is gone")
