"""Plans: the exact transactions that would bring money to the treasury, pay refunds back, and pay owners. Nothing is sent from
here; a plan comes as JSON, or as a file for Safe's Transaction Builder."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.chain.tokens import Listing as TokenListing
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.errors import Conflict, NotFound
from billing.core.money import parse_units
from billing.core.onchain import Address, checksum
from billing.owners.payout import PayoutPlan
from billing.treasury.planner import SweepPlan, Wish
from billing.treasury.repayer import RefundPlan
from billing.treasury.safe import builder_file, safe_file
from billing.treasury.sweep import Deposit
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Web, Wired
from billing.web.errors import PROBLEM_RESPONSES

router = APIRouter(prefix="/api/v1/plans", tags=["plans"], responses=PROBLEM_RESPONSES, route_class=Route)

ChainId = Annotated[int, Path(ge=1, lt=2**53, description="A configured chain's id")]
SAFE_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A file for Safe's Transaction Builder", "content": {"application/json": {}}}
}


class CallOut(BaseModel):
    """A transaction of the treasury: `to` is called with `data`. `amount_units` of `token` go to `payee`; `pays` says for what: an
    owner's name, or a refund's number."""

    to: str
    value: str
    data: str
    pays: str
    payee: str
    token: str
    amount_units: str


class LeftOut(BaseModel):
    """What is not paid, and why."""

    what: str
    reason: str


class PayPlanOut(BaseModel):
    """`treasury_lacks` are token units, by the books: sweep first."""

    chain_id: int
    transactions: list[CallOut]
    left_out: list[LeftOut]
    treasury_lacks: list["LackOut"]


class LackOut(BaseModel):
    token: str
    amount_units: str


class DepositOut(BaseModel):
    address: str
    token: str
    amount_units: str
    invoice: str | None


class FlushOut(BaseModel):
    """A transaction that anyone may send, or `sender` alone: it empties addresses into the treasury."""

    to: str
    value: str
    data: str
    gas_limit: int
    gas_limit_estimated: int | None
    sender: str
    treasury: str
    token: str
    amount_units: str
    deposits: list[DepositOut]


class SweepOut(BaseModel):
    """What final money lies on payment addresses. `cost_units` is in the native coin's smallest unit at the gas price of now.
    `by_hand` is moved by the holder of the HD key; the others stay: they are below the least that was wanted, cost more gas than
    they are worth, wait for a person, or are held. `different_on_chain` counts places that do not hold what the transfers say."""

    chain_id: int
    final_block: int
    gas_price: str
    cost_units: str
    transactions: list[FlushOut]
    by_hand: list[DepositOut]
    too_small: list[DepositOut]
    not_worth_the_gas: list[DepositOut]
    waits_for_a_person: list[DepositOut]
    held: list[DepositOut]
    different_on_chain: int
    unreadable: int


class SweepQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    minimum: str = Field(
        default="1", pattern=r"^\d{1,30}(\.\d{1,6})?$", description="Leave addresses that hold less of a token"
    )
    with_suspense: bool = Field(default=False, description="Also addresses whose money waits for a person")
    coin: bool = Field(default=False, description="Native coin too, where it is worth its gas")


class PayoutQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=40, description="The token's symbol; it pays at par")


@router.get("/sweep/{chain_id}", summary="What a sweep would bring to the treasury")
def sweep_plan(web: Web, caller: Staff, chain_id: ChainId, query: Annotated[SweepQuery, Query()]) -> SweepOut:
    """Asks the chain. 409 before anything is final there."""
    watcher, found = _swept(web, chain_id, query)
    return _sweep(watcher.chain, found)


@router.get("/sweep/{chain_id}/safe", summary="The sweep as a Safe file", response_class=Response, responses=SAFE_FILE)
def sweep_file(web: Web, caller: Staff, chain_id: ChainId, query: Annotated[SweepQuery, Query()]) -> Response:
    watcher, found = _swept(web, chain_id, query)
    if not found.batches:
        raise Conflict("nothing is worth flushing, so there is no file")
    if len({one.wallet.pin() for one in found.batches}) > 1:
        raise Conflict(
            "the plan is of several wallets, and a file is signed by one", remedy="stablemeter sweep plan --pin"
        )
    name = f"Sweep {watcher.chain.name}"
    return _file(safe_file(chain_id, found.batches, name, web.clock.now()), f"sweep-{chain_id}")


@router.get("/refunds/{chain_id}", summary="What would pay refunds back")
def refund_plan(web: Web, caller: Staff, chain_id: ChainId) -> PayPlanOut:
    """To confirmed payees only, who are on no sanctions list."""
    return _refunds(chain_id, _repaid(web, chain_id))


@router.get("/refunds/{chain_id}/safe", summary="Refunds as a Safe file", response_class=Response, responses=SAFE_FILE)
def refund_file(web: Web, caller: Staff, chain_id: ChainId) -> Response:
    found = _repaid(web, chain_id)
    about = ("Refunds", "Pays refunds to payees that two people confirmed. Check it: stablemeter treasury verify")
    calls = [(one.to, one.data) for one in found.payouts]
    return _paying(web, chain_id, about, calls, "refunds")


@router.get("/payouts/{chain_id}", summary="What would pay owners")
def payout_plan(web: Web, caller: Staff, chain_id: ChainId, query: Annotated[PayoutQuery, Query()]) -> PayPlanOut:
    """What is owed in the token's currency, at par, to confirmed addresses only, who are on no sanctions list."""
    return _payouts(chain_id, web.payer.plan(_token(web, chain_id, query.token)))


