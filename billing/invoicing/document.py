"""The document: canonical JSON (RFC 8785) whose Keccak-256 digest is the salt of the payment address.

Money is text; the only numbers are integers below 2**53; hex is lowercase; there is one way to write a document.
docs/document.md specifies it for those who write their own verifier.
"""

import json
import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, Discriminator, Field, StringConstraints, Tag, ValidationError, field_validator

from billing.core.errors import Invalid
from billing.core.keccak import keccak256
from billing.core.money import half_even
from billing.core.onchain import Hash32, to_hash
from billing.invoicing.parts import (
    INTEGER_MAX,
    Amount,
    AppliedCredit,
    Currency,
    Document,
    HashText,
    Name,
    Part,
    Party,
    Period,
    QuantityText,
    Rate,
    Replaced,
    Tax,
    TaxCurrency,
    TaxNote,
    Time,
    Whole,
    units_of,
)  # fmt: skip
from billing.invoicing.terms import ByFeed, ForwarderTerms, Par, ParWithin, RateRule, Settlement, XpubTerms

__all__ = [
    "AppliedCredit", "ByFeed", "Currency", "Document", "ForwarderTerms", "Par", "ParWithin", "Part", "Party", "Period",
    "RateRule", "Replaced", "Settlement", "Tax", "TaxCurrency", "TaxNote", "XpubTerms",
]  # fmt: skip
"""Parts that live in files of their own and are named from here."""

INVOICE_TYPE: Final = "stablemeter/invoice@1"
CREDIT_NOTE_TYPE: Final = "stablemeter/credit-note@1"
DEPOSIT_TYPE: Final = "stablemeter/deposit@1"
DOCUMENT_BYTES_MAX: Final = 8 << 20
DEPTH_MAX: Final = 16
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


class Excluded(Part):
    reason: Name
    seconds: Whole


class Line(Part):
    """A line of time. `amount` is quantity times price, rounded once, half-even. `coverage` is the share of the quantity that
    was also measured."""

    tenant: Name
    description: Name
    sku: Name
    period: Period
    quantity_seconds: Annotated[int, Field(ge=-INTEGER_MAX, le=INTEGER_MAX)]
    unit: Literal["device-hour"] = "device-hour"
    unit_price: Rate
    rounding: Literal["half-even"] = "half-even"
    amount: Amount
    coverage: Rate
    excluded: list[Excluded]
    usage_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class MeterLine(Part):
    """A line of a meter. `unit_price` is for `unit_size` units. It is told from a line of time by having a `meter`."""

    tenant: Name
    description: Name
    sku: Name
    period: Period
    meter: Name
    aggregation: Literal["sum", "count", "max", "latest"]
    quantity: QuantityText
    unit: Name
    unit_size: Annotated[int, Field(ge=1, le=INTEGER_MAX)]
    unit_price: Rate
    rounding: Literal["half-even"] = "half-even"
    amount: Amount
    events: Whole
    usage_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class PackageLine(Line):
    """A line of time that is sold in whole packages of so many seconds, a started one in full. Told by `package_seconds`."""

    package_seconds: Annotated[int, Field(ge=1, le=INTEGER_MAX)]


class MeterPackageLine(MeterLine):
    """A line of a meter that is sold in whole packages of `unit_size` units. Told by `package`."""

    package: Literal["started"]


class AgreedLine(Part):
    """A line of a fee, a minimum or a discount: what the payer agreed to beside prices. Told by `kind`."""

    tenant: Name
    description: Name
    sku: Name
    period: Period
    kind: Literal["fee", "minimum", "discount"]
    amount: Amount


def _kind(line: Any) -> str:
    has = line.__contains__ if isinstance(line, dict) else type(line).model_fields.__contains__
    if has("kind"):
        return "agreed"
    if has("meter"):
        return "meter package" if has("package") else "meter"
    return "package" if has("package_seconds") else "time"


