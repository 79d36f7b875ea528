"""May a tenant go on? Puts together what it owes and, when it pays beforehand, what it has left. Cheap: nothing is rated, a tick
stored what was used so far."""

from datetime import datetime, timedelta

from billing.db.engine import Session
from billing.invoicing.standing import Judged, Prepaid, judge, or_exhausted
from billing.invoicing.store import debts, prepaid


def judged(session: Session, payer_id: int, now: datetime, suspend_after: timedelta | None) -> Judged:
    """What is held is as of now, so a top-up that became final counts at once. Nobody is cut off before a tick has looked."""
    owed = judge(debts.of_payer(session, payer_id), now, suspend_after)
    terms, noted = prepaid.terms_of(session, payer_id), prepaid.noted(session, payer_id)
    if terms is None or noted is None:
        return owed
    held, _ = prepaid.holding(session, payer_id, noted.currency.code)
    of = Prepaid(noted.currency, held, noted.accrued, noted.since, noted.looked_at)
    return or_exhausted(owed, of, suspends=terms.suspend_at_zero)
