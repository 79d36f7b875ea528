"""Price models on real usage: what the database sums, what the rater makes of it, what a book may change."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import Span, month
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.pricing import spots
from billing.pricing.pricebook import parse
from billing.pricing.rater import Rater, rated
from billing.pricing.rating import LineEvidence, LineKind, RatedLine
from billing.tenants.registrar import Registrar
from tests.factories import ScriptedSource, at, collector, second, tenant

OCTOBER = month(2026, 10)
HEAD = """
currency = "USD"
[[sku]]
code = "h100"
title = "NVIDIA H100"
models = ["NVIDIA H100 80GB HBM3"]
[[sku.price]]
from = 2026-01-01
"""
FLAT = HEAD + 'per_hour = "2.00"\n'


@pytest.fixture
def used(database: Database) -> Iterator[Rater]:
    """Acme uses two GPUs for 5 hours each from midnight, beta one for 10, shop's customer one for 10."""
    clock = ManualClock(at(11))
    registrar = Registrar(database, clock)
    for one in (tenant("acme"), tenant("beta"), tenant("shop"), tenant("end", reseller="shop")):
        registrar.add(one, [one.slug], actor="test")
    devices = {
        DeviceKey("GPU-1"): [(0, second(5), "acme")],
        DeviceKey("GPU-2"): [(0, second(5), "acme")],
        DeviceKey("GPU-3"): [(0, second(10), "beta")],
        DeviceKey("GPU-4"): [(0, second(10), "end")],
    }
    source = ScriptedSource(devices, up=[(0, second(10))], interval=600)
    collecting = collector(database, clock, source)
    while collecting.tick().windows:
        pass
    yield Rater(database, clock, lambda session: None)


def lines(rater: Rater, tenant_id: int) -> list[tuple[RatedLine, LineEvidence]]:
    with rater._database.transaction() as session:
        return [(line, evidence) for line, evidence in rated(session, OCTOBER).lines if line.key.tenant_id == tenant_id]


def told(rater: Rater, tenant_id: int) -> list[tuple[int, str, int]]:
    """(hours, unit price, cents) of each line of a tenant: ids are 1 acme, 2 beta, 3 shop, 4 end."""
    return [
        (round(line.seconds / 3600), f"{line.key.unit_price:f}", round(line.amount, -1))
        for line, _ in lines(rater, tenant_id)
    ]


def test_graduated_tiers_are_lines_of_their_own_and_share_the_evidence(used: Rater) -> None:
    used.apply(HEAD + 'graduated = [{up_to = 6, per_hour = "2"}, {per_hour = "1"}]\n', actor="test")
    found = lines(used, 1)
    (dear, first), (cheap, second_) = sorted(found, key=lambda one: -one[0].key.unit_price)
    assert (dear.seconds, dear.amount, dear.note) == (6 * 3600, 1200, "first to 6 h")
    assert cheap.note == "over 6 h" and abs(cheap.seconds - 4 * 3600) <= 1200
    assert first.usage_digest == second_.usage_digest
    assert first.measured_seconds + second_.measured_seconds == dear.seconds + cheap.seconds
    assert {share.device_id for share in dear.shares} == {share.device_id for share in cheap.shares}


def test_volume_prices_everything_by_where_the_whole_comes_to(used: Rater) -> None:
    used.apply(HEAD + 'volume = [{up_to = 6, per_hour = "2"}, {per_hour = "1"}]\n', actor="test")
    assert [one[:2] for one in told(used, 1)] == [(10, "1")]


def test_packages_are_whole(used: Rater) -> None:
    used.apply(HEAD + 'package = {hours = 4, price = "7.00"}\n', actor="test")
    ((line, _),) = lines(used, 1)
    assert (line.amount, line.package, line.key.unit_price) == (2100, 4 * 3600, Decimal(7))


def test_a_tenant_has_its_own_price_while_it_has_one_and_the_list_price_before_and_after(used: Rater) -> None:
    override = '[[override]]\ntenant = "acme"\nsku = "h100"\n[[override.price]]\n'
    times = 'from = 2026-10-01T01:00:00Z\nuntil = 2026-10-01T03:00:00Z\nper_hour = "1.00"\n'
    used.apply(FLAT + override + times, actor="test")
    assert [(hours, price) for hours, price, _ in told(used, 1)] == [(2, "2"), (4, "1"), (4, "2")]
    assert told(used, 2)[0][:2] == (10, "2"), "others pay the list price"


