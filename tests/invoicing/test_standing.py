"""Who may go on: a pure answer, whatever is owed."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.invoicing.standing import Debt, Standing, judge
from tests.factories import at

NOW = at(0, day=20)
debts = st.lists(
    st.builds(
        Debt,
        st.just("INV-000001"), st.just("USD"), st.just(2),
        st.integers(-60, 60).map(lambda days: NOW + timedelta(days=days)), st.integers(-500, 500), st.booleans(),
    ),
    max_size=6,
)  # fmt: skip
limits = st.none() | st.integers(0, 40).map(lambda days: timedelta(days=days))


@given(debts, limits)
def test_who_owes_nothing_overdue_is_good_and_who_pays_is_not_cut_off(
    owed: list[Debt], limit: timedelta | None
) -> None:
    judged = judge(owed, NOW, limit)
    late = [one for one in owed if one.remaining > 0 and one.due_at < NOW]
    assert (judged.standing is Standing.GOOD) == (not late) and sorted(judged.overdue, key=id) == sorted(late, key=id)
    idle = [one for one in late if not one.is_paying]
    should = limit is not None and any(one.due_at + limit <= NOW for one in idle)
    assert (judged.standing is Standing.SUSPENDED) == should
    assert (judged.suspends_at is not None) == (not should and limit is not None and bool(idle))


@given(debts, limits, st.integers(0, 90))
def test_what_is_announced_comes_true(owed: list[Debt], limit: timedelta | None, days: int) -> None:
    """Nothing paid, nothing new due: the standing turns when it was said that it would, and not before."""
    due = [one for one in owed if one.due_at < NOW]
    judged, later = judge(due, NOW, limit), NOW + timedelta(days=days)
    if judged.suspends_at is not None:
        assert (judge(due, later, limit).standing is Standing.SUSPENDED) == (later >= judged.suspends_at)