AnyLine = Annotated[
    Annotated[Line, Tag("time")]
    | Annotated[PackageLine, Tag("package")]
    | Annotated[MeterLine, Tag("meter")]
    | Annotated[MeterPackageLine, Tag("meter package")]
    | Annotated[AgreedLine, Tag("agreed")],
    Discriminator(_kind),
]


class InvoiceDocument(Document):
    """`purchase_order`, `tax_note` and `tax_currency` are left out when there is none."""

    type: Literal["stablemeter/invoice@1"]
    issuer: Party
    tenant: Party
    number: Name
    nonce: HashText
    period: Period
    currency: Currency
    lines: list[AnyLine]
    subtotal: Amount
    tax: list[Tax]
    total: Amount
    credits: list[AppliedCredit]
    amount_due: Amount
    issued_at: Time
    due_at: Time
    replaces: Replaced | None
    wallet: ForwarderTerms | XpubTerms | None
    settlement: list[Settlement]
    purchase_order: Name | None = None
    tax_note: TaxNote | None = None
    tax_currency: TaxCurrency | None = None


class CreditLine(Part):
    """What is taken off the line with that number of the invoice, before tax."""

    line: Annotated[int, Field(ge=1, le=INTEGER_MAX)]
    description: Name
    amount: Amount


class CreditNoteDocument(Document):
    """Takes an invoice back; with `lines`, a part of it, and the invoice stands. It has no address.

    `subtotal` and `tax` come together, and are left out where nothing was taxed and the whole invoice is taken back.
    """

    type: Literal["stablemeter/credit-note@1"]
    issuer: Party
    tenant: Party
    number: Name
    nonce: HashText
    invoice: Replaced
    currency: Currency
    total: Amount
    reason: Name
    issued_at: Time
    lines: list[CreditLine] | None = None
    subtotal: Amount | None = None
    tax: list[Tax] | None = None
    purchase_order: Name | None = None
    tax_currency: TaxCurrency | None = None

    @property
    def is_whole(self) -> bool:
        return self.lines is None


class DepositDocument(Part):
    """Makes a tenant's permanent deposit address: what comes to it is credit that its invoices use."""

    type: Literal["stablemeter/deposit@1"]
    issuer: Party
    tenant: Party
    number: Name
    nonce: HashText
    currency: Currency
    issued_at: Time
    replaces: Replaced | None
    wallet: ForwarderTerms | XpubTerms
    settlement: Annotated[list[Settlement], Field(min_length=1)]

    @field_validator("settlement")
    @classmethod
    def _each_once(cls, value: list[Settlement]) -> list[Settlement]:
        if len({(one.chain_id, one.token_address) for one in value}) != len(value):
            raise ValueError("a token is named twice")
        return value


AnyDocument = InvoiceDocument | CreditNoteDocument | DepositDocument

_MODELS: Final[dict[str, type[AnyDocument]]] = {
    INVOICE_TYPE: InvoiceDocument,
    CREDIT_NOTE_TYPE: CreditNoteDocument,
    DEPOSIT_TYPE: DepositDocument,
}


