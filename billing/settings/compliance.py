"""Settings of compliance: which senders are stopped, and which GPUs may be let to whom."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from billing.core.onchain import parse_address
from billing.settings.section import Section, as_value_error

NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"
COUNTRY = r"^[A-Z]{2}$"


class ListSettings(Section):
    """A file of sanctioned addresses, one a line."""

    name: str = Field(pattern=NAME, description="Unique name, shown in questions and metrics")
    path: Path = Field(description="Its file: addresses, one a line; # begins a comment; read again when it changes")
    dated: date | None = Field(
        default=None, description="Of which day it is, as 2026-10-01; default: when it was written"
    )

    @property
    def dated_at(self) -> datetime | None:
        return None if self.dated is None else datetime(self.dated.year, self.dated.month, self.dated.day, tzinfo=UTC)


class OracleSettings(Section):
    """A contract on a chain that knows who is sanctioned there."""

    chain: str = Field(description="Name of a chain of these settings")
    address: str = Field(description="Chainalysis-style contract: isSanctioned(address) returns (bool)")

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        return as_value_error(lambda: parse_address(value))


Country = Annotated[str, Field(pattern=COUNTRY)]


class ControlSettings(Section):
    """A rule for GPUs that not everybody may use."""

    name: str = Field(pattern=NAME, description="Unique name, told when a lease is refused")
    models: list[str] = Field(min_length=1, description="Models that it is for, as exporters call them")
    attestation: str = Field(
        default="", pattern=r"^[^\s]{0,40}$", description="Kind of attestation that the end customer needs; empty: none"
    )
    kyc: bool = Field(default=False, description="The end customer's KYC must be verified")
    denied_countries: list[Country] = Field(
        default_factory=list, description="Two-letter countries whose end customers and resellers get none"
    )


class ComplianceSettings(Section):
    stale_after_days: int = Field(
        default=7, ge=1, le=3650, description="A list older than that is an alarm; it still counts"
    )
    lists: list[ListSettings] = Field(default_factory=list, max_length=50, description="Files of sanctioned addresses")
    oracles: list[OracleSettings] = Field(default_factory=list, description="Sanctions oracles, at most one a chain")

    denied_countries: list[Country] = Field(
        default_factory=list, description="Two-letter countries to whose tenants nothing is let"
    )
    controls: list[ControlSettings] = Field(default_factory=list, max_length=100, description="Rules for some GPUs")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, values in (
            ("lists.name", [one.name for one in self.lists]),
            ("controls.name", [one.name for one in self.controls]),
            ("oracles.chain", [one.chain for one in self.oracles]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must be unique")
        return self
