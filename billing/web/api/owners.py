"""Owners of GPUs: who they are, what they are owed, their statements, and where they are paid."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid
from billing.core.money import decimal_text
from billing.core.onchain import checksum, parse_address, parse_hash
from billing.core.period import parse_month, rfc3339
from billing.db.engine import Session
from billing.owners import store
from billing.owners.payer import Payer
from billing.owners.payout import Payee
from billing.owners.registrar import OwnerRegistrar
from billing.owners.share import BASIS_POINTS, Owner
from billing.owners.store import payees, settled
from billing.reports.owners import Statement, statements
from billing.reports.reporter import Format
from billing.web.auth import Finance, Operator, Staff, StaffOrOwner
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.files import TYPES, file_response
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Name, Slug, Text

router = APIRouter(prefix="/api/v1/owners", tags=["owners"], responses=PROBLEM_RESPONSES, route_class=Route)


class OwedOut(BaseModel):
    currency: str
    amount: str


class OwnerOut(BaseModel):
    """`owed` is by the ledger, now."""

    slug: str
    name: str
    legal_name: str
    country: str
    email: str
    owed: list[OwedOut]


class GpuEarnedOut(BaseModel):
    gpu: str
    host: str
    collected: str
    fee: str
    net: str


class PayoutOut(BaseModel):
    """One that its chain took back is there again, with the sign turned."""

    booked_on: str
    amount: str
    tx_hash: str


class CurrencyOut(BaseModel):
    """`brought_forward` + `net` - `paid_out` is `balance`: what is owed at the end of the month."""

    currency: str
    brought_forward: str
    collected: str
    fee: str
    net: str
    paid_out: str
    balance: str
    gpus: list[GpuEarnedOut]
    payouts: list[PayoutOut]


class StatementOut(BaseModel):
    """What was booked for an owner in a month: collected money, not invoiced money."""

    owner: str
    period: str
    currencies: list[CurrencyOut]


class PayeeOut(BaseModel):
    """It counts from `confirmed_at` until `ended_at`."""

    chain_id: int
    address: str
    proposed_by: str
    proposed_at: str
    confirmed_by: str | None
    confirmed_at: str | None
    ended_at: str | None


class PayeeIn(BaseModel):
    """Where an owner is paid on a chain. Who confirms gets it from the owner anew, and is not who proposed it."""

    model_config = ConfigDict(extra="forbid")

    chain_id: int = Field(ge=1, le=2**53 - 1)
    address: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    reason: Name


class StatementFormat(StrEnum):
    PDF = "pdf"
    CSV = "csv"
    XLSX = "xlsx"


STATEMENT_TYPES = [TYPES[one] for one in StatementFormat]


class StatementQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    period: str = Field(max_length=7, description="A month, like 2026-10")


@router.get("", summary="List owners")
def list_owners(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[OwnerOut]:
    with web.database.transaction() as session:
        exponents = settled.exponents(session)
        found = store.listed(session, after_id=query.after("owners"), limit=query.limit + 1)
        page = sliced("owners", [(owner.id, owner) for owner in found], query.limit)
        items = [
            OwnerOut(
                slug=owner.slug,
                name=owner.name,
                legal_name=owner.legal_name,
                country=owner.country,
                email=owner.email,
                owed=[
                    OwedOut(currency=currency, amount=decimal_text(units, exponents[currency]))
                    for currency, units in settled.owed(session, owner.slug).items()
                ],
            )
            for owner in page.rows
        ]
    return Listing(items=items, next_cursor=page.next_cursor)


class NewOwner(BaseModel):
    """`fee_basis_points` is what the operator keeps of what its GPUs earn: 250 is 2.5 %."""

    model_config = ConfigDict(extra="forbid")

    slug: Slug
    name: Name
    legal_name: Text = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    email: Text = ""
    fee_basis_points: int = Field(default=0, ge=0, le=BASIS_POINTS)


class OwnerPaid(BaseModel):
    """The transaction in which the treasury paid an owner."""

    model_config = ConfigDict(extra="forbid")

    tx_hash: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
    reason: Name


class PaidOut(BaseModel):
    """How much was booked as paid out."""

    paid: str


@router.post("", summary="Add an owner", status_code=201, response_model=OwnerOut)
def add_owner(web: Web, caller: Operator, body: NewOwner, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        owner = Owner(body.slug, body.name, body.legal_name, body.country, body.email)
        OwnerRegistrar(joined, web.clock).add(owner, fee_basis_points=body.fee_basis_points, actor=caller.actor)
        told = {one: getattr(owner, one) for one in ("slug", "name", "legal_name", "country", "email")}
        return Answer(201, OwnerOut(**told, owed=[]))

    return once(web, caller, key, Request("POST", "/api/v1/owners", body), write)


@router.post("/{slug}/paid", summary="Mark what the treasury sent to an owner as paid out", response_model=PaidOut)
def owner_paid(
    web: Web, caller: Finance, slug: Annotated[Slug, Path()], body: OwnerPaid, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        payer = Payer(joined, web.clock, web.screen)
        done = payer.paid(slug, parse_hash(body.tx_hash), reason=body.reason, actor=caller.actor)
        return Answer(200, PaidOut(paid=done))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/paid", body), write)


@router.get("/{slug}/statement", summary="An owner's statement of a month")
def owner_statement(
    web: Web, caller: StaffOrOwner, slug: Annotated[Slug, Path()], query: Annotated[StatementQuery, Query()]
) -> StatementOut:
    caller.require_owner(slug)
    with web.database.transaction() as session:
        found = statements(session, slug, parse_month(query.period))
    return StatementOut(owner=slug, period=query.period, currencies=[_currency(one) for one in found])


@router.get(
    "/{slug}/statement.{format}",
    summary="An owner's statement of a month as a file",
    response_class=Response,
    responses={200: {"description": "The file", "content": {kind.partition(";")[0]: {} for kind in STATEMENT_TYPES}}},
)
def owner_statement_file(
    web: Web,
    caller: StaffOrOwner,
    slug: Annotated[Slug, Path()],
    file_format: Annotated[StatementFormat, Path(alias="format")],
    query: Annotated[StatementQuery, Query()],
    request: HttpRequest,
) -> Response:
    """As PDF it is for the owner; its figures are attached to it."""
    caller.require_owner(slug)
    period = parse_month(query.period)

    def make() -> Iterator[bytes]:
        if file_format is StatementFormat.PDF:
            return iter([web.owner_printer.pdf(slug, period)])
        return web.reporter.owner_statement(slug, period, Format(file_format.value))

    return file_response(request, f"owner-statement-{slug}-{query.period}.{file_format}", make)


@router.get("/{slug}/payees", summary="Where an owner is paid, and was")
def list_payees(
    web: Web, caller: Staff, slug: Annotated[Slug, Path()], query: Annotated[PageQuery, Query()]
) -> Listing[PayeeOut]:
    after = query.after("payees")
    with web.database.transaction() as session:
        found = payees.listed(session, owner_id=store.by_slug(session, slug).id)
    page = sliced("payees", [(one.id, one) for one in found if one.id > after][: query.limit + 1], query.limit)
    return Listing(items=[_payee(one) for one in page.rows], next_cursor=page.next_cursor)


@router.post("/{slug}/payees", summary="Propose where an owner is paid", status_code=201, response_model=PayeeOut)
def propose_payee(
    web: Web, caller: Finance, slug: Annotated[Slug, Path()], body: PayeeIn, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        place = parse_address(body.address)
        Payer(joined, web.clock, web.screen).propose(
            slug, _chain(web, body), place, reason=body.reason, actor=caller.actor
        )
        return Answer(201, _newest(session, slug))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/payees", body), write)


@router.post("/{slug}/confirm-payee", summary="Confirm where an owner is paid", response_model=PayeeOut)
def confirm_payee(
    web: Web, caller: Finance, slug: Annotated[Slug, Path()], body: PayeeIn, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        place = parse_address(body.address)
        Payer(joined, web.clock, web.screen).confirm(
            slug, _chain(web, body), place, reason=body.reason, actor=caller.actor
        )
        return Answer(200, _newest(session, slug))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/confirm-payee", body), write)


def _chain(web: Wired, body: PayeeIn) -> int:
    if body.chain_id not in web.chains:
        raise Invalid(f"chain {body.chain_id} is not configured", remedy="see [[chains]]")
    return body.chain_id


def _newest(session: Session, slug: str) -> PayeeOut:
    return _payee(payees.listed(session, owner_id=store.by_slug(session, slug).id)[-1])


def _payee(one: Payee) -> PayeeOut:
    return PayeeOut(
        chain_id=one.chain_id,
        address=checksum(one.address),
        proposed_by=one.proposed_by,
        proposed_at=rfc3339(one.proposed_at),
        confirmed_by=one.confirmed_by or None,
        confirmed_at=None if one.confirmed_at is None else rfc3339(one.confirmed_at),
        ended_at=None if one.ended_at is None else rfc3339(one.ended_at),
    )


def _currency(one: Statement) -> CurrencyOut:
    total = one.total
    return CurrencyOut(
        currency=one.currency,
        brought_forward=one.text(one.before),
        collected=one.text(total.collected),
        fee=one.text(total.fee),
        net=one.text(total.net),
        paid_out=one.text(one.paid_out),
        balance=one.text(one.owed),
        gpus=[
            GpuEarnedOut(
                gpu=gpu.uuid,
                host=gpu.host,
                collected=one.text(gpu.part.collected),
                fee=one.text(gpu.part.fee),
                net=one.text(gpu.part.net),
            )
            for gpu in one.gpus
        ],
        payouts=[
            PayoutOut(booked_on=paid.booked_on.isoformat(), amount=one.text(paid.units), tx_hash=paid.tx_hash)
            for paid in one.payouts
        ],
    )
