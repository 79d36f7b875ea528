"""An owner's statement on paper: every sum can be added up, and text is never markup."""

import io
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest

from billing.core.period import epoch_seconds, month
from billing.invoicing.parts import Party
from billing.owners.share import Fee, Owner
from billing.owners.statement import Part
from billing.owners.store.settled import Earned, Paid
from billing.papers.printer import Printer, Sheet
from billing.reports import to_paper
from billing.reports.owners import OwnerMonth, Statement
from tests.factories import at
from tests.papers.test_paper import GOLDEN, MARKUP, text_of

NOVEMBER = month(2026, 11)
ISSUER = Party(name="Example GPU Pty Ltd", address="1 Example Street, Brisbane", tax_id="ABN 1")


@pytest.fixture(scope="module")
def press() -> Iterator[Printer]:
    yield Printer()


def gpu(uuid: str, host: str, collected: int, fee: int, currency: str = "USD") -> Earned:
    return Earned(uuid, host, currency, Part(collected, fee))


def whole() -> OwnerMonth:
    """Two currencies, two hosts, a fee that changes, something taken back, a payout that its chain took back, odd names."""
    owner = Owner("north", "North", f"North & Söhne {MARKUP}", "AT", "north@example.com", 1)
    fees = [
        Fee(1, 1_000, epoch_seconds(at(0))),
        Fee(1, 250, epoch_seconds(datetime.fromisoformat("2026-11-15T00:00:00Z"))),
    ]
    gpus = [
        gpu("GPU-0f0f0f0f-1111-2222-3333-444444444444", "rack-1", 123_456_789, 12_345_679),
        gpu("GPU-1a1a1a1a-1111-2222-3333-444444444444", "rack-1", 99_99, 10_00),
        gpu("GPU-2b2b2b2b-1111-2222-3333-444444444444", "#rack *2*", -5_00, -50),
    ]
    payouts = [
        Paid(date(2026, 11, 3), "USD", 7_50, "0x" + "a1" * 32),
        Paid(date(2026, 11, 9), "USD", -7_50, "0x" + "a1" * 32),
        Paid(date(2026, 11, 10), "USD", 1_000_000_00, "0x" + "b2" * 32),
    ]
    dollars = Statement("USD", 2, 7_51, gpus, payouts, 40_00)
    euros = Statement("EUR", 2, 0, [gpu("GPU-3", "", 1_00, 1_00, "EUR")], [])
    return OwnerMonth(owner, NOVEMBER, datetime.fromisoformat("2026-12-02T09:00:00Z"), fees, [euros, dollars])


def printed(press: Printer, one: OwnerMonth) -> bytes:
    return press.sheet(Sheet("owner.typ", to_paper.content(one, ISSUER), b"kind\r\n"))


def figures(rows: list[list[str]]) -> list[int]:
    return [int(cell.replace(",", "").replace(".", "").replace("−", "-")) for _, cell in rows]


def test_the_text_of_a_statement_is_the_golden_one(press: Printer) -> None:
    found = text_of(printed(press, whole()))
    assert found == (GOLDEN / "papers" / "owner-statement.txt").read_text(encoding="utf-8").removesuffix("\n")
    assert MARKUP in found.replace("\n", "").replace("\u200b", ""), "text is never markup"


def test_what_is_printed_adds_up_from_line_to_total() -> None:
    for section in to_paper.content(whole(), ISSUER)["sections"]:
        lines = [line[1:] for group in section["groups"] for line in group["lines"]]
        assert all(sum(figures([["", one] for one in line[:2]])) == figures([["", line[2]]])[0] for line in lines)
        columns: list[Any] = list(zip(*lines, strict=True))
        totals = [sum(figures([["", cell] for cell in column])) for column in columns]
        assert totals == figures([["", cell] for cell in section["total"][1:]])
        assert sum(figures(section["sums"])) == figures([["", section["sum"][1].split(" ")[0]]])[0]
        assert sum(figures([["", one["amount"]] for one in section["payouts"]])) == figures([["", section["paid"]]])[0]
        subtotals = [group["subtotal"] for group in section["groups"] if group["subtotal"]]
        if subtotals:
            assert sum(figures([["", one[2]] for one in subtotals])) == totals[2]


def test_what_was_overpaid_and_what_is_owed_are_told_in_words() -> None:
    over = Statement("USD", 2, 0, [gpu("GPU-1", "n1", -5_00, 0)], [])
    owner = Owner("north", "North", id=1)
    made = OwnerMonth(owner, NOVEMBER, datetime.fromisoformat("2026-11-20T09:00:00Z"), [], [over])
    found = to_paper.content(made, ISSUER)
    assert found["headline"] == "5.00 USD more than earned was paid until 20 November 2026"
    assert ["State", "Provisional: the month is not over yet"] in found["facts"] and found["owner"]["name"] == "North"
    assert "still owed −5.00 USD" in found["sections"][0]["note"]
    assert ["Operator's fee", "0 %"] in found["facts"]
    assert to_paper.content(OwnerMonth(owner, NOVEMBER, made.made_at, [], []), ISSUER)["headline"].startswith("Nothing")


def test_a_thousand_gpus_are_many_numbered_pages_with_the_head_of_the_table_on_each(
    press: Printer, tmp_path: Path
) -> None:
    gpus = [gpu(f"GPU-{n:08x}-1111-2222-3333-444444444444", f"rack-{n // 8}", n, n // 10) for n in range(1_000)]
    owner = Owner("north", "N" * 200, "x" * 200, id=1)
    made = OwnerMonth(owner, NOVEMBER, NOVEMBER.end, [], [Statement("USD", 2, 10**30, gpus, [])])
    reader = pypdf.PdfReader(io.BytesIO(printed(press, made)))
    pages = len(reader.pages)
    assert pages > 15 and f"Page {pages} of {pages}" in reader.pages[-1].extract_text()
    assert all("Collected (USD)" in page.extract_text() for page in reader.pages[1:-1])
    assert reader.attachments == {"owner-statement-north-2026-11.csv": [b"kind\r\n"]}
