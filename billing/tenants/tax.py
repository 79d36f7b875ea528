"""How a tenant is taxed: a rate with a name, or none with the note that says why."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from billing.core.errors import Invalid

DECIMALS_MAX: Final = 6
NAME_MAX: Final = 40
NOTE_MAX: Final = 200


class TaxKind(StrEnum):
    """`standard`: so much is added. `exempt`: nothing is. `reverse_charge`: the tenant owes the tax to its own tax office."""

    STANDARD = "standard"
    EXEMPT = "exempt"
    REVERSE_CHARGE = "reverse_charge"


@dataclass(frozen=True, slots=True)
class TaxRule:
    """`rate` is a share: 0.10 is ten percent. `note` is printed where there is no tax."""

    kind: TaxKind
    name: str = ""
    rate: Decimal = Decimal(0)
    note: str = ""

    def __post_init__(self) -> None:
        for text, most, what in ((self.name, NAME_MAX, "name"), (self.note, NOTE_MAX, "note")):
            if len(text) > most or not text.isprintable() or text != text.strip():
                raise Invalid(f"a tax {what} is printable text of at most {most} characters")
        if self.kind is TaxKind.STANDARD:
            exponent = self.rate.as_tuple().exponent
            if not self.rate.is_finite() or not 0 <= self.rate <= 1 or not isinstance(exponent, int):
                raise Invalid(f"{self.rate} is no tax rate", remedy="a share from 0 to 1: 0.10 is ten percent")
            if -exponent > DECIMALS_MAX:
                raise Invalid(f"the tax rate {self.rate} has more than {DECIMALS_MAX} decimals")
            if not self.name or self.note:
                raise Invalid("a tax rate needs a name, and no note", remedy="--tax-name GST")
        elif not self.note or self.name or self.rate:
            raise Invalid(
                f"{self.kind.value} needs the note that must be printed, and no rate",
                remedy="--tax-note 'Reverse charge: the customer accounts for the tax'",
            )

    def __str__(self) -> str:
        if self.kind is TaxKind.STANDARD:
            return f"{self.name} {format((self.rate * 100).normalize(), 'f')} %"
        return f"{self.kind.value.replace('_', ' ')}: {self.note}"


@dataclass(frozen=True, slots=True)
class TaxTerm:
    """From `since` on this is the rule, until a term that was set later says otherwise."""

    rule: TaxRule
    since: datetime
