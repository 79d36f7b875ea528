"""What processes count: when a job last ended well, and how endpoints failed."""

from collections.abc import Callable

import pytest

from billing.bootstrap.chains import failing
from billing.chain.node import Busy
from billing.chain.pool import Pool
from billing.core.clock import ManualClock
from billing.core.errors import Invalid, Unavailable, Untrusted
from billing.daemon import jobs
from billing.daemon.jobs import Runner
from billing.daemon.schedule import Job, RoleName
from billing.telemetry import metrics
from tests.chain.memory import MemoryChain, MemoryNode
from tests.factories import at


class Role:
    """Held, or not."""

    def __init__(self, held: bool) -> None:
        self.held = held

    def acquire(self, name: RoleName) -> bool:
        return self.held


def done_at(job: str) -> float:
    return float(metrics.JOB_DONE.labels(job)._value.get())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [1000.0]
    monkeypatch.setattr(jobs, "wall_clock", lambda: moment[0])
    return moment


def fails() -> bool:
    raise Unavailable("the source is away")


@pytest.mark.parametrize(
    ("name", "run", "held", "moves"),
    [
        ("works", lambda: False, True, True),
        ("fails", fails, True, False),
        ("stands by", fails, False, True),
    ],
)
def test_a_job_that_fails_grows_old_and_one_that_works_or_stands_by_does_not(
    clock: list[float], name: str, run: Callable[[], bool], held: bool, moves: bool
) -> None:
    job = Job(name, RoleName.COLLECTOR, 60, run)
    runner = Runner([job], Role(held))  # type: ignore[arg-type]
    metrics.JOB_DONE.labels(name).set(clock[0])
    clock[0] += 500
    runner.tick(job)
    assert done_at(name) == (1500 if moves else 1000)


def away() -> MemoryNode:
    """An endpoint as the pool shows it: without the part of its URL that holds keys."""
    node = MemoryNode(MemoryChain())
    node.url = "https://rpc.example:8545"
    return node


def failures(kind: str) -> float:
    return float(metrics.ENDPOINT_FAILURES.labels("counted", "rpc.example:8545", kind)._value.get())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("away"), "unavailable"),
        (Untrusted("it contradicts itself"), "untrusted"),
        (Busy("too many", rest_seconds=1), "busy"),
    ],
)
def test_every_failure_of_an_endpoint_is_counted_by_kind_under_its_host(
    error: Unavailable | Untrusted, kind: str
) -> None:
    pool = Pool([away()], ManualClock(at(0)), failing("counted"))
    before = failures(kind)

    def ask(one: object) -> None:
        raise error

    for _ in range(3):
        with pytest.raises((Unavailable, Untrusted)):
            pool.ask(ask)
    assert failures(kind) - before >= 1 if kind == "busy" else failures(kind) - before == 3


def test_bad_requests_of_ours_are_no_failures_of_the_endpoint() -> None:
    pool = Pool([away()], ManualClock(at(0)), failing("counted"))
    before = failures("unavailable")

    def ask(one: object) -> None:
        raise Invalid("ours")

    with pytest.raises(Invalid):
        pool.ask(ask)
    assert failures("unavailable") == before
