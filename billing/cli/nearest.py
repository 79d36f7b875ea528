"""Names that were nearly typed: an error about a name that does not exist tells the one that looks most like it."""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from billing.core.errors import NotFound, StablemeterError

if TYPE_CHECKING:
    from billing.bootstrap import App

_UNKNOWN: Final = re.compile(r"(?:there is )?no (tenant|owner|invoice|chain|lease) (\S+)(?: is configured)?$")
NAMES_MAX: Final = 100_000


def nearest(name: str, known: Iterable[str]) -> str:
    """The most similar name, or none."""
    found = difflib.get_close_matches(
        name.lower(), [one for _, one in zip(range(NAMES_MAX), known, strict=False)], 1, 0.6
    )
    return found[0] if found else ""


def told(error: NotFound, app: "App") -> NotFound:
    """The same error; with the nearest name, when it is about a name. Where names cannot be read it stays as it is."""
    match = _UNKNOWN.match(error.what)
    if match is None:
        return error
    try:
        found = nearest(match[2], _NAMES[match[1]](app))
    except StablemeterError:
        return error
    return NotFound(error.what, remedy=f"did you mean {found}? {error.remedy}".rstrip()) if found else error


def _tenants(app: "App") -> list[str]:
    from billing.tenants import store

    with app.database.transaction() as session:
        return [tenant.slug for tenant in store.listed(session)]


def _owners(app: "App") -> list[str]:
    from billing.owners import store

    with app.database.transaction() as session:
        return [owner.slug for owner in store.listed(session)]


def _invoices(app: "App") -> list[str]:
    from billing.invoicing import store

    with app.database.transaction() as session:
        return [invoice.number for invoice in store.listed(session)]


def _leases(app: "App") -> list[str]:
    from billing.leasing import store

    with app.database.transaction() as session:
        return sorted({lease.reference for lease in store.listed(session)})


def _chains(app: "App") -> list[str]:
    return [chain.name for chain in app.chains]


_NAMES: Final[dict[str, Callable[["App"], list[str]]]] = {
    "tenant": _tenants,
    "owner": _owners,
    "invoice": _invoices,
    "lease": _leases,
    "chain": _chains,
}
