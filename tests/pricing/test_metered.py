"""What meters cost: rated whole, rounded once, and never more than once."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset
from billing.core.period import Span, month
from billing.db.engine import Database
from billing.events.event import Form
from billing.events.ingester import Ingester
from billing.events.meter import Total
from billing.pricing.metered import Charged, Line, MeterPrice, lacking, wholes
from billing.pricing.pricebook import parse
from billing.pricing.rater import Rater, rated
from billing.pricing.rating import LineKey
from billing.pricing.tariff import Tariff, price_of
from tests.events.pushed import METERS, TOKENS, body, event
from tests.factories import add_tenants, at

USD = Asset("USD", 2)
OCTOBER = month(2026, 10)
BOOK = """
currency = "USD"
[[sku]]
code = "tokens"
title = "Tokens served"
meter = "tokens"
[[sku.price]]
from = 2026-10-01
per_unit = "0.30"
unit_size = 1000000
[[sku.price]]
from = 2026-10-16
per_unit = "0.20"
unit_size = 1000000
"""

quantities = st.decimals(0, 10**30, places=18, allow_nan=False).map(abs)


@given(quantities, st.decimals(0, 1000, places=9).map(abs), st.integers(1, 10**15))
def test_a_line_is_rounded_once_to_the_nearest_cent(quantity: Decimal, price: Decimal, size: int) -> None:
    assert price_of(Tariff.flat(price, size), quantity, price, USD) == round(
        Fraction(quantity) * Fraction(price) * 100 / size
    )


def total(quantity: Decimal) -> Total:
    return Total(1, "tokens", OCTOBER, quantity, 3, "ab" * 32, at(0))


PRICE = MeterPrice("tokens", "tokens", Tariff.flat("0.3", 1000), OCTOBER)


def due(totals: list[Total], charged: Charged) -> list[Line]:
    return lacking(wholes(totals, [PRICE], METERS, USD), [PRICE], METERS, charged)


@given(st.lists(quantities, min_size=1, max_size=6))
def test_however_often_a_growing_total_is_invoiced_the_charges_come_to_the_whole(seen: list[Decimal]) -> None:
    """Also when late events make it smaller again, as they may with `latest`."""
    charged: Charged = {}
    for quantity in seen:
        for line, _ in due([total(quantity)], charged):
            assert line.metered is not None
            _, _, before, amount = charged.get(line.key, ("tokens", OCTOBER, Decimal(0), 0))
            assert Fraction(before) + Fraction(line.metered.quantity) == Fraction(quantity)
            charged = {line.key: ("tokens", OCTOBER, quantity, amount + line.amount)}
    if charged:
        ((_, _, quantity, amount),) = charged.values()
        assert quantity == seen[-1] and amount == price_of(PRICE.tariff, seen[-1], Decimal("0.3"), USD)
    else:
        assert not any(seen)


def test_what_moved_away_altogether_is_taken_back() -> None:
    key = LineKey.of(1, "tokens", OCTOBER, PRICE.tariff.placeholder)
    ((line, _),) = due([], {key: ("tokens", OCTOBER, Decimal(2000), 60)})
    assert line.metered is not None
    assert (line.metered.quantity, line.amount, line.metered.events) == (Decimal(-2000), -60, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('meter = "tokens"', 'meter = "tokens"\nmodels = ["H100"]'), "name models, or a meter"),
        (('meter = "tokens"', ""), "name models, or a meter"),
        (('meter = "tokens"', 'meter = "tokens"\nprofile = "1g.10gb"'), "a profile goes with models"),
        (('meter = "tokens"', 'models = ["H100"]'), "devices are priced per_hour"),
        (('per_unit = "0.30"\nunit_size = 1000000', 'per_hour = "0.30"'), "a meter is priced per_unit"),
        (('per_unit = "0.30"', 'per_unit = "0.30"\nper_hour = "1"'), "give per_hour, or per_unit"),
        (('per_unit = "0.30"\n', ""), "give per_hour, or per_unit"),
        (('per_unit = "0.30"', "per_unit = 0.30"), "valid string"),
        (('per_unit = "0.30"', 'per_unit = "-0.30"'), "is not a price"),
        (("1000000", "0.5"), "unit_size"),
        (("1000000", "-1"), "unit_size"),
        (("1000000", "10000000000000000"), "unit_size"),
        (("1000000", '"1000"'), "unit_size"),
    ],
)
def test_a_book_that_mixes_time_and_meters_is_refused(change: tuple[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse(BOOK.replace(*change, 1))
    assert "\n" not in str(caught.value)


def test_a_meter_belongs_to_one_sku_and_a_sku_to_one_meter_for_good(database: Database) -> None:
    other = BOOK.partition("[[sku]]")[2].replace('code = "tokens"', 'code = "more"')
    with pytest.raises(Invalid, match="the meter tokens belongs to both tokens and more"):
        parse(BOOK + "[[sku]]" + other)
    rater = Rater(database, ManualClock(at(0)), lambda session: None)
    changes = rater.apply(BOOK, actor="test")
    assert [str(change.after) for change in changes] == ["0.30 per 1000000 units", "0.20 per 1000000 units"]
    with pytest.raises(Conflict, match="is a SKU of the meter tokens and cannot become another"):
        rater.apply(BOOK.replace('meter = "tokens"', 'meter = "calls"'), actor="test")
    resized = rater.check(BOOK.replace("1000000", "1000", 1))
    assert [(change.before, change.after) for change in resized] == [
        (Tariff.flat("0.3", 1000000), Tariff.flat("0.30", 1000))
    ], "another unit size is another price"
    assert [row["per_unit"] for row in rater.prices()] == ["0.3", "0.2"]


@pytest.fixture
def pushed(database: Database) -> Database:
    """2.5 million tokens before the price date and 1 after it."""
    clock = ManualClock(at(24, day=31))
    add_tenants(database, clock, "acme")
    Ingester(database, clock, METERS).ingest(
        body(
            event("1", {"tokens": 2_500_000}, time=at(0, day=15).isoformat()),
            event("2", {"tokens": 1_000_000}, time=at(0, day=16).isoformat()),
        ),
        Form.BATCH,
    )
    return database


def test_a_price_date_makes_two_lines(pushed: Database) -> None:
    Rater(pushed, ManualClock(at(0)), lambda session: None).apply(BOOK, actor="test")
    with pushed.transaction() as session:
        lines = [line for line, _ in rated(session, OCTOBER, None, METERS).lines]
    assert [(int(line.metered.quantity), line.amount) for line in lines if line.metered] == [
        (2_500_000, 75),
        (1_000_000, 20),
    ]
    assert [line.span for line in lines] == [Span(at(0), at(0, day=16)), Span(at(0, day=16), OCTOBER.end)]


def test_counted_events_without_a_price_stop_the_run_and_say_when(pushed: Database) -> None:
    late = BOOK.replace("from = 2026-10-01", "from = 2026-10-15T12:00:00Z")
    Rater(pushed, ManualClock(at(0)), lambda session: None).apply(late, actor="test")
    with (
        pytest.raises(Conflict, match="the meter tokens has no price at 2026-10-15T00:00:00Z"),
        pushed.transaction() as s,
    ):
        rated(s, OCTOBER, None, METERS)


def test_a_sku_of_a_meter_that_is_not_declared_stops_the_run(pushed: Database) -> None:
    Rater(pushed, ManualClock(at(0)), lambda session: None).apply(BOOK, actor="test")
    with (
        pytest.raises(Conflict, match="tokens is a SKU of the meter tokens, which is not decl"),
        pushed.transaction() as s,
    ):
        rated(s, OCTOBER)


def test_a_meter_without_a_sku_is_counted_and_not_billed(pushed: Database) -> None:
    book = BOOK.replace('meter = "tokens"', 'meter = "calls"').replace("1000000", "1")
    Rater(pushed, ManualClock(at(0)), lambda session: None).apply(book, actor="test")
    with pushed.transaction() as session:
        lines = rated(session, OCTOBER, None, METERS).lines
    assert [line.metered.meter for line, _ in lines if line.metered] == ["calls", "calls"]
    assert TOKENS.name not in {line.metered.meter for line, _ in lines if line.metered}
