"""Every page that people open. A new page joins with one line: what it shows, where it is, and how one gets in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from billing.tenants.keys import KeyRole
from tests.browser.gallery import Gallery
from tests.world import BOOK


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that nobody signs in for. `broken` is for one whose answer is an error on purpose, `long` for one so long that it is
    only looked through on the phone."""

    name: str
    path: Callable[[Gallery], str]
    broken: bool = False
    long: bool = False


PAGES: Final = (
    Shown("an invoice to pay", lambda made: made.pay("waiting")),
    Shown("an invoice with groups, packages, a fee, a discount, tax and credit", lambda made: made.pay("rich")),
    Shown("an invoice that credit was taken off", lambda made: made.pay("noted")),
    Shown("a payment that was seen", lambda made: made.pay("seen")),
    Shown("a part payment", lambda made: made.pay("part")),
    Shown("a receipt", lambda made: made.pay("paid")),
    Shown("a receipt with a credit", lambda made: made.pay("over")),
    Shown("a wrong token", lambda made: made.pay("wrong")),
    Shown("an overdue invoice", lambda made: made.pay("late")),
    Shown("a void invoice", lambda made: made.pay("void")),
    Shown("an invoice that credit covers", lambda made: made.pay("credit")),
    Shown("no invoice", lambda made: "/pay/" + "x" * 43, broken=True),
    Shown("the routes of the API", lambda made: "/api/docs", long=True),
)


@dataclass(frozen=True, slots=True)
class Behind:
    """A page behind sign-in, as `role` gets to it: from `path` on through the first link, in a table if one is there, whose
    address has each of `through` in it, as a person would. Without a role nobody is signed in. `fields` are typed into its
    form, which is then sent: the page is the answer."""

    name: str
    role: KeyRole | None
    path: str
    through: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    broken: bool = False


TENANT, OWNER, FINANCE, OPERATOR = KeyRole.TENANT, KeyRole.OWNER, KeyRole.FINANCE, KeyRole.OPERATOR
MISTAKE: Final = "currency = 5"
DEARER: Final = (
    BOOK
    + """[[sku.price]]
from = 2026-12-01
per_hour = "2.50"
"""
)

BEHIND: Final = (
    Behind("the door", None, "/login"),
    Behind("the door, asked", None, "/login", (), (("email", "tia@acme.example"),)),
    Behind("a link that is used up", None, "/login/smo_gone", broken=True),
    Behind("the portal", TENANT, "/portal"),
    Behind("the portal's usage", TENANT, "/portal/usage?month=2026-10"),
    Behind("the portal's invoices", TENANT, "/portal/invoices"),
    Behind("the portal's payments", TENANT, "/portal/payments"),
    Behind("the portal's credit", TENANT, "/portal/credit"),
    Behind("the portal's keys", TENANT, "/portal/keys"),
    Behind("a new key", TENANT, "/portal/keys", (), (("name", "gallery"),)),
    Behind("the portal's contacts", TENANT, "/portal/contacts"),
    Behind("no page of a tenant's", TENANT, "/finance", broken=True),
    Behind("the owner's pages", OWNER, "/owner"),
    Behind("an owner's statement", OWNER, "/owner/statements?month=2026-11"),
    Behind("an owner's payouts", OWNER, "/owner/payouts"),
    Behind("finance today", FINANCE, "/finance"),
    Behind("finance's invoices", FINANCE, "/finance/invoices"),
    Behind("an open invoice", FINANCE, "/finance/invoices?status=open", ("/finance/invoices/",)),
    Behind("a paid invoice", FINANCE, "/finance/invoices?status=paid", ("/finance/invoices/",)),
    Behind("a void invoice", FINANCE, "/finance/invoices?status=void", ("/finance/invoices/",)),
    Behind("a line of an invoice", FINANCE, "/finance/invoices", ("/finance/invoices/", "/lines/")),
    Behind("finance's payments", FINANCE, "/finance/payments"),
    Behind("a payment", FINANCE, "/finance/payments", ("/finance/payments/",)),
    Behind("an entry", FINANCE, "/finance/payments", ("/finance/payments/", "/finance/entries/")),
    Behind("exceptions", FINANCE, "/finance/exceptions"),
    Behind("an exception", FINANCE, "/finance/exceptions", ("/finance/exceptions/",)),
    Behind("month close", FINANCE, "/finance/close"),
    Behind("what a close still lacks", FINANCE, "/finance/close?period=2026-11"),
    Behind("a closed month", FINANCE, "/finance/close", ("/finance/close/",)),
    Behind("the books", FINANCE, "/finance/books"),
    Behind("a day of the journal", FINANCE, "/finance/books", ("/finance/journal/",)),
    Behind("an account", FINANCE, "/finance/books", ("/finance/accounts/",)),
    Behind("reports", FINANCE, "/finance/reports?period=2026-10"),
    Behind("a tenant's statement", FINANCE, "/finance/reports?period=2026-11", ("/finance/reports/statement",)),
    Behind("owners' settlements", FINANCE, "/finance/reports?period=2026-11", ("/finance/reports/owners",)),
    Behind("an exclusion, to decide", FINANCE, "/operations/exclusions", ("/operations/exclusions/",)),
    Behind("no invoice of finance's", FINANCE, "/finance/invoices/INV-9", broken=True),
    Behind("operations", OPERATOR, "/operations"),
    Behind("the fleet", OPERATOR, "/operations/fleet?from=2026-10-02&to=2026-10-03"),
    Behind("a GPU", OPERATOR, "/operations/fleet?from=2026-10-03&where=GPU-acme", ("fleet/gpus/", "/operations/fleet/gpus/")),
    Behind("a day of a GPU", OPERATOR, "/operations/fleet?from=2026-10-03&where=GPU-acme", ("fleet/gpus/",)),
    Behind("coverage", OPERATOR, "/operations/coverage"),
    Behind("gaps", OPERATOR, "/operations/coverage?from=2026-10-01&to=2026-10-05"),
    Behind("exclusions", OPERATOR, "/operations/exclusions"),
    Behind("an exclusion", OPERATOR, "/operations/exclusions", ("/operations/exclusions/",)),
    Behind("chains", OPERATOR, "/operations/chains"),
    Behind("jobs", OPERATOR, "/operations/jobs"),
    Behind("leases", OPERATOR, "/operations/leases"),
    Behind("a lease", OPERATOR, "/operations/leases?tenant=zeta", ("/operations/leases/",)),
    Behind("a new lease", OPERATOR, "/operations/leases", ("/operations/leases/new",)),
    Behind("prices", OPERATOR, "/operations/prices"),
    Behind("a price book", OPERATOR, "/operations/prices", ("/operations/prices/books/",)),
    Behind("two price books", OPERATOR, "/operations/prices", ("/operations/prices/diff",)),
    Behind("a check of a price book", OPERATOR, "/operations/prices", ("/operations/prices/check",)),
    Behind("a checked price book", OPERATOR, "/operations/prices/check", (), (("book", DEARER),)),
    Behind("a wrong price book", OPERATOR, "/operations/prices/check", (), (("book", MISTAKE),), broken=True),
    Behind("the audit", OPERATOR, "/operations/audit"),
)  # fmt: skip
