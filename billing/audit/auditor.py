"""Runs every invariant and returns what does not hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from billing.audit import store
from billing.audit.balances import CHECK, BalanceAudit, Looked
from billing.audit.finding import Finding
from billing.chain.watcher import Watcher
from billing.core.clock import Clock
from billing.core.errors import Invalid, StablemeterError
from billing.core.onchain import checksum
from billing.core.period import Span, month_of
from billing.db.engine import Database, Session
from billing.invoicing import document as documents
from billing.invoicing.archive import Archive
from billing.invoicing.document import CreditNoteDocument
from billing.invoicing.restorer import forgotten
from billing.invoicing.verify import address_of
from billing.metering.reporter import MeterReporter
from billing.pricing.store.used import charges_digest
from billing.trail.store import Deed, record

Check = Callable[[Session], tuple[str, list[Finding]]]
"""What was checked, and what is wrong."""


@dataclass(slots=True)
class AuditResult:
    """`checked` names every invariant that ran; `skipped` those that could not, and why. Findings must be empty."""

    checked: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class Auditor:
    def __init__(
        self, database: Database, clock: Clock, archive: Archive, watchers: Callable[[], Mapping[int, Watcher]],
        also: Sequence[Check] = (),
    ) -> None:  # fmt: skip
        """`watchers` is asked for late: reaching chains is the slow part, and needs their libraries. `also` are the checks of
        concerns that stand above this one."""
        self._database, self._clock, self._archive, self._watchers = database, clock, archive, watchers
        self._balances, self._also = BalanceAudit(database), also

    def run(self, *, chains: bool = True, fresh: bool = True, actor: str = "daemon") -> AuditResult:
        """All checks; without `chains` only those that need no network. `fresh` looks at balances anew, whenever they were
        looked at last."""
        result = AuditResult()
        with self._database.transaction() as session:
            for name, query in store.QUERIES.items():
                result.checked.append(name)
                result.findings += [Finding(name, subject, detail) for subject, detail in store.wrong(session, query)]
            for check in (self._documents, self._archived, self._conserved, self._frozen, *self._also):
                name, findings = check(session)
                result.checked.append(name)
                result.findings += findings
        for watcher in self._watchers().values() if chains else ():
            name = CHECK.format(watcher.chain.name)
            try:
                result.findings += self._balances.run(watcher, self._clock.now(), fresh=fresh)
                result.checked.append(name)
            except StablemeterError as error:
                result.skipped.append(f"{name}: {error}")
        with self._database.transaction() as session:
            details = {
                "checked": len(result.checked),
                "skipped": result.skipped,
                "findings": [str(one) for one in result.findings[:100]],
                "count": len(result.findings),
            }
            record(session, Deed(self._clock.now(), actor, "audit", "audit", details=details))
        return result

    def look(self, chain_id: int) -> Looked:
        """A part of the addresses whose balances it is time to look at. Raises Unavailable when no endpoint answers."""
        return self._balances.look(self._watchers()[chain_id], self._clock.now())

    def _documents(self, session: Session) -> tuple[str, list[Finding]]:
        name, findings = "documents are unchanged and stand for their addresses", []
        addresses = store.document_addresses(session)
        for number, content, digest in store.issued_documents(session):
            try:
                parsed = documents.parse(content)
            except Invalid as error:
                findings.append(Finding(name, number, str(error)))
                continue
            if documents.digest(content) != digest:
                findings.append(Finding(name, number, "the stored digest is not the document's"))
            if not isinstance(parsed, CreditNoteDocument):
                address = address_of(parsed, documents.digest(content))
                if address != addresses.get(number):
                    shown = checksum(address) if address else "none"
                    findings.append(Finding(name, number, f"its document stands for {shown}"))
        return name, findings

    def _archived(self, session: Session) -> tuple[str, list[Finding]]:
        name, findings = "every document is archived, everywhere", []
        issued = store.issued_documents(session)
        for directory in self._archive.directories:
            there = self._archive.digests(directory)
            findings += [Finding(name, number, f"not in {directory}") for number, _, d in issued if d not in there]
        lost = forgotten(self._archive, {digest for _, _, digest in issued})
        findings += [
            Finding(name, documents.parse(one.content).number, "archived as issued, not in the database")
            for one in lost
        ]
        return name, findings

    @staticmethod
    def _conserved(session: Session) -> tuple[str, list[Finding]]:
        """The current month and the one before: older ones were audited while they were young."""
        name = "every GPU-second is accounted for"
        span = store.read_span(session)
        if span is None:
            return name, []
        previous_month = month_of(month_of(span[1]).start - timedelta(days=1)).start
        found = MeterReporter.conservation(session, Span(max(span[0], previous_month), span[1]))
        return name, [
            Finding(name, f"GPU {one.uuid} on {one.host}", f"{one.difference} slot-seconds are off")
            for one in found.wrong
        ]

    @staticmethod
    def _frozen(session: Session) -> tuple[str, list[Finding]]:
        name, findings = "closed months were charged what was frozen", []
        for period, label, until, charges, digest in store.frozen_usage(session):
            now = charges_digest(session, period, until)
            if now != (charges, digest):
                findings.append(
                    Finding(name, label, f"{now[0]} charges with the digest {now[1]}, frozen were {charges}")
                )
        return name, findings
