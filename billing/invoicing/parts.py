"""The small parts that documents of every type are made of: text and amounts in their one spelling, parties, tax, credit."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_serializer

from billing.core.errors import Invalid
from billing.core.money import Asset, parse_units

INTEGER_MAX: Final = 2**53 - 1
Text = Annotated[str, StringConstraints(max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Time = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Amount = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9]\d{0,59})(\.\d{1,18})?$")]
Rate = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,17})(\.\d{1,18})?$")]
QuantityText = Annotated[str, StringConstraints(pattern=r"^(0|-?[1-9]\d{0,59}|-?(0|[1-9]\d{0,59})\.\d{0,17}[1-9])$")]
AddressText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{40}$")]
HashText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
Whole = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Exponent = Annotated[int, Field(ge=0, le=4)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Party(Part):
    """Who bills, or who is billed. `id` is the tenant's name in this system; an issuer has none."""

    id: Text = ""
    name: Name
    address: Text = ""
    tax_id: Text = ""


class Period(Part):
    start: Time
    end: Time


class Currency(Part):
    code: CurrencyCode
    exponent: Exponent

    @property
    def asset(self) -> Asset:
        return Asset(self.code, self.exponent)


class Tax(Part):
    name: Name
    rate: Rate
    amount: Amount


class AppliedCredit(Part):
    kind: Literal["promotional", "prepaid", "overpayment"]
    reference: Text
    amount: Amount


class Replaced(Part):
    number: Name
    digest: HashText


class TaxNote(Part):
    """Why there is no tax, in the words that must be printed."""

    kind: Literal["exempt", "reverse_charge"]
    text: Name


class TaxCurrency(Part):
    """The tax and the total once more, in the currency that the issuer's tax office wants: `rate` of it for one unit of the
    document's currency, as `source` said on `date`."""

    code: CurrencyCode
    exponent: Exponent
    rate: Rate
    source: Name
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]
    tax: Amount
    total: Amount


class Document(Part):
    """What every type of document has in common. A key that may be left out is not written at all when it has no value, so
    that documents from before there was such a key keep their bytes."""

    @model_serializer(mode="wrap")
    def _without_absent(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        fields = type(self).model_fields
        return {key: value for key, value in plain(self).items() if value is not None or fields[key].is_required()}


def units_of(amount: str, currency: Asset) -> int:
    """An amount in the currency's smallest unit. Raises Invalid when it is not in its one spelling."""
    parsed = parse_units(amount, currency)
    if parsed.text() != amount:
        raise Invalid(f"the document writes {amount} where {parsed.text()} is the one spelling")
    return parsed.units
