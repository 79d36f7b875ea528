"""The books: the trial balance, the reconciliation of a month row by row, and whether everything adds up."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.audit.auditor import AuditResult
from billing.core.errors import NotFound
from billing.core.money import decimal_text
from billing.core.period import parse_month, rfc3339
from billing.db.engine import Session
from billing.ledger import store as ledger
from billing.reports.rows import ReconciliationRow
from billing.trail import store as trail
from billing.web.auth import Desk, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once

router = APIRouter(prefix="/api/v1", tags=["books"], responses=PROBLEM_RESPONSES, route_class=Route)

CURRENCY_EXPONENT = 2
"""Of a currency that no invoice was ever in."""


class BalanceOut(BaseModel):
    """An account and asset. `balance` is debits less credits, as decimal text; `balance_units` in the asset's smallest unit. Per
    asset the balances of all accounts sum to zero."""

    account: str
    asset: str
    debits: str
    credits: str
    balance: str
    balance_units: str


class ReconciliationOut(BaseModel):
    """An invoice and a payment; without one of them where it has none. Columns as in the file of the same name."""

    invoice: str
    tenant: str
    period: str
    currency: str
    amount_due: str
    invoice_status: str
    token: str
    chain_id: int | None
    chain: str
    amount_units: str
    amount: str
    value: str
    applied: str
    credited: str
    written_off: str
    difference: str
    kind: str
    disposition: str
    status: str
    confirmations: int | None
    tx_hash: str
    log_index: int | None
    block: int | None
    block_hash: str
    time: str | None
    sender: str = Field(alias="from")
    receiver: str = Field(alias="to")
    rate: str
    rate_source: str
    ledger_entry: str
    address: str
    tenant_name: str


class ReconciliationQuery(PageQuery):
    period: str = Field(max_length=7, description="A month, like 2026-10")


class FindingOut(BaseModel):
    check: str
    subject: str
    detail: str


class AuditOut(BaseModel):
    """`skipped` could not be checked, and says why. The books are right when both lists are empty."""

    checked: list[str]
    skipped: list[str]
    findings: list[FindingOut]


class LastAuditOut(BaseModel):
    """The newest run, whoever asked for it. `findings` are the first hundred of `count`."""

    at: str
    actor: str
    checked: int
    skipped: list[str]
    findings: list[str]
    count: int


class NewAudit(BaseModel):
    """With `chains`, balances on chains are compared too, which takes longer."""

    model_config = ConfigDict(extra="forbid")

    chains: bool = False


@router.get("/ledger/trial-balance", summary="Every account with its balance")
def list_balances(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[BalanceOut]:
    after = query.after("balances")
    with web.database.transaction() as session:
        found = ledger.trial_balance(session)
        exponents = web.reporter.exponents(session)
    page = sliced("balances", list(enumerate(found, 1))[after : after + query.limit + 1], query.limit)
    items = []
    for one in page.rows:
        exponent = exponents.get(one.asset, CURRENCY_EXPONENT)
        items.append(
            BalanceOut(
                account=one.account,
                asset=one.asset,
                debits=decimal_text(one.debits, exponent),
                credits=decimal_text(one.credits, exponent),
                balance=decimal_text(one.units, exponent),
                balance_units=str(one.units),
            )
        )
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/reconciliation", summary="A month's invoices and payments, row by row")
def list_reconciliation(
    web: Web, caller: Staff, query: Annotated[ReconciliationQuery, Query()]
) -> Listing[ReconciliationOut]:
    """As things are now. As a file, and as it was at the close: /api/v1/reports/reconciliation."""
    after, period = query.after("reconciliation"), parse_month(query.period)
    rows = web.reporter.reconciliation_rows(period)
    page = sliced("reconciliation", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[_row(one) for one in page.rows], next_cursor=page.next_cursor)


@router.get("/audit", summary="What the newest audit found")
def get_audit(web: Web, caller: Staff) -> LastAuditOut:
    """The daemon audits every day. 404 before the first."""
    with web.database.transaction() as session:
        found = trail.newest(session, "audit")
    if found is None:
        raise NotFound("nothing was audited yet", remedy="stablemeter audit")
    return LastAuditOut(
        at=rfc3339(found.at),
        actor=found.actor,
        checked=found.details["checked"],
        skipped=found.details["skipped"],
        findings=found.details["findings"],
        count=found.details["count"],
    )


@router.post("/audit", summary="Check every invariant now", response_model=AuditOut)
def run_audit(web: Web, caller: Desk, body: NewAudit, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        # It reads in transactions of its own: what it tells is what everybody sees.
        return Answer(200, _audited(web.auditor.run(chains=body.chains, actor=caller.actor)))

    return once(web, caller, key, Request("POST", "/api/v1/audit", body), write)


def _audited(one: AuditResult) -> AuditOut:
    return AuditOut(
        checked=one.checked,
        skipped=one.skipped,
        findings=[FindingOut(check=each.check, subject=each.subject, detail=each.detail) for each in one.findings],
    )


def _row(one: ReconciliationRow) -> ReconciliationOut:
    told = {name: getattr(one, name) for name in ReconciliationRow.__dataclass_fields__}
    time = None if one.time is None else rfc3339(one.time)
    return ReconciliationOut.model_validate({**told, "from": one.sender, "to": one.receiver, "time": time})
