"""What has to come back from the archive, and in which order. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.core.onchain import Hash32
from billing.invoicing import document as documents
from billing.invoicing.archive import Archived
from billing.invoicing.document import AnyDocument, CreditNoteDocument
from billing.invoicing.numbering import counter_of


@dataclass(frozen=True, slots=True)
class Missing:
    """An archived document that the database does not have."""

    archived: Archived
    document: AnyDocument


@dataclass(slots=True)
class Plan:
    """`issued`: what the journal says was issued, in the order in which it has to come back. `perhaps`: prepared, and
    nobody else got its number, so the crash may have come after the commit. `dead`: prepared, and another one got it."""

    issued: list[Missing] = field(default_factory=list)
    perhaps: list[Missing] = field(default_factory=list)
    dead: list[Missing] = field(default_factory=list)


def plan(archived: Sequence[Archived], known: set[Hash32]) -> Plan:
    """`known` are the digests of the documents in the database."""
    missing = [Missing(one, documents.parse(one.content)) for one in archived if one.digest not in known]
    missing.sort(key=_age)
    taken = {one.number for one in archived if one.issued or one.digest in known}
    newest = {one.archived.number: one for one in missing if not one.archived.issued}
    found = Plan(issued=_in_order([one for one in missing if one.archived.issued]))
    for one in missing:
        if not one.archived.issued:
            alone = newest[one.archived.number] is one and one.archived.number not in taken
            (found.perhaps if alone else found.dead).append(one)
    return found


def _age(one: Missing) -> tuple[str, int]:
    return one.document.issued_at, counter_of(one.document.number)[1]


def _in_order(issued: Sequence[Missing]) -> list[Missing]:
    """Invoices and deposit addresses by age, each invoice with its credit note right behind it: the invoice that replaces it
    comes later. Notes of invoices that the database has come first."""
    notes: dict[str, list[Missing]] = defaultdict(list)
    for one in issued:
        if isinstance(one.document, CreditNoteDocument):
            notes[one.document.invoice.digest].append(one)
    ordered: list[Missing] = []
    for one in issued:
        if not isinstance(one.document, CreditNoteDocument):
            ordered += [one, *notes.pop(one.archived.digest, [])]
    return [*(note for orphans in notes.values() for note in orphans), *ordered]
