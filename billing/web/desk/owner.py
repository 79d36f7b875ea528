"""What an owner sees of its own GPUs: what it owns, what each brought in, and what it was paid."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.onchain import checksum
from billing.core.period import at_second, parse_month
from billing.owners import store as owners
from billing.owners.share import fee_at, share_text
from billing.owners.store import payees, settled
from billing.reports.owners import statements
from billing.reports.reporter import Format
from billing.tenants.keys import KeyRole
from billing.web.deps import Web
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page
from billing.web.door import Page, Visitor
from billing.web.files import file_response
from billing.web.format import recent_months

router = APIRouter(include_in_schema=False)

OwnerVisitor = Annotated[Visitor, Depends(Page(KeyRole.OWNER))]
OVERVIEW: Final = Link("Overview", "/owner")
STATEMENTS: Final = Link("Statements", "/owner/statements")
MONTHS: Final = 25
PAYOUTS_SHOWN: Final = 200


@router.get("/owner")
def overview(web: Web, visitor: OwnerVisitor) -> Response:
    """What is owed, what is owned, and where it is paid to."""
    now = web.clock.now()
    slug = visitor.bearer.owner
    with web.database.transaction() as session:
        owner = owners.by_slug(session, slug)
        held = owners.shares(session, owner_id=owner.id)
        fees = owners.fees(session, owner.id)
        owed, exponents = settled.owed(session, slug), settled.exponents(session)
        paid_to = [one for one in payees.listed(session, owner_id=owner.id) if one.ended_at is None]
    context = {
        "owner": owner,
        "held": [(one, share_text(one.parts)) for one in held],
        "now": now,
        "owed": [(code, units, exponents[code]) for code, units in sorted(owed.items())],
        "fee": fee_at(fees, int(now.timestamp())),
        "fees": [(one.basis_points, at_second(one.since)) for one in fees],
        "payees": [(one, checksum(one.address), web.chains.get(one.chain_id)) for one in paid_to],
    }
    return page(web, visitor, "desk/owner_overview.html", Head("Overview"), context)


class MonthQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    month: str = Field(default="", pattern=r"^(\d{4}-\d{2})?$")


@router.get("/owner/statements")
def statement(web: Web, visitor: OwnerVisitor, query: Annotated[MonthQuery, Query()]) -> Response:
    """A month's statement by the day of booking: each GPU, the fee, what was paid out, and what is owed then."""
    months = recent_months(web.clock.now(), MONTHS)
    chosen = query.month or months[0]
    with web.database.transaction() as session:
        found = statements(session, visitor.bearer.owner, parse_month(chosen))
    context = {"months": [(one, one) for one in months], "month": chosen, "found": found}
    return page(web, visitor, "desk/owner_statements.html", Head("Statements", (OVERVIEW,)), context)


class FileQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    format: Format = Format.CSV


@router.get("/owner/statement-file")
def statement_file(web: Web, visitor: OwnerVisitor, request: Request, query: Annotated[FileQuery, Query()]) -> Response:
    """The same as a file."""
    period = parse_month(query.month)
    name = f"statement-{visitor.bearer.owner}-{query.month}.{query.format.value}"
    return file_response(
        request, name, lambda: web.reporter.owner_statement(visitor.bearer.owner, period, query.format)
    )


@router.get("/owner/payouts")
def payouts(web: Web, visitor: OwnerVisitor) -> Response:
    """What was paid out, the newest first."""
    slug, today = visitor.bearer.owner, web.clock.now().date()
    with web.database.transaction() as session:
        first = owners.by_slug(session, slug)
        found = settled.paid(session, first.slug, today - timedelta(days=31 * MONTHS), today + timedelta(days=1))
        exponents = settled.exponents(session)
    rows = [(one, exponents[one.currency]) for one in reversed(found)][:PAYOUTS_SHOWN]
    return page(web, visitor, "desk/owner_payouts.html", Head("Payouts", (OVERVIEW,)), {"rows": rows})
