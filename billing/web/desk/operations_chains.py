"""Chains that are followed, their endpoints, what is watched there, and the jobs of the daemon."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from billing.audit import store as audit
from billing.chain.pool import Endpoint
from billing.chain.store import followed
from billing.chain.watcher import Chain
from billing.core.errors import NotFound, StablemeterError
from billing.core.onchain import checksum
from billing.telemetry.tally import tallied
from billing.wallets import store as wallets
from billing.wallets.wallet import ForwarderWallet
from billing.web.deps import Web, Wired
from billing.web.desk.nav import Link
from billing.web.desk.operations_query import HOME, Operator, Reader, took
from billing.web.desk.shell import Head, page

router = APIRouter(include_in_schema=False)

CHAINS: Final = Link("Chains", "/operations/chains")
CALLS: Final = "stablemeter_rpc_calls_total"
FAILURES: Final = "stablemeter_rpc_failures_total"
DISAGREES_AFTER: Final = 3
"""Blocks that heads of two endpoints may lie apart: they are asked one after the other."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one endpoint said just now. `same` is whether it has the block that was followed last, with the same hash."""

    url: str
    head: int | None
    mined_at: datetime | None
    same: bool | None
    error: str = ""


@router.get("/operations/chains")
def show_chains(web: Web, visitor: Reader) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        found = followed.chains(session, now)
        tokens = followed.tokens(session)
        generations = wallets.generations(session)
        counts = wallets.counts(session)
    known = {one["chain_id"] for one in found}
    context = {
        "chains": [_chain(web, one, now) for one in found], "took": took, "tokens": tokens,
        "unseen": [one for one in web.chains.values() if one.chain_id not in known],
        "generations": [_generation(one, counts.get(one.id, {}), web.accepted_pin) for one in generations],
        "watched": sum(sum(one.values()) for one in counts.values()), "asks": visitor.role == "operator",
    }  # fmt: skip
    return page(web, visitor, "desk/operations_chains.html", Head("Chains", (HOME,)), context)


