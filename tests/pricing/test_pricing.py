"""Price books and rating."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset
from billing.core.period import FOREVER, Span, month
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.pricing.pricebook import parse
from billing.pricing.rater import Rater, rated
from billing.pricing.rating import Charged, LineKey, Quantity, rate
from billing.pricing.tariff import Tariff, price_of
from billing.tenants.registrar import Registrar
from tests.factories import OPERATOR, ScriptedSource, add_tenants, at, collector, second, tenant

BOOK = """
currency = "USD"
[[sku]]
code = "h100"
title = "NVIDIA H100"
models = ["NVIDIA H100 80GB HBM3"]
[[sku.price]]
from = 2026-01-01
per_hour = "2.49"
"""
USD = Asset("USD", 2)
GPU = DeviceKey("GPU-1")
OCTOBER = month(2026, 10)


def test_the_example_price_book_is_valid() -> None:
    example = Path(__file__).parents[2] / "config" / "pricebook.example.toml"
    assert parse(example.read_text()).asset == USD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("currency", "curency"), "curency: Extra inputs"),
        (('"2.49"', "2.49"), "per_hour: Input should be a valid string"),
        (('"2.49"', '"-1"'), "is not a price"),
        (('"2.49"', '"NaN"'), "is not a price"),
        (('"2.49"', '"' + "9" * 40 + '"'), "too many digits"),
        (("2026-01-01", "2026-01-01T00:00:00"), "offset from UTC"),
        (("2026-01-01", '"soon"'), "from"),
        (('models = ["NVIDIA H100 80GB HBM3"]', "models = []"), "models"),
        (("[[sku.price]]", "[[sku.price]"), "no TOML"),
        (('"USD"', '"usd"'), "currency"),
    ],
)
def test_a_malformed_price_book_is_refused_on_one_line(change: tuple[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse(BOOK.replace(*change))
    assert "\n" not in str(caught.value)


def test_prices_out_of_order_and_shared_models_are_refused() -> None:
    with pytest.raises(Invalid, match="not in order"):
        parse(BOOK + '[[sku.price]]\nfrom = 2025-01-01\nper_hour = "1"\n')
    with pytest.raises(Invalid, match="belongs to both h100 and other"):
        parse(BOOK + BOOK.partition("\n[[sku]]")[2].join(["\n[[sku]]", ""]).replace('"h100"', '"other"'))


@given(st.integers(0, 10**9), st.decimals("0", "1000", places=6))
def test_a_line_is_rounded_once_to_the_nearest_cent(seconds: int, price: Decimal) -> None:
    assert price_of(Tariff.flat(price), Decimal(seconds), price, USD) == round(Fraction(price) * seconds * 100 / 3600)


quantity = st.builds(
    Quantity,
    st.integers(1, 2),
    st.integers(1, 5),
    st.sampled_from(["a", "b"]),
    st.sampled_from([Decimal("2.49"), Decimal("0.333333")]),
    st.just(OCTOBER),
    st.integers(0, 3_000_000),
)


@given(st.lists(quantity, max_size=12, unique_by=lambda q: (q.key, q.device_id)), st.data())
def test_charges_sum_to_lines_and_nothing_is_charged_twice(quantities: list[Quantity], data: st.DataObject) -> None:
    lines = rate(quantities, {}, USD)
    for line in lines:
        assert sum(share.amount for share in line.shares) == line.amount
        assert sum(share.seconds for share in line.shares) == line.seconds
    charged = {line.key: Charged(line.span) for line in lines}
    for line in lines:
        for share in line.shares:
            charged[line.key].add(share.device_id, share.seconds, share.amount)
    assert rate(quantities, charged, USD) == [], "the same usage again is nothing more"
    if quantities:
        late = data.draw(st.sampled_from(quantities))
        more = [*quantities, Quantity(late.tenant_id, 99, late.sku, late.unit_price, late.span, 1800)]
        added = rate(more, charged, USD)
        whole = {line.key: line.amount for line in rate(more, {}, USD)}
        for line in added:
            before = charged.get(line.key)
            assert line.amount == whole[line.key] - (before.amount if before else 0)
            assert sum(share.amount for share in line.shares) == line.amount
            assert sum(share.seconds for share in line.shares) == line.seconds


def test_a_price_change_splits_a_line_at_that_instant(database: Database) -> None:
    clock = ManualClock(at(6.1))
    add_tenants(database, clock, "acme")
    collector(database, clock, ScriptedSource({GPU: [(0, 10**10, "acme")]}, up=[(0, 10**10)])).tick()
    rater = Rater(database, clock, lambda session: None)
    rater.apply(BOOK + '[[sku.price]]\nfrom = 2026-10-01T02:30:00Z\nper_hour = "3.00"\n', actor="test")
    with database.transaction() as session:
        found = rated(session, OCTOBER)
    assert [(line.span.start, line.seconds, line.amount) for line, _ in found.lines] == [
        (at(0), 9000, 622),
        (at(2.5), 12600, 1050),
    ]
    assert [behind.measured_seconds for _, behind in found.lines] == [9000, 12600]


def test_used_models_without_sku_or_price_stop_rating_by_name(database: Database) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme")
    collector(database, clock, ScriptedSource({GPU: [(0, 10**10, "acme")]}, up=[(0, 10**10)])).tick()
    rater = Rater(database, clock, lambda session: None)
    rater.apply(BOOK.replace("NVIDIA H100 80GB HBM3", "NVIDIA B200"), actor="test")
    with (
        pytest.raises(Conflict, match="no SKU lists the model 'NVIDIA H100 80GB HBM3'"),
        database.transaction() as session,
    ):
        rated(session, OCTOBER)
    rater.apply(BOOK.replace("2026-01-01", "2026-10-01T00:30:00Z"), actor="test")
    with pytest.raises(Conflict, match="h100 has no price for 1800 s"), database.transaction() as session:
        rated(session, OCTOBER)


def test_a_book_may_not_reach_back_into_closed_time(database: Database) -> None:
    clock = ManualClock(at(2.1))
    rater = Rater(database, clock, lambda session: at(0))
    Rater(database, clock, lambda session: None).apply(BOOK, actor="test")
    with pytest.raises(Conflict, match="is in time that is closed"):
        rater.apply(BOOK.replace("2.49", "2.50"), actor="test")
    with pytest.raises(Conflict, match="is in time that is closed"):
        rater.apply(BOOK + '[[sku.price]]\nfrom = 2026-09-30\nper_hour = "3.00"\n', actor="test")
    changes = rater.apply(BOOK + '[[sku.price]]\nfrom = 2026-10-01\nper_hour = "3.00"\n', actor="test")
    assert [(change.before, change.after) for change in changes] == [
        (None, Tariff.flat("2.49")),
        (Tariff.flat("2.49"), None),
        (None, Tariff.flat("3")),
    ]
    assert rater.apply(BOOK + '[[sku.price]]\nfrom = 2026-10-01\nper_hour = "3.00"\n', actor="test") == []


def test_excluded_and_unseen_time_reaches_the_line_with_its_reason(database: Database) -> None:
    clock = ManualClock(at(1.1))
    add_tenants(database, clock, "beta")
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    other = DeviceKey("GPU-2")
    source = ScriptedSource(
        {GPU: [(0, second(2), ""), (second(3), 10**10, "")], other: [(0, 10**10, "beta")]},
        up=[(0, second(4)), (second(5), 10**10)],
    )
    collecting = collector(database, clock, source, rule=OPERATOR)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0), FOREVER), uuids=["GPU-1"], reference="L1", actor="test")
    for _ in range(5):
        clock.advance(at(1) - at(0))
        collecting.tick()
    Rater(database, clock, lambda session: None).apply(BOOK, actor="test")
    with database.transaction() as session:
        found = {line.key.tenant_id: (line, behind) for line, behind in rated(session, OCTOBER).lines}
    (beta, seen), (acme, leased) = found[1], found[2]
    assert abs(beta.seconds - 5 * 3600) < 120 and seen.measured_seconds == beta.seconds
    assert seen.excluded == [("source blind", 6 * 3600 - beta.seconds)]
    assert acme.seconds + leased.excluded[0][1] == 6 * 3600 and leased.excluded[0][0] == "device missing"
    assert abs(acme.seconds - leased.measured_seconds - 3600) < 120, "an hour was billed by the lease, unseen"
    assert len(leased.usage_digest) == 64 and leased.usage_digest != seen.usage_digest


def test_line_keys_ignore_how_a_price_is_written() -> None:
    assert LineKey.of(1, "a", OCTOBER, Decimal("2.50")) == LineKey.of(1, "a", OCTOBER, Decimal("2.5"))
