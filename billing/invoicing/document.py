"""The document: canonical JSON (RFC 8785) whose Keccak-256 digest is the salt of the payment address.

Money is text; the only numbers are integers below 2**53; hex is lowercase; there is one way to write a document.
docs/document.md specifies it for those who write their own verifier.
"""

import json
import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import rfc8785
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
)

from billing.core.errors import Invalid
from billing.core.keccak import keccak256
from billing.core.money import Asset, parse_units
from billing.core.onchain import Hash32, to_hash

INVOICE_TYPE: Final = "stablemeter/invoice@1"
CREDIT_NOTE_TYPE: Final = "stablemeter/credit-note@1"
DEPOSIT_TYPE: Final = "stablemeter/deposit@1"
DOCUMENT_BYTES_MAX: Final = 8 << 20
INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 16
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")

Text = Annotated[str, StringConstraints(max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Time = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Amount = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9]\d{0,59})(\.\d{1,18})?$")]
Rate = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,17})(\.\d{1,18})?$")]
QuantityText = Annotated[str, StringConstraints(pattern=r"^(0|-?[1-9]\d{0,59}|-?(0|[1-9]\d{0,59})\.\d{0,17}[1-9])$")]
AddressText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{40}$")]
HashText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
Whole = Annotated[int, Field(ge=0, le=INTEGER_MAX)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Party(_Part):
    """Who bills, or who is billed. `id` is the tenant's name in this system; an issuer has none."""

    id: Text = ""
    name: Name
    address: Text = ""
    tax_id: Text = ""


class Period(_Part):
    start: Time
    end: Time


class Currency(_Part):
    code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    exponent: Annotated[int, Field(ge=0, le=4)]

    @property
    def asset(self) -> Asset:
        return Asset(self.code, self.exponent)


class Excluded(_Part):
    reason: Name
    seconds: Whole


class Line(_Part):
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


class MeterLine(_Part):
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


class AgreedLine(_Part):
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


class Tax(_Part):
    name: Name
    rate: Rate
    amount: Amount


class AppliedCredit(_Part):
    kind: Literal["promotional", "prepaid", "overpayment"]
    reference: Text
    amount: Amount


class Replaced(_Part):
    number: Name
    digest: HashText


class ForwarderTerms(_Part):
    """From these and the document's digest the payment address follows."""

    mode: Literal["forwarder"]
    factory: AddressText
    implementation: AddressText
    treasury: AddressText
    treasury_kind: Literal["contract", "eoa"]
    flusher: AddressText


class XpubTerms(_Part):
    """The address commits to nothing: it is simply named."""

    mode: Literal["xpub"]
    address: AddressText


class Par(_Part):
    """One token is one unit of the currency."""

    kind: Literal["par"] = "par"


class ParWithin(_Part):
    """One token is one unit of the currency while a feed says so, within a limit; beyond it the feed's rate counts."""

    kind: Literal["par"]
    limit: Rate
    feed: AddressText
    feed_decimals: Annotated[int, Field(ge=0, le=36)]
    feed_staleness_seconds: Annotated[int, Field(ge=1, le=INTEGER_MAX)]


class ByFeed(_Part):
    """A token of another currency: a feed says what it is worth. The feed prices the token in the invoice's currency, or
    the currency in the token."""

    kind: Literal["feed"]
    feed: AddressText
    feed_decimals: Annotated[int, Field(ge=0, le=36)]
    feed_staleness_seconds: Annotated[int, Field(ge=1, le=INTEGER_MAX)]
    prices: Literal["token", "currency"]


RateRule = Par | ParWithin | ByFeed


def _rule(rule: Any) -> str:
    if isinstance(rule, dict):
        return "feed" if rule.get("kind") == "feed" else "guarded" if len(rule) > 1 else "plain"
    return "feed" if isinstance(rule, ByFeed) else "guarded" if isinstance(rule, ParWithin) else "plain"


AnyRule = Annotated[
    Annotated[Par, Tag("plain")] | Annotated[ParWithin, Tag("guarded")] | Annotated[ByFeed, Tag("feed")],
    Discriminator(_rule),
]


class Settlement(_Part):
    chain_id: Whole
    token: Name
    token_address: AddressText
    decimals: Annotated[int, Field(ge=0, le=36)]
    rule: AnyRule


class InvoiceDocument(_Part):
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


class CreditNoteDocument(_Part):
    """Takes an invoice back. It has no address."""

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


class DepositDocument(_Part):
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

_MODELS: Final[dict[str, type[InvoiceDocument] | type[CreditNoteDocument] | type[DepositDocument]]] = {
    INVOICE_TYPE: InvoiceDocument,
    CREDIT_NOTE_TYPE: CreditNoteDocument,
    DEPOSIT_TYPE: DepositDocument,
}


def canonical(document: BaseModel) -> bytes:
    """The document's one and only spelling."""
    return rfc8785.dumps(document.model_dump(mode="json"))


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
    except (rfc8785.CanonicalizationError, UnicodeError):
        same = False
    if not same:
        raise Invalid("the document's bytes are not canonical", remedy="use the file as it was served, unchanged")
    if isinstance(document, InvoiceDocument):
        _add_up(document)
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

    def units(amount: str) -> int:
        parsed = parse_units(amount, currency)
        if parsed.text() != amount:
            raise Invalid(f"the document writes {amount} where {parsed.text()} is the one spelling")
        return parsed.units

    subtotal = sum(units(line.amount) for line in document.lines)
    total = subtotal + sum(units(tax.amount) for tax in document.tax)
    due = total - sum(units(credit.amount) for credit in document.credits)
    if (subtotal, total, due) != (units(document.subtotal), units(document.total), units(document.amount_due)):
        raise Invalid("the document does not add up", remedy="do not pay it; ask the issuer")
    if (due > 0) != (document.wallet is not None):
        raise Invalid("the document must have a payment address exactly when something is due")


def rate_text(rate: Decimal) -> str:
    """A price without an exponent or trailing zeros: `2.5`."""
    plain = format(rate.normalize(), "f")
    return plain if "." not in plain else plain.rstrip("0").rstrip(".")
