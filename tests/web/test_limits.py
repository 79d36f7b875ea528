"""How often one caller may ask."""

import asyncio

import httpx
import pytest

from billing.bootstrap import App
from billing.web import limits
from billing.web.app import create_app
from billing.web.limits import Limiter

SOMEBODY, ANOTHER = "203.0.113.7", "203.0.113.8"


def allowed(limiter: Limiter, address: str, now: float, asks: int = 1000) -> int:
    return [limiter.wait(address, now) for _ in range(asks)].count(0)


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    limiter = Limiter()
    assert allowed(limiter, SOMEBODY, 5.0) == limits.BURST
    assert limiter.wait(SOMEBODY, 5.0) >= 1
    assert allowed(limiter, SOMEBODY, 6.001) == limits.PER_SECOND, "what was refused does not count"
    assert allowed(limiter, SOMEBODY, 1000.0) == limits.BURST


def test_callers_do_not_count_for_each_other() -> None:
    limiter = Limiter()
    allowed(limiter, SOMEBODY, 0.0)
    assert limiter.wait(ANOTHER, 0.0) == 0
    assert limiter.wait(f"::ffff:{SOMEBODY}", 0.0) > 0, "the same address, written otherwise"


def test_a_network_of_ipv6_is_one_caller() -> None:
    limiter = Limiter()
    allowed(limiter, "2001:db8:1:2::1", 0.0)
    assert limiter.wait("2001:db8:1:2:ffff::9", 0.0) > 0
    assert limiter.wait("2001:db8:1:3::1", 0.0) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "", "a socket's path"])
def test_this_machine_is_not_limited(address: str) -> None:
    assert allowed(Limiter(), address, 0.0) == 1000


def test_only_so_many_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLERS_MAX", 3)
    limiter = Limiter()
    for number in range(1, 10):
        limiter.wait(f"203.0.113.{number}", 0.0)
    assert len(limiter._due) == 3


def test_too_many_requests_are_a_problem_for_programs_and_a_page_for_people(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BURST", 2)
    monkeypatch.setattr(limits, "PER_SECOND", 0.001)

    async def go() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(app), client=(SOMEBODY, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
            return [await one.get(path) for path in ("/healthz", "/healthz", "/api/v1/tenants", "/pay/" + "x" * 43)]

    *fine, problem, page = asyncio.run(go())
    assert [one.status_code for one in fine] == [200, 200]
    assert problem.status_code == page.status_code == 429 and int(problem.headers["Retry-After"]) >= 1
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert "default-src 'none'" in problem.headers["Content-Security-Policy"]
    assert page.headers["Content-Type"].startswith("text/html") and "Load it again in a few seconds" in page.text
