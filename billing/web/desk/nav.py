"""What is linked at the top of pages, by role. An area without links is not shown. The first link of a role is its home."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.tenants.keys import KeyRole


@dataclass(frozen=True, slots=True)
class Link:
    title: str
    path: str


@dataclass(frozen=True, slots=True)
class Area:
    """Pages of one kind of reader. `roles` see the links; the pages' own rules decide who may open them."""

    title: str
    roles: frozenset[KeyRole]
    links: Sequence[Link] = ()


PORTAL: Final = Area(
    "Portal",
    frozenset({KeyRole.TENANT}),
    (
        Link("Overview", "/portal"),
        Link("Usage", "/portal/usage"),
        Link("Invoices", "/portal/invoices"),
        Link("Payments", "/portal/payments"),
        Link("Credit", "/portal/credit"),
        Link("API keys", "/portal/keys"),
        Link("Contacts", "/portal/contacts"),
    ),
)

OWNER: Final = Area(
    "Owner",
    frozenset({KeyRole.OWNER}),
    (Link("Overview", "/owner"), Link("Statements", "/owner/statements"), Link("Payouts", "/owner/payouts")),
)

FINANCE: Final = Area(
    "Finance",
    frozenset({KeyRole.FINANCE, KeyRole.OPERATOR, KeyRole.AUDITOR}),
    (
        Link("Today", "/finance"),
        Link("Invoices", "/finance/invoices"),
        Link("Exceptions", "/finance/exceptions"),
        Link("Payments", "/finance/payments"),
        Link("Month close", "/finance/close"),
        Link("Books", "/finance/books"),
        Link("Reports", "/finance/reports"),
    ),
)

OPERATIONS: Final = Area(
    "Operations",
    frozenset({KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR}),
    (
        Link("Overview", "/operations"),
        Link("Fleet", "/operations/fleet"),
        Link("Coverage", "/operations/coverage"),
        Link("Exclusions", "/operations/exclusions"),
        Link("Chains", "/operations/chains"),
        Link("Jobs", "/operations/jobs"),
        Link("Leases", "/operations/leases"),
        Link("Prices", "/operations/prices"),
        Link("Audit", "/operations/audit"),
    ),
)

AREAS: Final = (PORTAL, OWNER, FINANCE, OPERATIONS)
FIRST: Final = {KeyRole.OPERATOR: OPERATIONS}
"""Whose home is in another area than the first that it sees."""


def areas_of(role: KeyRole) -> list[Area]:
    return [area for area in AREAS if role in area.roles and area.links]


def home_of(role: KeyRole) -> str:
    """The page that a role sees first; empty when there is none for it."""
    own = FIRST.get(role)
    seen = [*([own] if own is not None and own.links else []), *areas_of(role)]
    return seen[0].links[0].path if seen else ""
