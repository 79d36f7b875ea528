"""Asks a person about GPU time that labels dispute: it is billed to nobody until somebody says whose it is."""

from datetime import datetime
from typing import Final

from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.metering.store import disputes
from billing.metering.store.disputes import Dispute
from billing.reconciliation import store

DISPUTED: Final = "disputed_usage"
LABELS_SHOWN: Final = 5


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
