"""Which step is told: the last one that was reached, and each once."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.invoicing.dunner import Steps, step_of
from billing.invoicing.standing import Debt
from billing.notices.notice import NoticeType
from tests.factories import at

DUE = at(0, day=20)
days = st.lists(st.integers(0, 60), unique=True, max_size=5)


@given(days, days, st.integers(-90, 90), st.integers(0, 60))
def test_the_last_step_that_was_reached_is_told(remind: list[int], overdue: list[int], today: int, terms: int) -> None:
    debt = Debt("INV-000001", "USD", 2, DUE, 100, is_paying=False)
    now, issued_at = DUE + timedelta(days=today), DUE - timedelta(days=terms)
    step = step_of(debt, Steps(remind, overdue), now, issued_at)
    reached = [days for days in overdue if days <= today] if today >= 0 else []
    coming = [days for days in remind if -days <= today < 0 and days < terms]
    if reached:
        assert step == (NoticeType.INVOICE_OVERDUE, max(reached))
    elif coming:
        assert step == (NoticeType.INVOICE_REMINDER, min(coming))
    else:
        assert step is None


@given(st.integers(-90, 90), st.integers(-100, 100), st.booleans())
def test_who_owes_nothing_or_pays_is_left_alone(today: int, remaining: int, is_paying: bool) -> None:
    debt = Debt("INV-000001", "USD", 2, DUE, remaining, is_paying)
    step = step_of(debt, Steps([30], [0]), DUE + timedelta(days=today), DUE - timedelta(days=60))
    assert (step is None) == (remaining <= 0 or is_paying or today < -30)
