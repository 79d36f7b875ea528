"""Builds the rules of controlled GPUs from their settings."""

from billing.compliance.register import Control, Rules
from billing.settings import ComplianceSettings


def rules_of(wanted: ComplianceSettings) -> Rules:
    controls = tuple(
        Control(one.name, frozenset(one.models), one.attestation, one.kyc, frozenset(one.denied_countries))
        for one in wanted.controls
    )
    return Rules(controls, frozenset(wanted.denied_countries))
