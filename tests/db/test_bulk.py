"""Rows that come by COPY are the rows that come one by one."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from billing.core.errors import Conflict
from billing.core.period import month
from billing.db import bulk
from billing.db.engine import Database
from billing.db.tables.ledger import EntryRow
from billing.db.tables.notices import NoticeRow
from billing.db.tables.pricing import PriceBookRow, PriceRow, SkuRow
from billing.db.tables.trail import TrailRow

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)


def deed(**fields: Any) -> dict[str, Any]:
    return {"at": NOW, "actor": "a", "action": "b", "subject": "c", "reason": "", "details": {}} | fields


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=TEXT, details=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT))
def test_any_text_and_any_details_come_back_as_they_were(
    database: Database, said: str, details: dict[str, Any]
) -> None:
    with database.transaction(trial=True) as session:
        bulk.copy(session, TrailRow, [deed(reason=said, details=details), deed()])
        newest = session.exec(select(TrailRow).order_by(col(TrailRow.id).desc()).limit(2)).all()
        assert [(row.reason, row.details, row.at) for row in newest] == [("", {}, NOW), (said, details, NOW)]


def test_spans_prices_and_absent_values_come_back_as_they_were(database: Database) -> None:
    with database.transaction() as session:
        session.add(SkuRow(code="h100", title="H100", models=["NVIDIA H100"]))
        session.add(PriceBookRow(digest="d", content="", applied_at=NOW, applied_by="t"))
        book = bulk.next_ids(session, PriceBookRow, 1)[0] - 1
        price = {
            "book_id": book, "sku": "h100", "currency": "USD", "exponent": 2, "model": "flat", "tiers": None,
            "per_hour": Decimal("2.490000000000000001"), "during": month(2026, 10), "tenant_id": None,
        }  # fmt: skip
        bulk.copy(session, PriceRow, [price])  # what waits in the session goes first: the SKU is there
        (row,) = session.exec(select(PriceRow)).all()
        assert (row.during, row.per_hour, row.tiers, row.superseded_at) == (
            month(2026, 10), Decimal("2.490000000000000001"), None, None,
        )  # fmt: skip


def test_ids_are_fresh_and_in_order(database: Database) -> None:
    with database.transaction() as session:
        first, second = bulk.next_ids(session, EntryRow, 3), bulk.next_ids(session, EntryRow, 2)
    assert sorted({*first, *second}) == [*first, *second]


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(AssertionError), database.transaction() as session:
        bulk.copy(session, TrailRow, [deed(at=datetime(2026, 11, 2))])  # noqa: DTZ001


def test_a_row_that_the_database_refuses_is_a_conflict_and_nothing_is_kept(database: Database) -> None:
    notice = {"message_id": "m", "type": "t", "subject": "s", "content": b"\x00\\N\t", "created_at": NOW}
    with pytest.raises(Conflict), database.transaction() as session:
        bulk.copy(session, NoticeRow, [notice, notice])
    with database.transaction() as session:
        assert session.exec(select(NoticeRow)).all() == []
        bulk.copy(session, NoticeRow, [notice])
        assert session.exec(select(NoticeRow.content)).one() == notice["content"]
        bulk.copy(session, NoticeRow, [])
