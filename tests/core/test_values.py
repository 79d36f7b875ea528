"""Money, spans, addresses: the rules that all concerns stand on."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Conflict, Invalid
from billing.core.keccak import keccak256
from billing.core.machine import Machine
from billing.core.money import Asset, Money, ceil_div, half_even, largest_remainder, parse_units
from billing.core.onchain import (
    Address,
    Hash32,
    checksum,
    create2,
    hash_bytes,
    parse_address,
    payment_uri,
    selector,
)
from billing.core.period import (
    Span,
    length,
    merge,
    month,
    month_starts,
    parse_month,
    parse_time,
    rfc3339,
    subtract,
    windows,
)

USD = Asset("USD", 2)
seconds = st.tuples(st.integers(0, 200), st.integers(1, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_an_amount_survives_its_text(units: int, exponent: int) -> None:
    asset = Asset("X", exponent)
    assert parse_units(Money(units, asset).text(), asset).units == units


@pytest.mark.parametrize("text", ["", "1.", ".5", "1e3", "+1", "1,000", "0x10", "NaN", " 1", "1.005", "٣"])
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_units(text, USD)


def test_like_meets_like_or_it_raises() -> None:
    assert Money(1, USD) + Money(2, USD) == Money(3, USD)
    with pytest.raises(Invalid, match="cannot mix"):
        Money(1, USD) + Money(1, Asset("EUR", 2))


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_half_even_is_the_nearest_and_ties_go_to_even(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))
    assert ceil_div(numerator, denominator) == -(-Fraction(numerator, denominator) // 1)


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_largest_remainder_parts_sum_to_the_whole_and_are_fair(total: int, weights: list[int]) -> None:
    parts = largest_remainder(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(total * weight, whole)) < 1


@given(st.lists(seconds, max_size=8), st.lists(seconds, max_size=8))
def test_subtract_keeps_exactly_the_seconds_that_no_hole_covers(
    spans: list[tuple[int, int]], holes: list[tuple[int, int]]
) -> None:
    wanted = {s for a, b in spans for s in range(a, b)} - {s for a, b in holes for s in range(a, b)}
    left = subtract(spans, holes)
    assert [s for a, b in left for s in range(a, b)] == sorted(wanted)
    assert merge(left) == left and length(left) == len(wanted)


def test_months_and_windows_are_cut_at_their_edges() -> None:
    assert month(2026, 12).end == datetime(2027, 1, 1, tzinfo=UTC)
    assert parse_month("2026-10") == Span(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    october = month(2026, 10).seconds
    assert month_starts((october[0] - 1, october[1])) == [october[0]]
    assert month_starts((october[0], october[1] + 1)) == [october[1]]
    assert list(windows((5, 25), 10)) == [(5, 10), (10, 20), (20, 25)]


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "1026-01", "now", "2026-10-01"])
def test_a_malformed_month_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a period"):
        parse_month(text)


def test_times_need_an_offset() -> None:
    assert rfc3339(parse_time("2026-10-01T02:00:00+02:00")) == "2026-10-01T00:00:00Z"
    assert parse_time("2026-10-01") == datetime(2026, 10, 1, tzinfo=UTC)
    for wrong in ("2026-10-01T00:00:00", "yesterday", ""):
        with pytest.raises(Invalid):
            parse_time(wrong)
    with pytest.raises(Invalid, match="empty or reversed"):
        at = parse_time("2026-10-01")
        Span(at, at - timedelta(seconds=1))


@pytest.mark.parametrize(
    "text",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
    ],
)
def test_eip55_examples(text: str) -> None:
    assert checksum(parse_address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "0x12", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]
)
def test_a_mistyped_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_address(text)


@pytest.mark.parametrize(
    ("deployer", "salt", "code", "address"),
    [
        ("0x0000000000000000000000000000000000000000", "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
        ("0xdeadbeef00000000000000000000000000000000", "00" * 32, "00", "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
        (
            "0xdeadbeef00000000000000000000000000000000",
            "000000000000000000000000feed000000000000000000000000000000000000",
            "00",
            "0xD04116cDd17beBE565EB2422F2497E06cC1C9833",
        ),
        ("0x0000000000000000000000000000000000000000", "00" * 32, "deadbeef", "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
        ("0x00000000000000000000000000000000deadbeef", "00" * 28 + "cafebabe", "deadbeef", "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7"),
        ("0x00000000000000000000000000000000deadbeef", "00" * 28 + "cafebabe", "deadbeef" * 11, "0x1d8bfDC5D46DC4f61D6b6115972536eBE6A8854C"),
        ("0x0000000000000000000000000000000000000000", "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
    ],
)  # fmt: skip
def test_eip1014_examples(deployer: str, salt: str, code: str, address: str) -> None:
    made = create2(Address(deployer), bytes.fromhex(salt), keccak256(bytes.fromhex(code)))
    assert checksum(made) == address


def test_payment_links_name_token_chain_address_and_plain_units() -> None:
    token, to = parse_address("0x" + "11" * 20), parse_address("0x" + "22" * 20)
    assert payment_uri(token, 8453, to, 20_000_000) == (
        f"ethereum:{checksum(token)}@8453/transfer?address={checksum(to)}&uint256=20000000"
    )
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert hash_bytes(Hash32("0x" + "ab" * 32)) == b"\xab" * 32


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


class Turn(StrEnum):
    GO = "go"


def test_a_lifecycle_is_its_table() -> None:
    machine = Machine("light", Light.RED, {(Light.RED, Turn.GO): Light.GREEN})
    assert machine.next(Light.RED, Turn.GO) is Light.GREEN
    with pytest.raises(Conflict, match="the light is green; that does not allow: go"):
        machine.next(Light.GREEN, Turn.GO)
    assert machine.mermaid() == "stateDiagram-v2\n    [*] --> red\n    red --> green: go"