def test_a_resellers_price_is_that_of_its_customers_unless_they_have_their_own(used: Rater) -> None:
    of_shop = '[[override]]\ntenant = "shop"\nsku = "h100"\n[[override.price]]\nfrom = 2026-01-01\nper_hour = "1.50"\n'
    used.apply(FLAT + of_shop, actor="test")
    assert told(used, 4)[0][:2] == (10, "1.5") and told(used, 1)[0][:2] == (10, "2")
    used.apply(FLAT + of_shop + of_shop.replace("shop", "end").replace("1.50", "0.5"), actor="test")
    assert told(used, 4)[0][:2] == (10, "0.5")


def test_spot_rates_make_a_line_each_and_hours_without_one_stop_the_run(used: Rater) -> None:
    used.apply(HEAD + "spot = true\n", actor="test")
    with pytest.raises(Conflict, match="h100 has no price for"):
        told(used, 1)
    half = b"from,to,per_hour\n2026-10-01T00:00:00Z,2026-10-01T02:00:00Z,1.00\n2026-10-01T02:00:00Z,2026-10-01T05:00:00Z,3.00\n"
    assert used.offer("h100", spots.parse(half), actor="test") == 2
    assert used.offer("h100", spots.parse(half), actor="test") == 0, "the same again is nothing more"
    with pytest.raises(Conflict, match="h100 has no price for"):
        told(used, 1)
    rest = b"from,per_hour\n2026-10-01T05:00:00Z,1.00\n2026-10-01T09:00:00Z,1\n2026-10-02T00:00:00Z,1\n"
    used.offer("h100", spots.parse(rest), actor="test")
    assert [(hours, price) for hours, price, _ in told(used, 1)] == [(4, "1"), (6, "3")]
    assert [(hours, price) for hours, price, _ in told(used, 2)] == [(7, "1"), (3, "3")], "equal rates are one line"
    with pytest.raises(Conflict, match="was offered at 3 for"):
        used.offer("h100", spots.parse(half.replace(b"3.00", b"2.00")), actor="test")
    with pytest.raises(NotFound, match="no SKU a100"):
        used.offer("a100", spots.parse(half), actor="test")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"from,per_hour\n", "no rates"),
        (b"from,per_hour\nsoon,1\n", "line 2: 'soon' is not a time"),
        (b"from,per_hour\n2026-10-01T00:00:00Z,-1\n", "is not a price"),
        (b"from,per_hour\n2026-10-01T00:00:00Z,1" + b"0" * 40 + b"\n", "too many digits"),
        (b"from,to,per_hour\n2026-10-01T00:00:00Z,2026-10-01T00:00:00Z,1\n", "empty or reversed"),
        (b"from,to,per_hour\n2026-10-01T00:00:00Z,2026-10-01T02:00:00Z,1\n2026-10-01T01:00:00Z,,2\n", "line 3: overlaps"),
        (b"from,rates\n", "not known"),
    ],
)  # fmt: skip
def test_bad_spot_files_are_refused_by_line(content: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        spots.parse(content)


def test_a_spot_file_may_come_from_a_spreadsheet() -> None:
    content = b"\xef\xbb\xbffrom,per_hour\r\n2026-10-01T01:00:00Z,2\r\n2026-10-01T00:00:00Z,1\r\n"
    assert spots.parse(content) == [(Span(at(0), at(1)), Decimal(1)), (Span(at(1), at(2)), Decimal(2))]


AGREED = """
[[fee]]
code = "rack"
title = "Reserved rack"
tenant = "beta"
amount = "100.00"
from = 2026-10-01
[[minimum]]
code = "commit"
title = "Minimum"
tenant = "shop"
amount = "50.00"
from = 2026-01-01
[[discount]]
code = "friends"
title = "Partner discount"
tenant = "shop"
percent = "25"
from = 2026-01-01
"""


def test_what_payers_agreed_to_comes_beside_their_usage(used: Rater) -> None:
    used.apply(FLAT + AGREED, actor="test")
    with used._database.transaction() as session:
        found = rated(session, OCTOBER)
    beside = {(line.key.tenant_id, line.kind): line for line, _ in found.lines if line.kind is not LineKind.USAGE}
    assert beside[2, LineKind.FEE].amount == 10_000
    usage = sum(line.amount for line, _ in found.lines if line.key.tenant_id == 4)
    off = beside[3, LineKind.DISCOUNT]
    assert abs(off.amount + usage / 4) <= 1 and off.note == "25 %"
    assert [share.device_id for share in off.shares] != [None], "its GPUs bear it"
    assert beside[3, LineKind.MINIMUM].amount == 5000 - usage - off.amount
    assert found.costs[3] == 5000 and set(beside) == {(2, LineKind.FEE), (3, LineKind.DISCOUNT), (3, LineKind.MINIMUM)}
    assert [one["code"] for one in used.agreements()] == ["commit", "friends", "rack"]


def test_a_check_tells_what_becomes_of_the_running_month_and_changes_nothing(used: Rater) -> None:
    used.apply(FLAT, actor="test")
    found = used.effect(FLAT + AGREED)
    assert found.currency.code == "USD" and [one.tenant for one in found.changed] == ["beta", "shop"]
    assert found.untold == []
    beta, shop = found.changed
    assert beta.after is not None and beta.before is not None and beta.after - beta.before == 10_000
    assert shop.after == 5000
    assert used.effect(FLAT).changed == [] and used.agreements() == [] and len(used.prices()) == 1


def test_a_check_says_why_costs_cannot_be_told(used: Rater) -> None:
    found = used.effect(FLAT)
    assert len(found.untold) == 1 and found.untold[0].startswith("before: ")
    assert [one.before for one in found.changed] == [None] * len(found.changed) and found.changed


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('graduated = [{up_to = 6, per_hour = "2"}, {up_to = 9, per_hour = "1"}]', "the last has none"),
        ('graduated = [{up_to = 6, per_hour = "2"}, {up_to = 6, per_hour = "1"}, {per_hour = "0.5"}]', "must rise"),
        ('volume = [{up_to = 6, per_hour = "2"}, {per_hour = "2.0"}]', "two tiers have one price"),
        ('graduated = [{up_to = -6, per_hour = "2"}, {per_hour = "1"}]', "greater than or equal to 1"),
        ('graduated = [{up_to = 6, per_unit = "2"}, {per_hour = "1"}]', "all per_hour, or all per_unit"),
        ('graduated = [{per_unit = "2"}]', "devices are priced per_hour"),
        ('package = {hours = 10, price = "0.001"}', "more decimals than USD"),
        ('package = {price = "1"}', "has hours, or units"),
        ('per_hour = "2"\nspot = true', "give per_hour"),
        ("spot = false", "Input should be True"),
        ("", "give per_hour"),
        ('per_hour = "2"\nuntil = 2025-01-01', "until must be later"),
        ('per_hour = "2"\nuntil = 2026-02-01\n[[sku.price]]\nfrom = 2026-03-01\nper_hour = "3"', "have a gap from 2026-02-01"),
        ('per_hour = "2"\nuntil = 2026-04-01\n[[sku.price]]\nfrom = 2026-03-01\nper_hour = "3"', "overlap from 2026-03-01"),
        ('per_hour = "2"\n[[override]]\ntenant = "acme"\nsku = "b200"\n[[override.price]]\nfrom = 2026-01-01\nper_hour = "1"', "does not sell"),
        ('per_hour = "2"\n[[minimum]]\ncode = "m"\ntitle = "M"\ntenant = "acme"\npercent = "5"\nfrom = 2026-01-01', "needs an amount"),
        ('per_hour = "2"\n[[discount]]\ncode = "m"\ntitle = "M"\npercent = "101"\nfrom = 2026-01-01', "at most 100"),
        ('per_hour = "2"\n[[discount]]\ncode = "m"\ntitle = "M"\nskus = ["b200"]\npercent = "10"\nfrom = 2026-01-01', "does not sell"),
        ('per_hour = "2"\n[[fee]]\ncode = "m"\ntitle = "M"\namount = "10"\nfrom = 2026-01-01', "needs a tenant"),
        ('per_hour = "2"\n[[fee]]\ncode = "h100"\ntitle = "M"\ntenant = "a"\namount = "10"\nfrom = 2026-01-01', "lists h100 twice"),
        ('per_hour = "2"\n[[fee]]\ncode = "m"\ntitle = "M"\ntenant = "a"\namount = "10.001"\nfrom = 2026-01-01', "more decimals"),
        ('per_hour = "2"\n[[fee]]\ncode = "m"\ntitle = "M"\ntenant = "a"\namount = "-10"\nfrom = 2026-01-01', "is not a price"),
    ],
)  # fmt: skip
def test_a_book_that_cannot_be_meant_is_refused_on_one_line(more: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse(HEAD + more + "\n")
    assert "\n" not in str(caught.value)


def test_an_unknown_tenant_in_a_book_is_named(used: Rater) -> None:
    with pytest.raises(NotFound, match="names nobody, and there is no such tenant"):
        used.apply(FLAT + AGREED.replace('"beta"', '"nobody"'), actor="test")
