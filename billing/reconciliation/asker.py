"""Asks a person about usage that is billed to nobody: what labels dispute, and what an invoiced month has no price for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from billing.core.errors import Conflict
from billing.core.period import month_of, rfc3339
from billing.db import changes
from billing.db.engine import Session
from billing.events.meter import Meter
from billing.metering.store import disputes
from billing.metering.store.disputes import Dispute
from billing.pricing.rater import unpriced
from billing.reconciliation import store

DISPUTED: Final = "disputed_usage"
UNPRICED: Final = "unpriced_usage"
LABELS_SHOWN: Final = 5
LOOK_AGAIN: Final = timedelta(minutes=5)
"""A month that changes all the time is looked at so often: this counts its usage."""


def ask_about_disputes(session: Session, now: datetime, limit: int) -> tuple[int, int]:
    """One question for each device and moment at which a dispute begins; it is withdrawn when the dispute is gone.

    Returns how many questions are new, and how many disputes were looked at.
    """
    found = disputes.unasked(session, limit)
    new = 0
    for one in found:
        asked = question(one)
        if one.stands:
            new += store.keep_asking(session, asked, now)
        else:
            store.withdraw(session, DISPUTED, asked.subject, "labels and readings no longer dispute it", now)
    if found:
        disputes.mark_asked(session, [one.id for one in found])
    return new, len(found)


def question(dispute: Dispute) -> store.Question:
    start, end = dispute.span.seconds
    labels = ", ".join(dispute.labels[:LABELS_SHOWN])
    more = len(dispute.labels) - LABELS_SHOWN
    return store.Question(
        kind=DISPUTED,
        subject=f"{dispute.device} from {rfc3339(dispute.span.start)}",
        detail=f"{dispute.device} on {dispute.host} was held as {labels}{f' and {more} more' if more > 0 else ''} at once,"
        f" {dispute.span}: {end - start} s are billed to nobody",
        suggestion="let the labels mean one tenant, or lease the GPU to who held it",
    )


def ask_about_unpriced(session: Session, meters: Sequence[Meter], now: datetime) -> int:
    """One question for each model or meter that an invoiced month has no price for: it was learnt after the invoices, so no
    invoice run refused it. Withdrawn once a SKU has it; then the month is rated again. Returns how many are new."""
    start = changes.month_to_look_at(session, now - LOOK_AGAIN)
    if start is None:
        return 0
    month, new = month_of(start), 0
    subjects = set()
    try:
        found = unpriced(session, month, meters)
    except Conflict:  # a SKU of a meter that is not declared: no invoice run goes on before that is mended
        return 0
    for one in found:
        subjects.add(subject := f"{start:%Y-%m} {one.what}")
        asked = store.Question(
            kind=UNPRICED,
            subject=subject,
            detail=f"{start:%Y-%m} is invoiced, and {one.line}: it is billed to nobody",
            suggestion="name the model in a SKU whose price was in force, or acknowledge that it stays unbilled",
        )
        new += store.keep_asking(session, asked, now)
    gone = [subject for subject in store.asked_about(session, UNPRICED, f"{start:%Y-%m} ") if subject not in subjects]
    for subject in gone:
        store.withdraw(session, UNPRICED, subject, "it has a price, or was not used after all", now)
    if gone:
        changes.note(session, month.seconds, now)
    changes.mark_looked_at(session, start, now)
    return new
