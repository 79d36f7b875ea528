"""Open pages hear of changes; however many they are, they hold nothing while they wait."""

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from billing.bootstrap import App
from billing.core.errors import Unavailable
from billing.web import limits, shield, streams
from billing.web.app import create_app
from billing.web.streams import Streams
from tests.web.client import Client
from tests.web.scene import Scene
from tests.web.serving import served

SOMEBODY, ANOTHER = "203.0.113.7", "203.0.113.8"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.01)


class Book:
    """Versions that a test writes down."""

    def __init__(self) -> None:
        self.versions = {"a": "1", "b": "1"}
        self.asked: list[set[str]] = []
        self.away = False

    def __call__(self, tokens: Collection[str]) -> dict[str, str]:
        self.asked.append(set(tokens))
        if self.away:
            raise Unavailable("the database cannot be reached")
        return {token: version for token, version in self.versions.items() if token in tokens}


def test_each_listener_hears_of_its_own_page_once_a_change() -> None:
    book = Book()

    async def go() -> None:
        hub = Streams(book)
        one, other = hub.follow("a", SOMEBODY, "1"), hub.follow("b", SOMEBODY, "0")
        assert await anext(one) == await anext(other) == b"retry: 2000\n\n"
        assert await anext(other) == b"data: 1\n\n", "it was old when it came"
        book.versions["a"] = "2"
        assert await anext(one) == b"data: 2\n\n"
        book.away = True
        await asyncio.sleep(0.05)
        book.away = False
        book.versions["a"] = "3"
        assert await anext(one) == b"data: 3\n\n", "a database that was away for a moment ends nothing"
        await one.aclose()
        await other.aclose()

    asyncio.run(go())
    assert {"a", "b"} in book.asked


def test_nobody_is_asked_while_nobody_listens() -> None:
    book = Book()

    async def go() -> None:
        hub = Streams(book)
        stream = hub.follow("a", SOMEBODY, "0")
        await anext(stream)
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0.05)
        asked = len(book.asked)
        await asyncio.sleep(0.1)
        assert len(book.asked) == asked
        stream = hub.follow("a", SOMEBODY, "0")
        await anext(stream)
        assert await anext(stream) == b"data: 1\n\n", "the next listener is served again"
        await stream.aclose()

    asyncio.run(go())


def test_there_is_room_for_so_many_and_for_so_many_of_one_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 4)
    monkeypatch.setattr(streams, "STREAMS_MAX_OF_CALLER", 2)

    async def go() -> None:
        hub = Streams(Book())
        open_ones = [hub.follow("a", SOMEBODY, "1") for _ in range(2)]
        for one in open_ones:
            await anext(one)
        assert not hub.admits(SOMEBODY) and hub.admits(ANOTHER) and hub.admits("127.0.0.1")
        more = [hub.follow("a", "127.0.0.1", "1") for _ in range(2)]
        for one in more:
            await anext(one)
        assert not hub.admits(ANOTHER), "all places are taken"
        await more[0].aclose()
        assert hub.admits(ANOTHER)
        for one in (*open_ones, *more):
            await one.aclose()

    asyncio.run(go())


def test_a_quiet_stream_gives_a_sign_of_life_and_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ALIVE_SECONDS", 0.01)
    monkeypatch.setattr(streams, "STREAM_SECONDS_MAX", 0.1)

    async def go() -> list[bytes]:
        return [one async for one in Streams(Book()).follow("a", SOMEBODY, "1")]

    heard = asyncio.run(go())
    assert set(heard[1:]) == {b": alive\n\n"} and len(heard) > 1


def test_many_open_streams_hold_no_connection_and_no_worker_and_end_when_the_server_stops(
    app: App, scene: Scene
) -> None:
    """More of them than there are threads and database connections; the page answers all the same."""
    (invoice,) = scene.invoiced("acme")
    path, heard = f"/pay/{invoice.pay_token}", []
    with ThreadPoolExecutor(60) as pool, ExitStack() as stack:
        with served(create_app(app)) as base:
            client = stack.enter_context(
                httpx.Client(base_url=base, timeout=60, limits=httpx.Limits(max_connections=80))
            )
            version = client.get(f"{path}/status").json()["version"]
            answers = [stack.enter_context(client.stream("GET", f"{path}/events?since={version}")) for _ in range(60)]
            assert {one.status_code for one in answers} == {200}
            assert answers[0].headers["content-type"].startswith("text/event-stream")
            assert client.get(path).status_code == 200
            scene.pay(invoice, 20_000_000)
            lines = [one.iter_lines() for one in answers]
            heard = [next(line for line in one if line.startswith("data: ")) for one in lines]
            new = client.get(f"{path}/status").json()["version"]
            rest = [pool.submit(list, one) for one in lines]  # they go on until the server stops
        assert set(heard) == {f"data: {new}"} and new != version
        assert all(one.exception() is None for one in rest)


def test_an_unknown_token_has_no_stream_and_costs_many_requests(app: App) -> None:
    async def go() -> list[int]:
        transport = httpx.ASGITransport(create_app(app), client=(SOMEBODY, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
            return [
                (await one.get(f"/pay/{number:0>43}{part}")).status_code
                for number, part in enumerate(["", "/events", "/status", "/document"] * 5)
            ]

    statuses = asyncio.run(go())
    most = limits.BURST // (shield.GUESS_COST + 1)
    assert statuses[:most] == [404] * most and statuses[most + 1 :] == [429] * (19 - most)


def test_a_stream_is_private_and_kept_by_nobody(app: App, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_SECONDS_MAX", 0.0)
    (invoice,) = scene.invoiced("acme")
    found = Client(create_app(app)).get(f"/pay/{invoice.pay_token}/events")
    assert found.headers["Cache-Control"] == "no-store" and found.headers["X-Robots-Tag"].startswith("noindex")
    monkeypatch.setattr(streams, "STREAMS_MAX", 0)
    refused = Client(create_app(app)).get(f"/pay/{invoice.pay_token}/events")
    assert refused.status_code == 503 and refused.headers["Content-Type"] == "application/problem+json"
