"""Papers: what is printed is what the document says, in the same bytes each time, and text is never markup."""

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest
import rfc8785

from billing.core.errors import Invalid, Unavailable
from billing.invoicing import document as documents
from billing.papers import paper, printer
from billing.papers.printer import Printer

GOLDEN = Path(__file__).parents[1] / "golden"
MARKUP = '#import "x": * ; *bold* _it_ $x^2$ \\ @a <b> // c `d` ] } \' ~ ---'


@pytest.fixture(scope="module")
def press() -> Iterator[Printer]:
    yield Printer()


def golden(name: str = "invoice") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / "documents" / f"{name}.json").read_bytes())
    return found


def rich() -> dict[str, Any]:
    """An invoice of a reseller with an end customer, a tax, a purchase order, and text that looks like markup."""
    return golden("taxed")


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


@pytest.mark.parametrize(
    ("name", "raw"),
    [("invoice", rich()), ("credit-note", golden("credit-note")), ("partial", golden("credit-note-partial"))],
)
def test_the_text_of_a_paper_is_the_golden_one(press: Printer, name: str, raw: dict[str, Any]) -> None:
    printed = press.pdf(rfc8785.dumps(raw))
    assert text_of(printed) == (GOLDEN / "papers" / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def test_the_same_document_gives_the_same_bytes_and_another_one_does_not(press: Printer) -> None:
    content = rfc8785.dumps(rich())
    assert Printer().pdf(content) == press.pdf(content)
    assert press.pdf(rfc8785.dumps(rich() | {"purchase_order": "PO-4712"})) != press.pdf(content)
    dated = pypdf.PdfReader(io.BytesIO(press.pdf(content))).metadata
    assert dated is not None and dated.creation_date is not None
    assert dated.creation_date.isoformat() == "2026-11-02T08:30:00+00:00", "its date is the date of issue"


def test_fonts_are_embedded_and_the_document_is_attached(press: Printer) -> None:
    content = rfc8785.dumps(rich())
    reader = pypdf.PdfReader(io.BytesIO(press.pdf(content)))
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]
            descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            assert {"/FontFile2", "/FontFile3"} & set(descriptor), font
    assert reader.attachments == {"INV-000042.json": [content]}
    assert documents.canonical(documents.parse(reader.attachments["INV-000042.json"][0])) == content


def test_text_from_outside_is_printed_as_it_is_whatever_it_looks_like(press: Printer) -> None:
    printed = text_of(press.pdf(rfc8785.dumps(rich())))
    assert MARKUP in printed.replace("\n", "") and "#eval(1)" in printed and "1 $treet" in printed
    raw = golden() | {"number": "*INV* #1-000001"}
    raw["tenant"]["name"] = "漢字 مرحبا \u202e\u0000\u2028 \\u{41}"
    assert "*INV* #1-000001" in text_of(press.pdf(rfc8785.dumps(raw)))


def test_a_word_longer_than_its_column_is_broken_and_whole(press: Printer) -> None:
    raw = golden("metered")
    raw["lines"][0]["description"] = "x" * 200
    printed = text_of(press.pdf(rfc8785.dumps(raw))).replace("\u200b", "")
    assert "x" * 200 not in printed and "x" * 200 in printed.replace("\n", "")
    assert "246,913,578,024,691,357.800000000000000001" in printed.replace("\n", "")


def test_why_there_is_no_tax_is_printed(press: Printer) -> None:
    raw = golden() | {"tax_note": {"kind": "reverse_charge", "text": "Reverse charge: the customer accounts for VAT"}}
    assert "Reverse charge: the customer accounts for VAT" in text_of(press.pdf(rfc8785.dumps(raw)))


def test_the_payment_address_can_be_copied_in_one_piece(press: Printer) -> None:
    expected = json.loads((GOLDEN / "documents" / "expected.json").read_text())
    assert expected["address"] in text_of(press.pdf((GOLDEN / "documents" / "invoice.json").read_bytes()))
    assert expected["digest"] in text_of(press.pdf((GOLDEN / "documents" / "invoice.json").read_bytes()))


def test_a_thousand_lines_are_many_numbered_pages(press: Printer) -> None:
    raw, line = golden(), golden()["lines"][0]
    raw["lines"] = [{**line, "description": f"Rack {n}"} for n in range(1000)]
    raw |= {"subtotal": "200000.00", "total": "200000.00", "amount_due": "200000.00"}
    reader = pypdf.PdfReader(io.BytesIO(press.pdf(rfc8785.dumps(raw))))
    pages = len(reader.pages)
    assert pages > 20
    assert f"Page {pages} of {pages}" in reader.pages[-1].extract_text()
    assert "Description" in reader.pages[5].extract_text(), "the head of the table is on every page"


def test_what_is_no_document_is_not_printed(press: Printer) -> None:
    with pytest.raises(Invalid, match="not canonical"):
        press.pdf((GOLDEN / "documents" / "invoice.json").read_bytes() + b" ")


def test_few_are_printed_at_once_and_a_full_queue_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    press, entered, go = Printer(), threading.Event(), threading.Event()

    def slow(document: bytes) -> dict[str, Any]:
        entered.set()
        assert go.wait(20)
        return real(document)

    real = paper.content
    monkeypatch.setattr(paper, "content", slow)
    papers = [
        rfc8785.dumps(golden() | {"purchase_order": str(n)}) for n in range(printer.AT_ONCE + printer.WAITING_MAX)
    ]
    threads = [threading.Thread(target=press.pdf, args=(one,)) for one in papers]
    for thread in threads:
        thread.start()
    assert entered.wait(20)
    try:
        while press._queue._value:  # until the last of them has its place
            time.sleep(0.01)
        with pytest.raises(Unavailable, match="many papers are being printed"):
            press.pdf(rfc8785.dumps(golden() | {"purchase_order": "late"}))
    finally:
        go.set()
        for thread in threads:
            thread.join()
    assert press.pdf(papers[0]).startswith(b"%PDF")
