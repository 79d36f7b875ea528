"""Announces maintenance, and takes people's decisions on exclusions. What they change is derived again by the collector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.period import Span, rfc3339
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.metering.store import decisions as store
from billing.trail.store import Deed, record

Invoiced = Callable[[Session, Sequence[int], Span], list[str]]
"""The invoices that charged leases of some GPUs for time within a span. Invoicing knows; bootstrap wires it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A maintenance window: all GPUs of some hosts, and some by UUID. `adjust` allows it in time that was invoiced."""

    span: Span
    reason: str
    hosts: Sequence[str] = field(default=())
    uuids: Sequence[str] = field(default=())
    reference: str = ""
    adjust: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and the invoices whose difference comes with the next one."""

    id: int
    uuid: str
    span: Span
    adjusts: list[str]


class Excluder:
    def __init__(self, database: Database, clock: Clock, invoiced: Invoiced) -> None:
        self._database, self._clock, self._invoiced = database, clock, invoiced

    def announce(self, wanted: Announcement, *, actor: str) -> str:
        """Add a maintenance window, and answer its reference. Leased time within it is not billed.

        Raises NotFound for an unknown host or GPU, Conflict when the time was invoiced and `adjust` is not set.
        """
        _require_reason(wanted.reason)
        if not wanted.hosts and not wanted.uuids:
            raise Invalid("maintenance needs a host or a GPU", remedy="--host NAME or --gpu UUID")
        if wanted.span.is_open:
            raise Invalid("maintenance needs an end", remedy="--to; it can be ended earlier, or cancelled")
        now = self._clock.now()
        with self._database.transaction() as session:
            gpu_ids = fleet.gpu_ids(session, hosts=wanted.hosts, uuids=wanted.uuids)
            self._require_open(session, gpu_ids, wanted.span, wanted.adjust)
            name = wanted.reference or f"work-{now:%Y%m%d-%H%M%S}-{gpu_ids[0]}"
            store.add_maintenance(session, name, gpu_ids, wanted.span, wanted.reason, now)
            details = {"gpus": len(gpu_ids), "span": str(wanted.span)}
            record(session, Deed(now, actor, "maintenance.add", f"maintenance {name}", wanted.reason, details))
        return name

    def end(self, reference: str, at: datetime, *, adjust: bool = False, reason: str = "", actor: str) -> None:
        """End a window earlier than announced. Raises as `announce` does."""
        now = self._clock.now()
        with self._database.transaction() as session:
            gpu_ids, span = store.maintenance(session, reference)
            if at < span.end:
                self._require_open(session, gpu_ids, Span(max(at, span.start), span.end), adjust)
            store.end_maintenance(session, reference, at)
            details = {"at": rfc3339(at)}
            record(session, Deed(now, actor, "maintenance.end", f"maintenance {reference}", reason, details))

    def cancel(self, reference: str, *, reason: str, adjust: bool = False, actor: str) -> None:
        """Take a window back as if it had never been announced. Raises as `announce` does."""
        _require_reason(reason)
        now = self._clock.now()
        with self._database.transaction() as session:
            gpu_ids, span = store.maintenance(session, reference)
            self._require_open(session, gpu_ids, span, adjust)
            store.cancel_maintenance(session, reference, now)
            record(session, Deed(now, actor, "maintenance.cancel", f"maintenance {reference}", reason))

    def decide(self, exclusion_id: int, *, accept: bool, reason: str, actor: str) -> Decision:
        """Accept an exclusion (the time is not billed) or reject it (it is). It stays decided, whatever is read again.

        Time that was invoiced may be decided on: the difference comes with the next invoice.
        """
        _require_reason(reason)
        now, state = self._clock.now(), "accepted" if accept else "rejected"
        with self._database.transaction() as session:
            decided = store.decide(session, exclusion_id, state, now)
            gpu_id, uuid, span = store.subject(session, decided)
            adjusts = self._invoiced(session, [gpu_id], span)
            details = {"gpu": uuid, "span": str(span), "exclusion": exclusion_id, "adjusts": adjusts}
            record(session, Deed(now, actor, f"exclusion.{state}", f"exclusion {decided}", reason, details))
        return Decision(decided, uuid, span, adjusts)

    def _require_open(self, session: Session, gpu_ids: Sequence[int], span: Span, adjust: bool) -> None:
        numbers = [] if adjust else self._invoiced(session, gpu_ids, span)
        if numbers:
            raise Conflict(
                f"part of {span} was invoiced ({', '.join(numbers[:3])})",
                remedy="--adjust puts the difference on the next invoice",
            )


def _require_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= 150 or not reason.isprintable():
        raise Invalid("this needs a reason of at most 150 printable characters", remedy="--reason '...'")
