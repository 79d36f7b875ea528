"""Owners of GPUs: who they are, what they are owed, and their statements."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from billing.core.money import decimal_text
from billing.core.period import parse_month
from billing.owners import store
from billing.owners.store import settled
from billing.reports.owners import Statement, statements
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.schemas import Slug

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


@router.get("/{slug}/statement", summary="An owner's statement of a month")
def owner_statement(
    web: Web, caller: Staff, slug: Annotated[Slug, Path()], query: Annotated[StatementQuery, Query()]
) -> StatementOut:
    with web.database.transaction() as session:
        found = statements(session, slug, parse_month(query.period))
    return StatementOut(owner=slug, period=query.period, currencies=[_currency(one) for one in found])


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
