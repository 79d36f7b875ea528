"""Nothing is issued on a database that has forgotten something, however it came to that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.core.errors import Conflict, Unavailable
from billing.db.engine import Database
from billing.invoicing.archive import Archive
from billing.invoicing.guard import Guard
from tests.invoicing.test_archive import NOW, prepared
from tests.invoicing.test_issuer import Broken
from tests.journeys.test_restore import Backup
from tests.world import PERIOD, World, metered, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        metered(one, "acme", "beta", "gamma")
        one.app.check_chain(31337)
        yield one


class Unmarked(Archive):
    """An archive of a process that is killed after its commit, before the mark."""

    def __init__(self, inner: Archive) -> None:
        super().__init__(inner.directories)

    def issued(self, digests: object, at: object) -> None:
        raise Unavailable("killed")


def issued_and_killed(made: World, slug: str) -> None:
    made.app.issuer._archive = Unmarked(made.app.archive)
    with pytest.raises(Unavailable, match="killed"):
        made.app.issuer.run(PERIOD, slug)
    made.again()


def marks(made: World) -> list[bool]:
    return [one.issued for one in made.app.archive.read()]


def check(database: Database, guard: Guard) -> None:
    with database.transaction() as session:
        guard.check(session, NOW)


def test_what_was_only_prepared_is_no_hindrance_and_what_was_issued_is(database: Database, tmp_path: Path) -> None:
    archive, one = Archive([tmp_path]), prepared()
    guard = Guard(archive)
    archive.prepare([one], NOW)
    check(database, guard)
    archive.issued([one.digest], NOW)
    for _ in range(2):
        with pytest.raises(
            Conflict, match="1 documents that the database does not know, INV-000042 first; was an older"
        ):
            check(database, guard)
    archive.left([one.digest], NOW)
    check(database, guard)
    archive.issued([one.digest], NOW)  # a later restore brought it back; then it was lost again
    for asked in (guard, Guard(archive)):
        with pytest.raises(Conflict, match="INV-000042 first"):
            check(database, asked)


def test_a_backup_put_back_under_a_running_issuer_is_noticed(made: World) -> None:
    backup = Backup(made)
    made.app.issuer.run(PERIOD, "acme")
    old, issuer = made.app, made.app.issuer
    backup.put_back()
    with pytest.raises(Conflict, match="INV-000001 first; was an older backup restored"):
        issuer.run(PERIOD, "beta")
    old.database.close()


def test_a_backup_is_noticed_by_an_issuer_that_had_nothing_left_to_compare(made: World) -> None:
    """The newest document is asked for each time: a backup always lacks what came last."""
    backup = Backup(made)
    made.app.issuer.run(PERIOD, "acme")
    made.app.issuer.run(PERIOD, "beta")
    old, issuer = made.app, made.app.issuer
    assert issuer.tick() == 0 and not issuer._guard._open, "everything was compared"
    backup.put_back()
    for attempt in (
        issuer.tick,
        lambda: issuer.run(PERIOD, "gamma"),
        lambda: issuer.void("INV-1", reason="x", actor="t"),
    ):
        with pytest.raises(Conflict, match="was an older backup restored"):
            attempt()
    made.app.restore(actor="test")
    (invoice,) = issuer.run(PERIOD, "gamma")
    assert invoice.number == "INV-000003"
    old.database.close()


def test_a_mark_that_a_kill_left_out_is_written_at_the_next_tick(made: World) -> None:
    backup = Backup(made)
    issued_and_killed(made, "acme")
    assert marks(made) == [False]
    made.app.issuer.tick()
    assert marks(made)[0] is True
    backup.put_back()
    with pytest.raises(Conflict, match="INV-000001 first; was an older backup restored"):
        made.app.issuer.run(PERIOD, "beta")


def test_marks_are_written_once(made: World) -> None:
    issued_and_killed(made, "acme")
    journal = made.app.archive.directories[0] / f"journal-{made.clock.now():%Y-%m}.jsonl"
    for _ in range(3):
        made.app.issuer.run(PERIOD, "acme")
    assert journal.read_text().count('"issued"') == 1
    made.again().issuer.run(PERIOD, "acme")
    assert journal.read_text().count('"issued"') == 1


def test_a_crash_before_the_commit_gives_the_number_again(made: World) -> None:
    made.app.issuer._archive = Broken(made.app.archive, after=True)
    with pytest.raises(Unavailable, match="disk failed"):
        made.app.issuer.run(PERIOD, "acme")
    (invoice,) = made.again().issuer.run(PERIOD, "beta")
    assert invoice.number == "INV-000001" and marks(made) == [False, True]
