"""Who the invoices are from, and how its tax office wants to see the tax."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from billing.core.money import Asset
from billing.invoicing.tax import Exchange, TaxOffice
from billing.settings.section import Section


class TaxRateSettings(Section):
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="Currency of the invoices")
    rate: str = Field(
        pattern=r"^(0|[1-9]\d{0,8})(\.\d{1,12})?$", description="What one of it is worth in the tax currency"
    )
    source: str = Field(min_length=1, max_length=200, description="Who says so; printed")
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$", description="The day that the rate is of; printed")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        date.fromisoformat(self.date)
        if not Decimal(self.rate):
            raise ValueError("a rate is more than nothing")
        return self


class IssuerSettings(Section):
    """Who the invoices are from."""

    name: str = Field(default="Unnamed issuer", min_length=1, max_length=200, description="Name on the invoices")
    address: str = Field(default="", max_length=500, description="Postal address on the invoices")
    tax_id: str = Field(default="", max_length=100, description="Tax number on the invoices")
    series: str = Field(default="INV", pattern=r"^[A-Z][A-Z0-9]{0,11}$", description="Prefix of invoice numbers")
    tax_currency: str = Field(
        default="",
        pattern=r"^([A-Z]{3})?$",
        description="Currency in which invoices in another one say tax and total once more; empty: they do not",
    )
    tax_currency_exponent: int = Field(default=2, ge=0, le=4, description="Its decimals")
    fonts: list[Path] = Field(
        default_factory=list,
        description="Directories with fonts for papers, for writing that the built-in ones lack (CJK)",
    )
    tax_rates: list[TaxRateSettings] = Field(default_factory=list, description="What other currencies are worth in it")

    @model_validator(mode="after")
    def _rates_are_of_something(self) -> Self:
        known = [one.currency for one in self.tax_rates]
        if len(set(known)) != len(known):
            raise ValueError("tax_rates names a currency twice")
        if known and not self.tax_currency:
            raise ValueError("tax_rates needs tax_currency")
        return self

    def tax_office(self) -> TaxOffice | None:
        if not self.tax_currency:
            return None
        exchanges = {one.currency: Exchange(Decimal(one.rate), one.source, one.date) for one in self.tax_rates}
        return TaxOffice(Asset(self.tax_currency, self.tax_currency_exponent), exchanges)
