"""How long credit lasts, and when it is low."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.core.money import Asset
from billing.invoicing.runway import DAY, Level, Runway, Terms, level, per_day

USD, NOW = Asset("USD", 2), datetime(2026, 10, 1, tzinfo=UTC)


def runway(held: int, *, accrued: int = 0, rate: int = 0) -> Runway:
    return Runway(USD, held, 0, accrued, rate, NOW)


@given(held=st.integers(0, 10**15), accrued=st.integers(0, 10**15), rate=st.integers(1, 10**12))
def test_credit_lasts_for_as_long_as_the_rate_takes_to_use_it_up(held: int, accrued: int, rate: int) -> None:
    found = runway(held, accrued=accrued, rate=rate)
    left = found.seconds_left
    assert left is not None and left >= 0
    assert left * rate <= max(0, held - accrued) * DAY < (left + 1) * rate or held <= accrued


def test_what_is_not_used_lasts_for_ever_and_nothing_is_over_now() -> None:
    assert runway(100).seconds_left is None and runway(100).runs_out_at is None
    assert runway(100, accrued=100, rate=0).seconds_left == 0 and runway(100, accrued=100).runs_out_at == NOW
    assert runway(300, rate=100).runs_out_at == NOW + timedelta(days=3) and runway(299, rate=100).days_left == 2
    assert runway(10**15, rate=1).runs_out_at is None, "there are no dates for it"


def test_a_rate_is_rounded_up_and_never_negative() -> None:
    assert (per_day(1, 7 * DAY), per_day(700, 7 * DAY), per_day(0, DAY), per_day(-5, DAY), per_day(5, 0)) == (
        1,
        100,
        0,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("found", "terms", "was", "expected"),
    [
        (runway(0), Terms(), Level.GOOD, Level.EXHAUSTED),
        (runway(50, accrued=51), Terms(), Level.GOOD, Level.EXHAUSTED),
        (runway(1), Terms(), Level.GOOD, Level.GOOD),
        (runway(999), Terms(low_units=1000), Level.GOOD, Level.LOW),
        (runway(1000), Terms(low_units=1000), Level.GOOD, Level.GOOD),
        (runway(1000), Terms(low_units=1000), Level.LOW, Level.LOW),
        (runway(1100), Terms(low_units=1000), Level.LOW, Level.GOOD),
        (runway(299, rate=100), Terms(low_days=3), Level.GOOD, Level.LOW),
        (runway(300, rate=100), Terms(low_days=3), Level.GOOD, Level.GOOD),
        (runway(300, rate=0), Terms(low_days=3), Level.GOOD, Level.GOOD),
    ],
)
def test_credit_is_low_below_its_threshold_and_good_again_a_tenth_above(
    found: Runway, terms: Terms, was: Level, expected: Level
) -> None:
    assert level(found, terms, was) is expected


def test_terms_that_make_no_sense_are_refused() -> None:
    for wrong in ({"low_units": -1}, {"low_days": 0}, {"low_days": 3651}):
        with pytest.raises(Invalid):
            Terms(**wrong)  # type: ignore[arg-type]
