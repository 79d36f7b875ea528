"""Which documents come back, and in which order."""

from pathlib import Path

import pytest

from billing.invoicing import document as documents
from billing.invoicing.archive import Archived
from billing.invoicing.recovery import plan

GOLDEN = Path(__file__).parents[1] / "golden" / "documents"
INVOICE = documents.parse((GOLDEN / "invoice.json").read_bytes())
NOTE = documents.parse((GOLDEN / "credit-note.json").read_bytes())


def archived(number: str, *, minute: int = 0, issued: bool = True, of: Archived | None = None) -> Archived:
    """A document; with `of`, the credit note of that one."""
    changes = {"number": number, "issued_at": f"2026-11-02T00:{minute:02}:00Z"}
    if of is None:
        document = INVOICE.model_copy(update=changes)
    else:
        assert isinstance(NOTE, documents.CreditNoteDocument)
        named = documents.Replaced(number=of.number, digest=of.digest)
        document = NOTE.model_copy(update={**changes, "invoice": named})
    content = documents.canonical(document)
    return Archived(content, documents.digest(content), number, None, "", issued)


@pytest.mark.parametrize("backwards", [False, True])
def test_invoices_come_by_age_with_their_notes_behind_them_however_the_archive_is_read(backwards: bool) -> None:
    """All in one minute: the first was voided and replaced by the third; the database still has an older one."""
    old = archived("INV-000001")
    first, second, third = (archived(f"INV-00000{n}", minute=7) for n in (2, 3, 4))
    of_old = archived("INV-CN-000001", minute=9, of=old)
    of_first = archived("INV-CN-000002", minute=7, of=first)
    found = [old, first, second, of_old, of_first, third]
    made = plan(found[::-1] if backwards else found, {old.digest})
    wanted = [of_old, first, of_first, second, third]
    assert [one.archived.number for one in made.issued] == [one.number for one in wanted]


def test_what_was_never_confirmed_is_dead_once_somebody_else_got_its_number() -> None:
    lost, real = archived("INV-000001", issued=False), archived("INV-000001", minute=1)
    alone = archived("INV-000002", minute=2, issued=False)
    made = plan([lost, real, alone], {real.digest})
    assert [one.archived for one in made.dead] == [lost] and [one.archived for one in made.perhaps] == [alone]
    assert made.issued == []
