"""The audit trail only grows: the database itself refuses to change, remove or empty it."""

import pytest
from sqlalchemy import text

from billing.core.errors import Conflict
from billing.db.engine import Database
from billing.trail.store import Deed, about, record
from tests.factories import at


@pytest.fixture(autouse=True)
def deeds(database: Database) -> None:
    with database.transaction() as session:
        record(session, Deed(at(2), "ops", "lease.end", "lease c1", "left", {"at": "noon", "gpus": 2}))
        record(session, Deed(at(1), "ops", "lease.add", "lease c1"))
        record(session, Deed(at(1), "ops", "lease.add", "lease c2"))


def test_what_was_done_is_told_in_the_order_in_which_it_was_written(database: Database) -> None:
    with database.transaction() as session:
        told = about(session, "lease c1")
    assert [deed.action for deed in told] == ["lease.end", "lease.add"]
    assert (told[0].reason, told[0].details, told[0].at) == ("left", {"at": "noon", "gpus": 2}, at(2))


@pytest.mark.parametrize(
    "statement",
    ["UPDATE trail SET actor = 'somebody else'", "DELETE FROM trail", "TRUNCATE trail", "TRUNCATE trail CASCADE"],
)
def test_it_is_append_only(database: Database, statement: str) -> None:
    with pytest.raises(Conflict, match="append only"), database.transaction() as session:
        session.execute(text(statement))
    with database.transaction() as session:
        assert session.execute(text("SELECT count(*), count(*) FILTER (WHERE actor = 'ops') FROM trail")).one() == (
            3,
            3,
        )


def test_what_was_not_committed_was_not_done(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as session:
        record(session, Deed(at(3), "ops", "lease.add", "lease c3"))
        raise RuntimeError
    with database.transaction() as session:
        assert about(session, "lease c3") == []