@router.get("/payouts/{chain_id}/safe", summary="Payouts as a Safe file", response_class=Response, responses=SAFE_FILE)
def payout_file(web: Web, caller: Staff, chain_id: ChainId, query: Annotated[PayoutQuery, Query()]) -> Response:
    found = web.payer.plan(_token(web, chain_id, query.token))
    about = ("Payout to owners", "Pays owners of GPUs. Check it: stablemeter treasury verify")
    return _paying(web, chain_id, about, [(found.token.address, one.data) for one in found.payouts], "payouts")


def _watcher(web: Wired, chain_id: int) -> Watcher:
    watcher = web.watchers().get(chain_id)
    if watcher is None:
        raise NotFound(f"no chain {chain_id} is configured", remedy="see [[chains]]")
    return watcher


def _token(web: Wired, chain_id: int, symbol: str) -> Token:
    for token in _watcher(web, chain_id).chain.tokens:
        if token.symbol == symbol and token.listing is TokenListing.ACCEPT:
            return token
    raise NotFound(f"chain {chain_id} has no token {symbol} that is accepted", remedy="see [[chains.tokens]]")


def _swept(web: Wired, chain_id: int, query: SweepQuery) -> tuple[Watcher, SweepPlan]:
    watcher = _watcher(web, chain_id)
    least = {token.address: parse_units(query.minimum, token.asset).units for token in watcher.chain.tokens}
    return watcher, web.planner.plan(watcher, Wish(least, with_suspense=query.with_suspense, coin=query.coin))


def _repaid(web: Wired, chain_id: int) -> RefundPlan:
    return web.repayer.plan(_watcher(web, chain_id), None)


def _paying(
    web: Wired, chain_id: int, about: tuple[str, str], calls: list[tuple[Address, bytes]], name: str
) -> Response:
    if not calls:
        raise Conflict("there is nobody to pay, so there is no file")
    return _file(builder_file(chain_id, web.treasury, about, calls, web.clock.now()), f"{name}-{chain_id}")


def _file(content: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
    return Response(content, 200, headers, "application/json")


def _refunds(chain_id: int, found: RefundPlan) -> PayPlanOut:
    left = [
        LeftOut(what=f"refund {number}", reason=f"{tenant or 'somebody unknown'} has no confirmed payee on this chain")
        for number, tenant, _, _ in found.homeless
    ]
    left += [LeftOut(what=f"refund {number}", reason=why) for number, why in found.refused]
    return PayPlanOut(
        chain_id=chain_id,
        transactions=[
            _call(one.to, one.data, (f"refund {one.refund}", one.payee, one.token, one.units)) for one in found.payouts
        ],
        left_out=left,
        treasury_lacks=[
            LackOut(token=checksum(token), amount_units=str(units)) for token, units in found.short.items()
        ],
    )


def _payouts(chain_id: int, found: PayoutPlan) -> PayPlanOut:
    token, lacks = found.token.address, found.units - found.held
    return PayPlanOut(
        chain_id=chain_id,
        transactions=[_call(token, one.data, (one.owner, one.to, token, one.units)) for one in found.payouts],
        left_out=[LeftOut(what=name, reason=why) for name, why in found.left_out],
        treasury_lacks=[LackOut(token=checksum(token), amount_units=str(lacks))] if found.payouts and lacks > 0 else [],
    )


def _call(to: Address, data: bytes, paid: tuple[str, Address, Address, int]) -> CallOut:
    pays, payee, token, units = paid
    return CallOut(
        to=checksum(to),
        value="0",
        data="0x" + data.hex(),
        pays=pays,
        payee=checksum(payee),
        token=checksum(token),
        amount_units=str(units),
    )


def _sweep(chain: Chain, found: SweepPlan) -> SweepOut:
    return SweepOut(
        chain_id=chain.chain_id,
        final_block=found.final,
        gas_price=str(found.gas_price),
        cost_units=str(found.cost),
        transactions=[
            FlushOut(
                to=checksum(one.to),
                value="0",
                data="0x" + one.data.hex(),
                gas_limit=limit,
                gas_limit_estimated=estimate,
                sender="anyone" if int(one.wallet.flusher, 16) == 0 else checksum(one.wallet.flusher),
                treasury=checksum(one.wallet.treasury),
                token=checksum(one.token),
                amount_units=str(one.units),
                deposits=_deposits(one.deposits),
            )
            for one, limit, estimate in zip(found.batches, found.limits, found.estimates, strict=True)
        ],
        by_hand=_deposits(found.by_hand),
        too_small=_deposits(found.small),
        not_worth_the_gas=_deposits(found.dear),
        waits_for_a_person=_deposits(found.suspended),
        held=_deposits(found.held),
        different_on_chain=len(found.different),
        unreadable=len(found.unread),
    )


def _deposits(found: Iterable[Deposit]) -> list[DepositOut]:
    return [
        DepositOut(
            address=checksum(one.address),
            token=checksum(one.token),
            amount_units=str(one.units),
            invoice=one.invoice or None,
        )
        for one in found
    ]
