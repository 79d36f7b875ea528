"""Documents: one spelling, any change shows, and the verifier tells consistency from origin."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.core.onchain import Address, Hash32, checksum
from billing.core.quantity import plain
from billing.invoicing import document as documents
from billing.invoicing.document import DepositDocument, InvoiceDocument, Line, MeterLine
from billing.invoicing.parts import Document
from billing.invoicing.verify import address_of, verify
from billing.wallets.wallet import TreasuryKind, forwarder_wallet

GOLDEN = Path(__file__).parents[1] / "golden" / "documents"
WALLET = forwarder_wallet("0x" + "11" * 20, TreasuryKind.EOA)
THIEF = forwarder_wallet("0x" + "66" * 20, TreasuryKind.EOA)


def content(name: str = "invoice.json") -> bytes:
    return (GOLDEN / name).read_bytes()


def metered(**fields: Any) -> bytes:
    """The golden invoice with lines of meters, the first of which has other fields."""
    raw = json.loads(content("metered.json"))
    raw["lines"][1] |= fields
    return rfc8785.dumps(raw)


def changed(**fields: Any) -> bytes:
    """The golden invoice with other fields, canonical again."""
    return rfc8785.dumps({**json.loads(content()), **fields})


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("invoice", "expected"),
        ("metered", "expected-metered"),
        ("par-limit", "expected-par-limit"),
        ("by-feed", "expected-by-feed"),
        ("deposit", "expected-deposit"),
        ("taxed", "expected-taxed"),
    ],
)
def test_the_golden_documents_keep_their_bytes_digest_and_address(name: str, beside: str) -> None:
    parsed = documents.parse(content(f"{name}.json"))
    assert isinstance(parsed, InvoiceDocument | DepositDocument)
    assert documents.canonical(parsed) == content(f"{name}.json")
    expected = json.loads((GOLDEN / f"{beside}.json").read_text())
    digest = documents.digest(content(f"{name}.json"))
    assert digest == expected["digest"]
    address = address_of(parsed, digest)
    assert address is not None and checksum(address) == expected["address"]
    assert WALLET.pin() == expected["pin"]


def test_a_genuine_invoice_passes_and_says_so() -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    verdict = verify(content(), [WALLET.pin()], Address(expected["address"].lower()))
    assert verdict.genuine and verdict.words[-1].startswith("genuine: the wallet is the issuer's")


def test_a_genuine_deposit_address_passes_and_says_what_it_is() -> None:
    expected = json.loads((GOLDEN / "expected-deposit.json").read_text())
    verdict = verify(content("deposit.json"), [WALLET.pin()], Address(expected["address"].lower()))
    assert verdict.genuine and verdict.words[0].startswith("INV-DEP-000002: the USD deposit address of ")
    assert not verify(content("deposit.json"), [WALLET.pin()], Address("0x" + "22" * 20)).genuine
    assert not verify(content("deposit.json"), [THIEF.pin()], None).genuine


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"settlement": []}, "malformed at settlement"),
        ({"settlement": json.loads(content("deposit.json"))["settlement"][:1] * 2}, "a token is named twice"),
        ({"wallet": None}, "malformed at wallet"),
        ({"amount_due": "5.00"}, "malformed at amount_due"),
        ({"type": "stablemeter/deposit@2"}, "unknown type"),
    ],
)
def test_a_deposit_document_has_an_address_tokens_and_no_amount(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        documents.parse(rfc8785.dumps({**json.loads(content("deposit.json")), **fields}))


def test_a_swapped_address_fails_even_with_the_right_pin() -> None:
    verdict = verify(content(), [WALLET.pin()], Address("0x" + "22" * 20))
    assert not verdict.genuine and "do not pay" in verdict.words[-1]


def test_without_a_pin_it_is_consistent_and_no_more() -> None:
    verdict = verify(content(), [], None)
    assert not verdict.genuine and "origin unproven" in verdict.words[-1]


def test_a_whole_other_document_of_a_thief_fails_the_pin() -> None:
    wallet = {
        "mode": "forwarder",
        "factory": THIEF.factory,
        "implementation": THIEF.implementation,
        "treasury": THIEF.treasury,
        "treasury_kind": "eoa",
        "flusher": THIEF.flusher,
    }
    forged = changed(wallet=wallet)
    own = verify(forged, [], None)
    assert own.address is not None, "it is consistent in itself"
    verdict = verify(forged, [WALLET.pin()], own.address)
    assert not verdict.genuine and "is not the issuer's; do not pay it" in verdict.words[-1]
    swapped = changed(wallet={**json.loads(content())["wallet"], "factory": THIEF.factory})
    assert not verify(swapped, [WALLET.pin()], None).genuine


def test_in_xpub_mode_nothing_is_proven() -> None:
    named = changed(wallet={"mode": "xpub", "address": "0x" + "33" * 20})
    verdict = verify(named, [WALLET.pin()], Address("0x" + "33" * 20))
    assert not verdict.genuine and "commits to nothing" in verdict.words[-1]


@given(st.data())
def test_any_changed_byte_fails(data: st.DataObject) -> None:
    """Flip one byte anywhere: either it is no document any more, or it stands for another address."""
    original = content()
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != original[at]))
    mutated = original[:at] + bytes([byte]) + original[at + 1 :]
    shown = verify(original, [], None).address
    try:
        verdict = verify(mutated, [WALLET.pin()], shown)
    except Invalid:
        return
    assert not verdict.genuine


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "unknown type"),
        (b"[]", "unknown type"),
        (b'{"type":"stablemeter/invoice@2"}', "unknown type"),
        (content() + b"\n", "not canonical"),
        (b" " + content(), "not canonical"),
        (content().replace(b'"currency"', b'"type":"stablemeter/invoice@1","currency"', 1), "a key twice"),
        (content().replace(b'"quantity_seconds":360000', b'"quantity_seconds":360000.0'), "only whole numbers"),
        (content().replace(b'"quantity_seconds":360000', b'"quantity_seconds":1e3'), "only whole numbers"),
        (content().replace(b'"quantity_seconds":360000', b'"quantity_seconds":NaN'), "only whole numbers"),
        (content().replace(b'"quantity_seconds":360000', b'"quantity_seconds":9007199254740993'), "malformed"),
        (content().replace(b'"amount_due":"200.00"', b'"amount_due":"199.00"'), "does not add up"),
        (content().replace(b'"amount_due":"200.00"', b'"amount_due":"200.0"'), "one spelling"),
        (content().replace(b'"number":', b'"number\\u0000":'), "malformed"),
        (content().replace(b"NVIDIA H100", b"\\ud800"), "malformed"),
        (content().replace(b"0x1111", b"0x1A11"), "malformed"),
        (changed(extra=1), "malformed at extra"),
        (changed(wallet=None), "payment address exactly when something is due"),
    ],
)
def test_what_is_no_canonical_document_is_refused(broken: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        documents.parse(broken)


def test_a_line_is_of_time_or_of_a_meter_and_never_both() -> None:
    parsed = documents.parse(content("metered.json"))
    assert isinstance(parsed, InvoiceDocument)
    assert [type(line) for line in parsed.lines] == [Line, MeterLine, MeterLine]
    assert metered() == content("metered.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity_seconds": 5},
        {"coverage": "1.0000"},
        {"quantity": "2500000.50"},
        {"quantity": "02"},
        {"quantity": "-0"},
        {"quantity": "1e3"},
        {"quantity": "1."},
        {"quantity": ".5"},
        {"quantity": 5},
        {"quantity": "1.0000000000000000001"},
        {"unit_size": 0},
        {"unit_size": "1000"},
        {"events": -1},
        {"aggregation": "average"},
        {"meter": ""},
        {"unit_price": "-1"},
        {"rounding": "up"},
        {"usage_digest": "AB" * 32},
    ],
)
def test_a_line_of_a_meter_has_one_spelling(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="malformed at lines"):
        documents.parse(metered(**wrong))


def test_the_lines_of_meters_are_in_the_sum() -> None:
    with pytest.raises(Invalid, match="does not add up"):
        documents.parse(metered(amount="0.76"))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**20), max_value=10**20))
def test_every_quantity_has_exactly_one_text_that_documents_accept(value: Decimal) -> None:
    written = plain(value)
    parsed = documents.parse(metered(quantity=written))
    assert isinstance(parsed, InvoiceDocument) and isinstance(parsed.lines[1], MeterLine)
    assert Decimal(parsed.lines[1].quantity) == value


def test_a_credit_note_has_no_address() -> None:
    verdict = verify(content("credit-note.json"), [WALLET.pin()], None)
    assert verdict.address is None and not verdict.genuine


ANY_TEXT = st.text(min_size=1, max_size=60)


@given(name=ANY_TEXT, reason=ANY_TEXT, order=ANY_TEXT, seconds=st.integers(0, 2**53 - 1))
def test_the_spelling_is_the_reference_s_whatever_people_are_called(
    name: str, reason: str, order: str, seconds: int
) -> None:
    raw = json.loads(content())
    raw["tenant"]["name"], raw["purchase_order"] = name, order
    raw["lines"][0]["excluded"] = [{"reason": reason, "seconds": seconds}]
    document = InvoiceDocument.model_validate(raw)
    assert documents.canonical(document) == rfc8785.dumps(document.model_dump(mode="json"))


@pytest.mark.parametrize("model", [InvoiceDocument, documents.CreditNoteDocument, DepositDocument])
def test_every_whole_number_of_a_document_has_one_spelling_everywhere(model: type[Document]) -> None:
    """Up to 2^53 - 1, as RFC 8785 asks; and no key needs more than its bytes to be sorted."""

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "integer":
                assert schema["maximum"] <= 2**53 - 1 and schema["minimum"] >= -(2**53 - 1)
            assert schema.get("type") != "number"
            assert all(key.isascii() for key in schema.get("properties", {}))
            for part in schema.values():
                walk(part)
        elif isinstance(schema, list):
            for part in schema:
                walk(part)

    walk(model.model_json_schema())


def test_rates_have_one_spelling() -> None:
    assert [documents.rate_text(Decimal(t)) for t in ("2.490", "100", "0.000001", "1E+2", "0")] == [
        "2.49",
        "100",
        "0.000001",
        "100",
        "0",
    ]


def test_a_pin_is_the_hash_of_what_it_pins() -> None:
    from billing.core.keccak import keccak256

    assert Hash32("0x" + keccak256(rfc8785.dumps(WALLET.pinned())).hex()) == WALLET.pin()


BY_FEED = json.loads(content("by-feed.json"))["settlement"][0]["rule"]
GUARDED = json.loads(content("par-limit.json"))["settlement"][0]["rule"]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "feed"},
        {"kind": "par", "limit": "0.01"},
        {**GUARDED, "kind": "peg"},
        {**GUARDED, "limit": "-0.01"},
        {**GUARDED, "feed": "0x77"},
        {**GUARDED, "feed_decimals": 37},
        {**GUARDED, "feed_staleness_seconds": 0},
        {**GUARDED, "feed_inverted": False},
        {key: value for key, value in GUARDED.items() if key != "feed_staleness_seconds"},
        {**BY_FEED, "prices": "tokens"},
        {**BY_FEED, "limit": "0.01"},
        {**BY_FEED, "kind": "par"},
        {key: value for key, value in BY_FEED.items() if key != "prices"},
    ],
)
def test_a_rule_that_is_not_known_is_refused(rule: dict[str, Any]) -> None:
    raw = json.loads(content())
    raw["settlement"][0]["rule"] = rule
    with pytest.raises(Invalid, match=r"settlement|not canonical"):
        documents.parse(rfc8785.dumps(raw))


TAXED = {
    "tax": [{"name": "GST", "rate": "0.1", "amount": "20.00"}],
    "total": "220.00",
    "amount_due": "220.00",
    "purchase_order": "PO-4711",
    "tax_currency": {
        "code": "AUD",
        "exponent": 2,
        "rate": "1.5312",
        "source": "Reserve Bank of Australia",
        "date": "2026-10-31",
        "tax": "30.62",
        "total": "336.86",
    },
}


def test_what_may_be_left_out_is_not_written_at_all_so_older_documents_keep_their_bytes() -> None:
    parsed = documents.parse(content())
    assert isinstance(parsed, InvoiceDocument)
    assert (parsed.purchase_order, parsed.tax_note, parsed.tax_currency) == (None, None, None)
    assert documents.canonical(parsed) == content() and b"purchase_order" not in content()
    assert b'"replaces":null' in content(), "what must be there is, though it is null"
    for name in ("purchase_order", "tax_note", "tax_currency"):
        with pytest.raises(Invalid, match="not canonical"):
            documents.parse(changed(**{name: None}))
    note = documents.parse(content("credit-note.json"))
    assert documents.canonical(note) == content("credit-note.json")
    with pytest.raises(Invalid, match="not canonical"):
        documents.parse(rfc8785.dumps({**json.loads(content("credit-note.json")), "lines": None}))


def test_a_taxed_document_adds_up_in_both_currencies_or_is_refused() -> None:
    parsed = documents.parse(changed(**TAXED))
    assert isinstance(parsed, InvoiceDocument) and documents.canonical(parsed) == changed(**TAXED)
    assert parsed.purchase_order == "PO-4711" and parsed.tax[0].rate == "0.1"
    with pytest.raises(Invalid, match="does not add up"):
        documents.parse(changed(**TAXED | {"total": "200.00"}))
    abroad = {**TAXED["tax_currency"], "tax": "30.63"}  # type: ignore[dict-item]
    with pytest.raises(Invalid, match="does not add up in its tax currency"):
        documents.parse(changed(**TAXED | {"tax_currency": abroad}))
    with pytest.raises(Invalid, match="does not add up in its tax currency"):
        documents.parse(changed(tax_currency=TAXED["tax_currency"]))
    with pytest.raises(Invalid, match="a tax, and a note that says why there is none"):
        documents.parse(changed(**TAXED, tax_note={"kind": "exempt", "text": "Export"}))
    documents.parse(changed(tax_note={"kind": "reverse_charge", "text": "Reverse charge"}))


def note(**fields: Any) -> bytes:
    return rfc8785.dumps({**json.loads(content("credit-note.json")), **fields})


LINES = [{"line": 1, "description": "NVIDIA H100", "amount": "10.00"}]
TAX = [{"name": "GST", "rate": "0.1", "amount": "1.00"}]


def test_a_credit_note_in_part_says_lines_and_tax_and_adds_up() -> None:
    parsed = documents.parse(note(lines=LINES, subtotal="10.00", tax=TAX, total="11.00"))
    assert isinstance(parsed, documents.CreditNoteDocument) and not parsed.is_whole
    whole = documents.parse(note(subtotal="200.00", tax=[{**TAX[0], "amount": "20.00"}], total="220.00"))
    assert isinstance(whole, documents.CreditNoteDocument) and whole.is_whole
    assert not verify(documents.canonical(parsed), [], None).genuine
    for wrong in (
        {"lines": LINES},
        {"subtotal": "10.00"},
        {"lines": LINES, "subtotal": "10.00", "tax": TAX, "total": "10.00"},
        {"lines": LINES, "subtotal": "9.00", "tax": TAX, "total": "10.00"},
        {"lines": [], "subtotal": "0.00", "tax": [], "total": "0.00"},
        {"lines": [*LINES, *LINES], "subtotal": "20.00", "tax": [], "total": "20.00"},
        {"lines": [{**LINES[0], "amount": "-1.00"}], "subtotal": "-1.00", "tax": [], "total": "-1.00"},
    ):
        with pytest.raises(Invalid, match=r"credit note must|does not add up"):
            documents.parse(note(**wrong))