def canonical(document: BaseModel) -> bytes:
    """The document's one and only spelling, RFC 8785. Documents have plain keys, text, and whole numbers up to `INTEGER_MAX`; of
    these it is the text without blanks and with sorted keys. A test compares it with a reference. Raises UnicodeError for
    text that cannot be written."""
    try:
        return orjson.dumps(document.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise UnicodeError(str(error)) from None


def digest(content: bytes) -> Hash32:
    return to_hash(keccak256(content))


def parse(content: bytes) -> AnyDocument:
    """Read a document. Raises Invalid for what is not canonical, has a key twice, is of an unknown type, or does not
    add up: two readers can never understand it differently."""
    if len(content) > DOCUMENT_BYTES_MAX or _depth(content) > DEPTH_MAX:
        raise Invalid("the document is too large, or nested too deeply")
    try:
        raw = json.loads(
            content.decode("utf-8"), object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the document is no JSON: {type(error).__name__}") from None
    kind = raw.get("type") if isinstance(raw, dict) else None
    model = _MODELS.get(str(kind))
    if model is None:
        named = f"unknown type {kind[:80]!r}" if isinstance(kind, str) else "unknown type"
        raise Invalid(f"the document is of an {named}", remedy=f"this version knows {' and '.join(_MODELS)}")
    try:
        document = model.model_validate(raw)
    except ValidationError as error:
        places = [".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors(include_input=False)]
        raise Invalid(f"the document is malformed at {'; '.join(places[:3])}") from None
    try:
        same = canonical(document) == content
    except UnicodeError:
        same = False
    if not same:
        raise Invalid("the document's bytes are not canonical", remedy="use the file as it was served, unchanged")
    if isinstance(document, InvoiceDocument):
        _add_up(document)
    elif isinstance(document, CreditNoteDocument):
        _note_adds_up(document)
    return document


def _depth(content: bytes) -> int:
    """How deeply brackets nest outside of strings: a reader that recurses must be told before it reads."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise Invalid("the document has a key twice")
    return keys


def _no_float(text: str) -> Any:
    raise Invalid(f"the document has the number {text[:20]}; only whole numbers are allowed")


def _add_up(document: InvoiceDocument) -> None:
    """Lines sum to the total, the total less credits is what is due, to the last unit."""
    currency = document.currency.asset
    subtotal = sum(units_of(line.amount, currency) for line in document.lines)
    total = subtotal + _taxed(document.tax, document)
    due = total - sum(units_of(credit.amount, currency) for credit in document.credits)
    said = (document.subtotal, document.total, document.amount_due)
    if (subtotal, total, due) != tuple(units_of(amount, currency) for amount in said):
        raise Invalid("the document does not add up", remedy="do not pay it; ask the issuer")
    if (due > 0) != (document.wallet is not None):
        raise Invalid("the document must have a payment address exactly when something is due")
    if document.tax and document.tax_note:
        raise Invalid("the document has a tax, and a note that says why there is none")


def _note_adds_up(document: CreditNoteDocument) -> None:
    """Lines and tax sum to the total. A note without a subtotal tells its total alone."""
    currency, lines = document.currency.asset, document.lines
    total = units_of(document.total, currency)
    if document.subtotal is None or document.tax is None:
        if any(one is not None for one in (document.subtotal, document.tax, lines, document.tax_currency)):
            raise Invalid("the credit note must have a subtotal and its tax, or neither")
        return
    subtotal = units_of(document.subtotal, currency)
    if lines is not None:
        amounts = [units_of(line.amount, currency) for line in lines]
        if not lines or min(amounts) <= 0 or len({line.line for line in lines}) != len(lines):
            raise Invalid("the credit note must take something off each of its lines, once")
        if sum(amounts) != subtotal:
            raise Invalid("the document does not add up", remedy="ask the issuer")
    if subtotal + _taxed(document.tax, document) != total:
        raise Invalid("the document does not add up", remedy="ask the issuer")


def _taxed(taxes: list[Tax], document: InvoiceDocument | CreditNoteDocument) -> int:
    """The sum of the tax. What is said of it in another currency must be it, at the rate that is said."""
    currency, other = document.currency.asset, document.tax_currency
    tax = sum(units_of(one.amount, currency) for one in taxes)
    if other is not None:
        abroad = Currency(code=other.code, exponent=other.exponent).asset
        rate = Decimal(other.rate)
        for said, units in ((other.tax, tax), (other.total, units_of(document.total, currency))):
            if not taxes or units_of(said, abroad) != exchanged(units, rate, currency.exponent, abroad.exponent):
                raise Invalid("the document does not add up in its tax currency", remedy="ask the issuer")
    return tax


def exchanged(units: int, rate: Decimal, exponent: int, other: int) -> int:
    """An amount of a currency in another one, rounded once, half-even."""
    numerator, denominator = rate.as_integer_ratio()
    return half_even(units * numerator * 10**other, denominator * 10**exponent)


def rate_text(rate: Decimal) -> str:
    """A price without an exponent or trailing zeros: `2.5`."""
    plain = format(rate.normalize(), "f")
    return plain if "." not in plain else plain.rstrip("0").rstrip(".")