def _chain(web: Wired, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    configured = web.chains.get(row["chain_id"])
    stall = configured.stall_seconds if configured else 3_600
    return {
        **row, "configured": configured is not None,
        "behind": row["age_seconds"] // (configured.block_seconds if configured else 1),
        "late": configured is not None and is_late(configured, row["age_seconds"]),
        "stalled": min(row["final_age_seconds"], row["confirmed_age_seconds"]) >= 0
        and max(row["final_age_seconds"], row["confirmed_age_seconds"]) > stall,
        "counting": configured.finality.rule_of("counting") if configured else "",
        "final": configured.finality.rule_of("final") if configured else "",
        "bands": [f"up to {one.up_to:f} at {one.confirmed_by}" for one in configured.finality.bands] if configured else [],
        "endpoints": _endpoints(web, row["chain_id"], row["name"], now) if configured else [],
    }  # fmt: skip


def is_late(chain: Chain, age_seconds: int) -> bool:
    """Whether the block that was read last is older than it should be: by 30 blocks, and a minute."""
    return age_seconds > max(60, 30 * chain.block_seconds)


def _endpoints(web: Wired, chain_id: int, name: str, now: datetime) -> list[dict[str, Any]]:
    """What is known of each without asking it: counted since the daemon started, and how the pool of this process sees it."""
    counted = tallied(CALLS, FAILURES)
    found = []
    for endpoint in web.watchers()[chain_id].pool.endpoints:
        mine = [
            (labels, n)
            for labels, n in counted[CALLS]
            if labels["chain"] == name and labels["endpoint"] == endpoint.node.url
        ]
        rounds = [
            n for labels, n in counted[FAILURES] if (labels["chain"], labels["endpoint"]) == (name, endpoint.node.url)
        ]
        outcomes: dict[str, int] = {}
        for labels, n in mine:
            outcomes[labels["outcome"]] = outcomes.get(labels["outcome"], 0) + n
        calls, good = sum(outcomes.values()), outcomes.pop("ok", 0) + outcomes.pop("reverted", 0)
        found.append({
            "url": endpoint.node.url, "calls": calls, "good": good, "bad": {k: n for k, n in outcomes.items() if n},
            "failures": sum(rounds), "rests": _rests(endpoint, now), "error": endpoint.last_error,
        })  # fmt: skip
    return found


def _rests(endpoint: Endpoint, now: datetime) -> bool:
    return endpoint.rests_until is not None and endpoint.rests_until > now


def _generation(one: Any, counts: dict[str, int], pin: str) -> dict[str, Any]:
    wallet = one.wallet
    into = f"{checksum(wallet.treasury)} ({wallet.treasury_kind.value})" if isinstance(wallet, ForwarderWallet) else ""
    return {"id": one.id, "pin": wallet.pin(), "into": into, "counts": counts, "now": wallet.pin() == pin}


@router.post("/operations/chains/{chain}/ask")
def ask(web: Web, visitor: Operator, chain: Annotated[int, Path(ge=1, lt=2**63)]) -> Response:
    """Ask every endpoint of a chain for its newest block, and for the block that was followed last: its head, and whether they
    agree. Changes nothing."""
    if chain not in web.chains:
        raise NotFound(f"chain {chain} is not configured")
    with web.database.transaction() as session:
        row = next((one for one in followed.chains(session, web.clock.now()) if one["chain_id"] == chain), None)
    answers = [_answer(one, row) for one in web.watchers()[chain].pool.endpoints]
    heads = [one.head for one in answers if one.head is not None]
    context = {
        "chain": web.chains[chain], "row": row, "answers": answers, "best": max(heads, default=None),
        "apart": max(heads) - min(heads) if heads else 0, "allowed": DISAGREES_AFTER, "now": web.clock.now(), "took": took,
    }  # fmt: skip
    return page(
        web,
        visitor,
        "desk/operations_endpoints.html",
        Head(f"Endpoints of {web.chains[chain].name}", (HOME, CHAINS)),
        context,
    )


def _answer(endpoint: Endpoint, row: dict[str, Any] | None) -> Answer:
    url = endpoint.node.url
    try:
        head = endpoint.node.block("latest")
        there = endpoint.node.block(row["cursor_number"]) if row is not None else None
    except StablemeterError as error:
        return Answer(url, None, None, None, error.what)
    if head is None:
        return Answer(url, None, None, None, "it knows no newest block")
    same = None if row is None or there is None else there.hash == row["cursor_hash"]
    return Answer(url, head.number, head.mined_at, same)


JOB_RUNS: Final = "stablemeter_job_runs_total"
JOB_COUNT: Final = "stablemeter_job_seconds_count"
JOB_SUM: Final = "stablemeter_job_seconds_sum"


def jobs() -> list[dict[str, Any]]:
    """Every job that ran since the daemon started, as its counters tell; nothing when this process is not part of it."""
    found: dict[str, dict[str, Any]] = {}
    counted = tallied(JOB_RUNS, JOB_COUNT, JOB_SUM)
    for labels, n in counted[JOB_RUNS]:
        one = found.setdefault(labels["job"], {"name": labels["job"], "done": 0, "failed": 0, "bug": 0, "seconds": 0})
        one[labels["outcome"]] = n
    for labels, n in counted[JOB_SUM]:
        if labels["job"] in found:
            found[labels["job"]]["seconds"] = n
    return [found[name] for name in sorted(found)]


@router.get("/operations/jobs")
def show_jobs(web: Web, visitor: Reader) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        traces, holders = audit.traces(session), audit.holders(session)
    context = {"jobs": jobs(), "traces": traces, "holders": holders, "now": now, "took": took}
    return page(web, visitor, "desk/operations_jobs.html", Head("Jobs", (HOME,)), context)
