"""Figures and times as people read them."""

import pytest

from billing.core.money import Asset
from billing.papers import words

USD = Asset("USD", 2)


def test_money_keeps_all_its_decimals_and_gets_commas() -> None:
    assert words.money(123_456_789, USD) == "1,234,567.89 USD"
    assert words.money(0, USD) == "0.00 USD"
    assert words.money(-5, USD) == "-0.05 USD"
    assert words.money(-123_456, USD) == "-1,234.56 USD"


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (200_000_000, 6, "200.00"),
        (200_123_456, 6, "200.123456"),
        (1, 18, "0.000000000000000001"),
        (7 * 10**18, 18, "7.00"),
        (12, 0, "12"),
        (20_000_000_000, 6, "20000.00"),
        (15, 1, "1.50"),
    ],
)
def test_token_amounts_are_plain_and_exact(units: int, decimals: int, text: str) -> None:
    """No commas: a wallet reads them. `20000.00` is never twenty."""
    assert words.tokens(units, decimals) == text


def test_hours_say_when_they_are_rounded() -> None:
    assert (words.hours(360_000), words.hours_are_exact(360_000)) == ("100.00", True)
    assert (words.hours(3_601), words.hours_are_exact(3_601)) == ("1.0003", False)
    assert words.hours(5_400_000) == "1,500.00"


def test_shares_are_percent() -> None:
    assert [words.percent(share) for share in ("1.0000", "0.9987", "0.0000", "0.5000")] == [
        "100 %",
        "99.87 %",
        "0 %",
        "50 %",
    ]


def test_a_calendar_month_has_a_name() -> None:
    assert words.period("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z") == "December 2026"
    assert words.period("2026-10-02T00:00:00Z", "2026-11-01T00:00:00Z").startswith("2 Oct 2026, 00:00 to")


def test_an_address_in_fours_is_still_the_address() -> None:
    address = "0x9902bCC50923fEbb08Dd9b552DD7c351641a7ae4"
    parts = words.fours(address)
    assert "".join(parts) == address and {len(part) for part in parts[1:]} == {4}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (24, "24 seconds"), (60, "1 minute"), (90, "90 seconds"), (130, "3 minutes"), (7200, "2 hours")],
)
def test_durations(seconds: int, text: str) -> None:
    assert words.duration(seconds) == text
