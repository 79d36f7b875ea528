"""Asks a person about GPUs that somebody holds against a rule: a lease whose attestation ran out, a label without one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from billing.compliance.register import UNKNOWN, Control, Known, Party, Rules, judged, pieces
from billing.compliance.store import known as store_known
from billing.compliance.store.known import Use
from billing.core.clock import Clock
from billing.core.period import Span, month_of
from billing.db.engine import Database, Session
from billing.leasing.leaser import party
from billing.reconciliation import store
from billing.tenants import store as tenants

ATTESTATION_EXPIRED: Final = "attestation_expired"
UNATTESTED_USE: Final = "unattested_use"


class ControlAsker:
    def __init__(self, database: Database, clock: Clock, rules: Rules, fence: Callable[[Session], None]) -> None:
        """`fence` is called in the transaction and raises when this process may not ask any more."""
        self._database, self._clock, self._rules, self._fence = database, clock, rules, fence

    def tick(self) -> int:
        """Look at this month until now. Leases are asked about once, labels once a month. Returns how many are new."""
        models = {model for control in self._rules.controls for model in control.models}
        now = self._clock.now()
        start = month_of(now).start
        if not models or now <= start:
            return 0
        with self._database.transaction() as session:
            self._fence(session)
            return self._look(session, store_known.uses(session, models, Span(start, now)), now)

    def _look(self, session: Session, uses: Sequence[Use], now: datetime) -> int:
        """A lease that runs is judged by now; a label by when it was seen."""
        asked = {
            kind: set(store.asked_about(session, kind, "lease ")) for kind in (ATTESTATION_EXPIRED, UNATTESTED_USE)
        }
        by_id, new, bad = tenants.by_id(session), 0, set[str]()
        people: dict[int, tuple[Party, list[Known]]] = {}
        for use in uses:
            if use.lease and use.span.end < now:
                continue
            if use.tenant_id not in people:
                people[use.tenant_id] = _person(session, party(session, by_id[use.tenant_id]))
            holder, known = people[use.tenant_id]
            for control in self._rules.of(use.model):
                subject = _subject(use, control, month_of(now).start)
                moments = [now] if use.lease else [one.start for one in pieces(use.span, known)]
                reasons = next((why for at in moments if (why := judged(control, holder, known, use.model, at))), [])
                if reasons and subject not in bad:
                    bad.add(subject)
                    question = _question(use, holder, subject, _kind(control, known), reasons)
                    new += store.keep_asking(session, question, now)
                elif not reasons and use.lease:
                    for kind in (kind for kind, subjects in asked.items() if subject in subjects):
                        store.withdraw(session, kind, subject, "nothing forbids it any more", now)
        return new


def _person(session: Session, holder: Party) -> tuple[Party, list[Known]]:
    chain = [holder, *([holder.reseller] if holder.reseller is not None else [])]
    found = store_known.known(session, [one.tenant_id for one in chain])
    return holder, [found.get(one.tenant_id, UNKNOWN) for one in chain]


def _subject(use: Use, control: Control, month: datetime) -> str:
    if use.lease:
        return f"lease {use.lease} by {control.name}"
    return f"{month:%Y-%m} tenant {use.tenant_id} by {control.name}"


def _kind(control: Control, known: Sequence[Known]) -> str:
    had = any(one.kind == control.attestation for one in known[0].attestations)
    return ATTESTATION_EXPIRED if had else UNATTESTED_USE


def _question(use: Use, holder: Party, subject: str, kind: str, reasons: Sequence[str]) -> store.Question:
    how = f"by lease {use.lease}" if use.lease else "by its label"
    return store.Question(
        kind=kind,
        subject=subject,
        detail=f"{holder.slug} holds {use.model} {how}, against {'; '.join(reasons)}",
        suggestion="record what is missing, or take the GPU back",
        tenant_id=holder.tenant_id,
    )
