"""The picture of usage by day."""

import re
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from billing.core.period import Span, month
from billing.web.languages import ENGLISH
from billing.web.pages.chart import DAYS_MAX, HEIGHT, chart

OCTOBER = month(2026, 10)


def heights(svg: str) -> list[int]:
    return [int(one) for one in re.findall(r'<rect[^>]* height="(\d+)"', svg)]


@given(st.dictionaries(st.dates(date(2026, 10, 1), date(2026, 10, 31)), st.integers(0, 10**9)))
def test_there_is_a_bar_a_day_and_the_largest_is_as_high_as_the_picture(used: dict[date, int]) -> None:
    found = chart(ENGLISH, used, OCTOBER)
    if not any(used.values()):
        assert found is None
        return
    assert found is not None
    bars = heights(found.svg)
    assert len(bars) == 31 and max(bars) == HEIGHT and min(bars) >= 1
    ordered = [used.get(date(2026, 10, day), 0) for day in range(1, 32)]
    for one, bar in zip(ordered, bars, strict=True):
        assert bar == HEIGHT or one < max(ordered)
        assert abs(bar - one * HEIGHT / max(ordered)) <= 1
    assert found.svg.count('class="none"') == ordered.count(0)


def test_a_single_day_and_a_span_of_years_have_no_picture() -> None:
    first = date(2026, 10, 1)
    assert (
        chart(ENGLISH, {first: 60}, Span(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC))) is None
    )
    assert (
        chart(ENGLISH, {first: 60}, Span(datetime(2026, 10, 1, tzinfo=UTC), datetime(2029, 10, 2, tzinfo=UTC))) is None
    )
    assert DAYS_MAX > 366


def test_a_period_within_a_day_counts_its_days_in_utc() -> None:
    found = chart(
        ENGLISH,
        {date(2026, 10, 1): 3600},
        Span(datetime(2026, 10, 1, 22, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)),
    )
    assert found is not None and found.axis == ("1 Oct", "2 Oct") and found.most == "at most 1.00 on 1 Oct"
