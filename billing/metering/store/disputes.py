"""Rows of disputes, for whoever asks people about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span


@dataclass(frozen=True, slots=True)
class Dispute:
    """A span in which labels dispute a device. `stands` is false when labels or readings say so no more."""

    id: int
    device: str
    host: str
    span: Span
    labels: tuple[str, ...]
    stands: bool


def unasked(session: Session, limit: int) -> list[Dispute]:
    """Disputes that changed since they were asked about, locked until the transaction ends; the oldest first.

    A superseded one stands when it was written anew from the same moment on; that one comes after it.
    """
    rows = session.execute(
        text(
            "SELECT x.id, g.host, lower(x.during) AS start, upper(x.during) AS until, x.labels,"
            " g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END AS device,"
            " EXISTS (SELECT 1 FROM dispute y WHERE y.superseded_at IS NULL AND y.device_id = x.device_id"
            "  AND lower(y.during) = lower(x.during)) AS stands"
            " FROM dispute x JOIN device d ON d.id = x.device_id JOIN gpu g ON g.id = d.gpu_id"
            " WHERE NOT x.asked ORDER BY x.id LIMIT :limit FOR UPDATE OF x"
        ),
        {"limit": limit},
    )
    return [Dispute(r.id, r.device, r.host, Span(r.start, r.until), tuple(r.labels), r.stands) for r in rows]


def mark_asked(session: Session, ids: Sequence[int]) -> None:
    session.execute(text("UPDATE dispute SET asked = true WHERE id = ANY(:ids)"), {"ids": list(ids)})
