"""Tells who owes, and for how long: reminders, overdue steps, suspensions. Derived from what is owed, so that a tick that was
missed loses nothing, and one that comes late tells the last step only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.core.clock import Clock
from billing.db.engine import Database, Session
from billing.invoicing import told
from billing.invoicing.judging import judged
from billing.invoicing.standing import Debt, Standing
from billing.invoicing.store import debts, prepaid
from billing.notices import store as notices
from billing.notices.notice import Notice, NoticeType


@dataclass(frozen=True, slots=True)
class Steps:
    """Days before and after the due date at which something is told; and after how long overdue a tenant is suspended."""

    remind_before_days: Sequence[int] = ()
    overdue_days: Sequence[int] = ()
    suspend_after: timedelta | None = None
    public_url: str = ""


@dataclass(slots=True)
class Dunned:
    reminders: int = 0
    overdue: int = 0
    suspended: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)


def step_of(debt: Debt, steps: Steps, now: datetime, issued_at: datetime) -> tuple[NoticeType, int] | None:
    """The step that was reached last: the reminder nearest to the due date, or the latest overdue one. A reminder of a day
    before the invoice was issued says nothing."""
    if debt.remaining <= 0 or debt.is_paying:
        return None
    if now >= debt.due_at:
        past = [days for days in steps.overdue_days if debt.due_at + timedelta(days=days) <= now]
        return (NoticeType.INVOICE_OVERDUE, max(past)) if past else None
    near = [
        days
        for days in steps.remind_before_days
        if issued_at < debt.due_at - timedelta(days=days) <= now
    ]  # fmt: skip
    return (NoticeType.INVOICE_REMINDER, min(near)) if near else None


class Dunner:
    def __init__(self, database: Database, clock: Clock, steps: Steps, fence: Callable[[Session], None]) -> None:
        self._database, self._clock, self._steps, self._fence = database, clock, steps, fence

    def tick(self) -> Dunned:
        """Tell what is due to be told. May run any number of times."""
        done, now = Dunned(), self._clock.now()
        until = now + timedelta(days=max(self._steps.remind_before_days, default=0))
        with self._database.transaction() as session:
            self._fence(session)
            for payer, found in debts.due_until(session, until).items():
                for one in found:
                    self._remind(session, payer, one, done)
            suspended = debts.told_suspended(session)
            for payer in {*debts.payers_overdue(session, now), *prepaid.everybody(session), *suspended}:
                self._judge(session, payer, payer in suspended, done)
        return done

    def _remind(self, session: Session, payer: tuple[int, str], one: debts.Coming, done: Dunned) -> None:
        now = self._clock.now()
        step = step_of(one.debt, self._steps, now, one.issued_at)
        if step is None:
            return
        pay_url = f"{self._steps.public_url}/pay/{one.pay_token}"
        if not notices.tell(session, told.due(step[0], one.debt, payer, step[1], pay_url), now):
            return
        done.reminders += step[0] is NoticeType.INVOICE_REMINDER
        done.overdue += step[0] is NoticeType.INVOICE_OVERDUE

    def _judge(self, session: Session, payer: tuple[int, str], was_suspended: bool, done: Dunned) -> None:
        now = self._clock.now()
        found = judged(session, payer[0], now, self._steps.suspend_after)
        is_suspended = found.standing is Standing.SUSPENDED
        if is_suspended == was_suspended:
            return
        kind = NoticeType.TENANT_SUSPENDED if is_suspended else NoticeType.TENANT_RESUMED
        notice: Notice = told.standing(kind, found, payer)
        notices.tell(session, notice, now)
        (done.suspended if is_suspended else done.resumed).append(payer[1])
