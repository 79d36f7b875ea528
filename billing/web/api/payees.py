"""Payees and refunds: who may be paid where, which takes two people, and what is owed back."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.onchain import Address, checksum, parse_hash
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.reconciliation.refunder import Refunder
from billing.reconciliation.store import refunds
from billing.treasury.cashier import Cashier
from billing.treasury.payee import Payee, PayeeState
from billing.treasury.repayer import Repayer
from billing.treasury.store import payees
from billing.web.auth import Desk, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Name, Slug, Text

router = APIRouter(prefix="/api/v1/payees", tags=["payees"], responses=PROBLEM_RESPONSES, route_class=Route)
owed = APIRouter(prefix="/api/v1/refunds", tags=["refunds"], responses=PROBLEM_RESPONSES, route_class=Route)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


class PayeeOut(BaseModel):
    """An address counts once `state` is `confirmed`: by somebody else than who proposed it."""

    id: int
    tenant: str
    chain_id: int
    address: str
    state: PayeeState
    reason: str
    proposed_by: str
    proposed_at: str
    confirmed_by: str | None
    confirmed_at: str | None
    revoked_by: str | None
    revoked_at: str | None


class NewPayee(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant: Slug
    chain_id: int = Field(ge=1, lt=2**53)
    address: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
    reason: Name


class Because(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Name


class PayeeQuery(PageQuery):
    revoked: bool = Field(default=False, description="Revoked ones too")


@router.get("", summary="List payees")
def list_payees(web: Web, caller: Staff, query: Annotated[PayeeQuery, Query()]) -> Listing[PayeeOut]:
    with web.database.transaction() as session:
        found = payees.listed(session, everything=query.revoked, after_id=query.after("payees"), limit=query.limit + 1)
    page = sliced("payees", [(one.id, one) for one in found], query.limit)
    return Listing(items=[_out(one) for one in page.rows], next_cursor=page.next_cursor)


@router.post("", summary="Propose a payee", status_code=201, response_model=PayeeOut)
def propose_payee(web: Web, caller: Desk, body: NewPayee, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        cashier = _cashier(web, joined)
        made = cashier.propose(body.tenant, body.chain_id, body.address, reason=body.reason, actor=caller.actor)
        return Answer(201, _out(made))

    return once(web, caller, key, Request("POST", "/api/v1/payees", body), write)


@router.post("/{payee}/confirm", summary="Confirm a payee that somebody else proposed", response_model=PayeeOut)
def confirm_payee(web: Web, caller: Desk, payee: Id, body: Because, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        return Answer(200, _out(_cashier(web, joined).confirm(payee, reason=body.reason, actor=caller.actor)))

    return once(web, caller, key, Request("POST", f"/api/v1/payees/{payee}/confirm", body), write)


@router.post("/{payee}/revoke", summary="Plan nothing to a payee any more", response_model=PayeeOut)
def revoke_payee(web: Web, caller: Desk, payee: Id, body: Because, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        return Answer(200, _out(_cashier(web, joined).revoke(payee, reason=body.reason, actor=caller.actor)))

    return once(web, caller, key, Request("POST", f"/api/v1/payees/{payee}/revoke", body), write)


def _cashier(web: Wired, joined: Joined) -> Cashier:
    return Cashier(joined, web.clock, frozenset(web.chains), web.screen)


def _out(one: Payee) -> PayeeOut:
    return PayeeOut(
        id=one.id,
        tenant=one.tenant,
        chain_id=one.chain_id,
        address=checksum(one.address),
        state=one.state,
        reason=one.reason,
        proposed_by=one.proposed_by,
        proposed_at=rfc3339(one.proposed_at),
        confirmed_by=one.confirmed_by,
        confirmed_at=None if one.confirmed_at is None else rfc3339(one.confirmed_at),
        revoked_by=one.revoked_by,
        revoked_at=None if one.revoked_at is None else rfc3339(one.revoked_at),
    )


class RefundOut(BaseModel):
    """`state` is `owed`, `paid` (in the transaction `paid_in`) or `gone`: the chain took the money itself back. `came_in` is the
    transaction that the money came in with."""

    id: int
    tenant: str | None
    invoice: str | None
    chain_id: int
    token: str
    token_address: str
    amount_units: str
    state: str
    reason: str
    decided_by: str
    created_at: str
    came_in: str
    paid_in: str | None
    paid_at: str | None


class RefundQuery(PageQuery):
    state: Annotated[str, Field(pattern="^(owed|paid|gone|all)$")] = "owed"


@owed.get("", summary="List refunds")
def list_refunds(web: Web, caller: Staff, query: Annotated[RefundQuery, Query()]) -> Listing[RefundOut]:
    state = None if query.state == "all" else query.state
    with web.database.transaction() as session:
        rows = refunds.listed(session, state=state, after_id=query.after("refunds"), limit=query.limit + 1)
    page = sliced("refunds", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[_refund(web, row) for row in page.rows], next_cursor=page.next_cursor)


class Paid(BaseModel):
    """The treasury's transaction that paid a refund: final, to a confirmed payee, exactly what is owed."""

    model_config = ConfigDict(extra="forbid")

    tx_hash: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
    reason: Text = ""


class BookedOut(BaseModel):
    """`booked` says in words what was booked."""

    booked: str


class NewRefund(BaseModel):
    """So much of a tenant's credit, in the invoices' currency, is owed back in the tokens that it came in."""

    model_config = ConfigDict(extra="forbid")

    tenant: Slug
    amount: Annotated[str, Field(pattern=r"^[0-9]{1,30}(\.[0-9]{1,18})?$")]
    reason: Name


@owed.post("", summary="Owe credit back", status_code=201, response_model=BookedOut)
def owe_credit(web: Web, caller: Desk, body: NewRefund, key: IdempotencyKey = None) -> Response:
    """It cannot be used on invoices any more."""

    def write(joined: Joined, session: Session) -> Answer:
        done = Refunder(joined, web.clock).owe_credit(body.tenant, body.amount, reason=body.reason, actor=caller.actor)
        return Answer(201, BookedOut(booked=done))

    return once(web, caller, key, Request("POST", "/api/v1/refunds", body), write)


@owed.post("/{refund}/paid", summary="Link what paid a refund", response_model=BookedOut)
def refund_paid(web: Web, caller: Desk, refund: Id, body: Paid, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        repayer = Repayer(joined, web.clock, web.screen)
        done = repayer.paid(refund, parse_hash(body.tx_hash), reason=body.reason, actor=caller.actor)
        return Answer(200, BookedOut(booked=done))

    return once(web, caller, key, Request("POST", f"/api/v1/refunds/{refund}/paid", body), write)


def _refund(web: Wired, row: dict[str, Any]) -> RefundOut:
    symbol, _ = web.tokens.get((row["chain_id"], row["token_address"]), ("", 0))
    times = {name: None if row[name] is None else rfc3339(row[name]) for name in ("created_at", "paid_at")}
    shown = {
        "token": symbol,
        "token_address": checksum(Address(row["token_address"])),
        "amount_units": str(row["units"]),
    }
    return RefundOut.model_validate({**row, **times, **shown})
