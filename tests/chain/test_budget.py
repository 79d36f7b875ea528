"""A request budget is never exceeded, and never waits longer than it must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.chain.budget import MINUTE_MS, WAIT_MS_MAX, Budget
from billing.core.errors import Unavailable


class Time:
    def __init__(self) -> None:
        self.now = 0
        self.slept = 0

    def __call__(self) -> int:
        return self.now

    def sleep(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.slept += milliseconds


@given(rate=st.integers(1, 5_000), story=st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 100)), max_size=60))
def test_no_stretch_of_time_has_more_calls_than_its_minutes_and_one_more(
    rate: int, story: list[tuple[int, int]]
) -> None:
    time = Time()
    budget, made = Budget(rate, time, time.sleep), []
    for pause, calls in story:
        time.now += pause
        try:
            budget.take(calls)
        except Unavailable:
            continue
        made.append((time.now, calls))
    for first in range(len(made)):
        total = 0
        for at, calls in made[first:]:
            total += calls
            assert total * MINUTE_MS <= rate * (at - made[first][0]) + rate * MINUTE_MS + 100 * MINUTE_MS


def test_what_is_saved_is_spent_at_once_and_then_calls_are_spread() -> None:
    time = Time()
    budget = Budget(60, time, time.sleep)
    for _ in range(60):
        budget.take(1)
    assert time.slept == 0 and not budget.ample
    budget.take(2)
    assert time.slept == 2_000
    with pytest.raises(Unavailable, match="budget is used up"):
        budget.take(WAIT_MS_MAX // 1_000 + 1)
    time.now += MINUTE_MS
    assert budget.ample


def test_no_limit_is_no_limit() -> None:
    time = Time()
    budget = Budget(0, time, time.sleep)
    for _ in range(10_000):
        budget.take(100)
    assert budget.ample and time.slept == 0
