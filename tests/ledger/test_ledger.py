"""Double entry: every entry balances in every asset, nothing is changed, a reversal takes back exactly what was booked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.core.errors import Conflict, Invalid
from billing.db.engine import Database
from billing.ledger import account, store
from billing.ledger.entry import Entry, Posting, entry_postings, unbalanced
from tests.factories import at

USD, USDC = "USD", "8453:USDC"


def entry(*postings: Posting, kind: str = "issue") -> Entry:
    return Entry(kind, at(1).date(), at(1), postings)


def sale(units: int = 100) -> Entry:
    return entry(Posting("receivable", USD, units), Posting("revenue:h100", USD, -units))


@pytest.mark.parametrize(
    "name",
    [
        "receivable",
        "revenue:h100",
        "deposit:8453:USDC",
        "treasury:1:USDT",
        "held:1",
        "suspense",
        "write_off",
        "tenant_credit",
    ],
)
def test_the_chart_has_its_accounts(name: str) -> None:
    assert account.check(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "cash", "Receivable", "receivable:1", "revenue", "revenue:", "deposit:8453", "deposit::USDC", "held:1:2"],
)
def test_a_mistyped_account_does_not_open_itself(name: str) -> None:
    with pytest.raises(Invalid, match="chart of accounts"):
        Posting(name, USD, 1)


def test_assets_do_not_balance_each_other() -> None:
    """A dollar token is not a dollar: they meet in `conversion` alone, on both sides."""
    with pytest.raises(Invalid, match=r"does not balance in 8453:USDC, USD"):
        entry(Posting("deposit:8453:USDC", USDC, 100), Posting("receivable", USD, -100))
    entry(
        Posting("deposit:8453:USDC", USDC, 1_000_000), Posting("conversion", USDC, -1_000_000),
        Posting("conversion", USD, 100), Posting("receivable", USD, -100),
    )  # fmt: skip


def test_an_empty_entry_books_nothing_and_is_refused() -> None:
    with pytest.raises(Invalid, match="it is empty"):
        entry(*entry_postings(Posting("receivable", USD, 0)))


amounts = st.lists(st.integers(-(10**30), 10**30).filter(bool), min_size=1, max_size=6)


@given(amounts, st.integers(-(10**30), 10**30))
def test_only_sums_of_zero_are_entries_and_a_reversal_is_its_mirror(units: list[int], last: int) -> None:
    postings = [Posting("suspense", USD, one) for one in units] + [Posting("fx", USD, last)]
    off = sum(units) + last
    assert unbalanced(postings) == ([USD] if off else [])
    if off:
        with pytest.raises(Invalid, match="does not balance"):
            entry(*postings)
        return
    booked = entry(*postings)
    back = booked.reversed(at(2))
    assert back.kind == "issue.reversal" and back.booked_on == at(2).date()
    assert [a.units + b.units for a, b in zip(booked.postings, back.postings, strict=True)] == [0] * len(postings)


def test_the_database_refuses_what_does_not_balance_or_is_empty(database: Database) -> None:
    with database.transaction() as session:
        store.post(session, sale())
    for statement in (
        "INSERT INTO posting (entry_id, account, asset, units) SELECT id, 'fx', 'USD', 1 FROM entry",
        "INSERT INTO entry (kind, booked_on, happened_at, memo, created_at) VALUES ('x', now(), now(), '', now())",
        "UPDATE posting SET units = units * 2",
        "DELETE FROM posting",
        "DELETE FROM entry",
        "TRUNCATE entry CASCADE",
    ):
        with pytest.raises(Conflict), database.transaction() as session:
            session.execute(text(statement))
    with database.transaction() as session:
        assert store.balance(session, "receivable", USD) == 100


def test_amounts_beyond_64_bits_are_exact(database: Database) -> None:
    """A token with 18 decimals needs more than a machine word."""
    huge = 123_456_789_012_345_678_901_234_567_890
    with database.transaction() as session:
        store.post(session, sale(huge))
        store.post(session, sale(1))
        assert store.balance(session, "receivable", USD) == huge + 1


def test_the_trial_balance_shows_turnover_and_sums_to_zero(database: Database) -> None:
    with database.transaction() as session:
        number = store.post(session, sale(100))
        store.post(session, sale(50))
        (booked,) = [Entry("issue", at(1).date(), at(1), sale(100).postings, id=number)]
        store.reverse(session, [booked], at(3))
        lines = {line.account: line for line in store.trial_balance(session)}
    assert (lines["receivable"].debits, lines["receivable"].credits, lines["receivable"].units) == (150, 100, 50)
    assert (lines["revenue:h100"].debits, lines["revenue:h100"].credits, lines["revenue:h100"].units) == (100, 150, -50)
    assert sum(line.units for line in lines.values()) == 0


def test_what_was_never_booked_is_zero(database: Database) -> None:
    with database.transaction() as session:
        assert store.balance(session, "receivable", USD) == 0
        assert store.trial_balance(session) == [] and store.remaining(session, [1, 2]) == {}
        assert store.booked_with(session, "opening", "x", "external") is None
