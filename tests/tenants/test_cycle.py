"""Billing periods: they tile time, whatever the clocks of their place do."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.core.period import Span, at_second, month
from billing.tenants.cycle import ANCHOR_MAX, MONTHLY, Cycle, Every

zones = st.sampled_from(
    ["UTC", "Australia/Sydney", "America/New_York", "Europe/Paris", "Asia/Kathmandu", "Pacific/Apia"]
)
cycles = st.sampled_from(list(Every)).flatmap(
    lambda every: st.builds(Cycle, st.just(every), st.integers(1, ANCHOR_MAX[every]), zones)
)
moments = st.integers(946_684_800, 2_208_988_800).map(at_second)


@given(cycles, moments)
def test_every_moment_is_in_one_period_and_the_next_one_follows_without_a_gap(cycle: Cycle, at: datetime) -> None:
    period = cycle.period_of(at)
    assert period.contains(at)
    assert cycle.period_of(period.start) == period == cycle.period_of(period.end - timedelta(seconds=1))
    assert cycle.period_of(period.end).start == period.end
    for edge in (period.start, period.end):
        assert edge.astimezone(ZoneInfo(cycle.timezone)).time() == time()


@given(cycles, moments, st.integers(0, 120))
def test_the_periods_until_a_moment_are_over_and_tile(cycle: Cycle, since: datetime, days: int) -> None:
    until = since + timedelta(days=days)
    found = cycle.periods(since, until)
    assert all(period.end <= until for period in found)
    assert all(earlier.end == later.start for earlier, later in pairwise(found))
    assert cycle.period_of(found[-1].end if found else since).end > until


def test_without_a_word_it_is_the_calendar_month_in_utc() -> None:
    assert MONTHLY.period_of(datetime(2026, 10, 31, 23, 59, tzinfo=UTC)) == month(2026, 10)


def test_months_in_which_clocks_change_are_an_hour_longer_or_shorter() -> None:
    sydney = Cycle(Every.MONTH, 1, "Australia/Sydney")
    hours = [
        (period.end - period.start) / timedelta(hours=1)
        for period in (sydney.period_of(datetime(2026, number, 15, tzinfo=UTC)) for number in (4, 10, 11))
    ]
    assert hours == [30 * 24 + 1, 31 * 24 - 1, 30 * 24]


def test_a_month_may_begin_in_its_middle_and_a_week_on_any_day() -> None:
    at = datetime(2026, 10, 14, 12, tzinfo=UTC)
    assert Cycle(Every.MONTH, 15).period_of(at) == Span(
        datetime(2026, 9, 15, tzinfo=UTC), datetime(2026, 10, 15, tzinfo=UTC)
    )
    assert Cycle(Every.WEEK, 3).period_of(at).start == datetime(2026, 10, 14, tzinfo=UTC)
    assert Cycle(Every.WEEK, 4).period_of(at).start == datetime(2026, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((Every.MONTH, 29), "cannot begin on day 29"),
        ((Every.WEEK, 8), "cannot begin on day 8"),
        ((Every.DAY, 2), "cannot begin on day 2"),
        ((Every.MONTH, 0), "cannot begin on day 0"),
        ((Every.MONTH, 1, "Mars/Olympus"), "no time zone"),
        ((Every.MONTH, 1, "../../etc/passwd"), "no time zone"),
        ((Every.MONTH, 1, ""), "no time zone"),
        ((Every.MONTH, 1, "UTC", 0), "above zero"),
    ],
)
def test_what_is_no_cycle_is_refused(values: tuple[Every, int], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        Cycle(*values)
