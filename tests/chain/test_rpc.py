"""JSON-RPC over HTTP: headers come in batches where a node allows it, and one by one where it does not."""

import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from billing.chain.pool import Pool
from billing.chain.rpc import BATCH_MAX, HttpNode
from billing.core.clock import ManualClock
from billing.core.errors import Unavailable, Untrusted
from tests.chain.memory import MemoryChain, MemoryNode
from tests.factories import at
from tests.parts import http_server

Calls = list[dict[str, Any]]
HEIGHT = 1000


def header(call: dict[str, Any]) -> dict[str, Any]:
    number = int(call["params"][0], 16)
    block = {
        "number": hex(number),
        "hash": f"0x{number:064x}",
        "parentHash": f"0x{number - 1:064x}",
        "timestamp": hex(number),
    }
    return {"jsonrpc": "2.0", "id": call["id"], "result": block if number <= HEIGHT else None}


class Server:
    """Answers headers. `batch` makes the answer to a batch; every request is kept."""

    def __init__(self, batch: Callable[[Calls], Any]) -> None:
        self.asked: list[int] = []
        self._batch = batch

    def __call__(self, path: str, body: bytes) -> tuple[int, bytes]:
        call = orjson.loads(body)
        if isinstance(call, dict):
            self.asked.append(1)
            return 200, orjson.dumps(header(call))
        self.asked.append(len(call))
        answer = self._batch(call)
        return (400, b"no batches here") if answer is None else (200, orjson.dumps(answer))


def numbers(node: HttpNode, wanted: range) -> list[int | None]:
    return [None if block is None else block.number for block in node.blocks(wanted)]


def test_headers_come_in_batches_in_the_order_asked_for() -> None:
    server = Server(lambda calls: [header(call) for call in reversed(calls)])
    with http_server(server) as url:
        node = HttpNode(url)
        assert numbers(node, range(800, 1050)) == [*range(800, 1001), *[None] * 49]
        node.close()
    assert server.asked == [BATCH_MAX, BATCH_MAX, 50]


@pytest.mark.parametrize(
    "refusal", [None, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "too long"}}]
)
def test_a_node_that_refuses_batches_is_asked_one_by_one_and_less_at_a_time(refusal: Any) -> None:
    server = Server(lambda calls: refusal if len(calls) > 10 else [header(call) for call in calls])
    with http_server(server) as url:
        node = HttpNode(url)
        for _ in range(4):
            assert numbers(node, range(500, 600)) == list(range(500, 600))
        server.asked.clear()
        assert numbers(node, range(500, 600)) == list(range(500, 600))
        node.close()
    assert len(server.asked) < 60


@pytest.mark.parametrize(
    "lie",
    [
        lambda answers: answers[1:],
        lambda answers: [*answers[1:], answers[1]],
        lambda answers: [*answers[1:], "nonsense"],
        lambda answers: [{**answers[0], "result": answers[1]["result"]}, *answers[1:]],
        lambda answers: [{"id": answers[0]["id"]}, *answers[1:]],
    ],
    ids=["one missing", "one twice", "no object", "another block", "no result"],
)
def test_a_batch_that_does_not_fit_is_not_believed(lie: Callable[[Calls], Any]) -> None:
    with http_server(Server(lambda calls: lie([header(call) for call in calls]))) as url:
        node = HttpNode(url)
        with pytest.raises(Untrusted):
            node.blocks(range(1, 5))
        node.close()


def test_an_error_inside_a_batch_is_the_endpoints_failure() -> None:
    error = {"code": -32000, "message": "header not found"}
    server = Server(lambda calls: [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls])
    with http_server(server) as url:
        node = HttpNode(url)
        with pytest.raises(Unavailable, match="header not found"):
            node.blocks(range(1, 5))
        node.close()


def test_an_endpoint_that_asks_for_a_rest_is_left_alone_and_another_one_asked() -> None:
    """429 with Retry-After: no request goes there before, not even when there is nobody else to ask."""
    clock, asked = ManualClock(at(0)), list[str]()

    class Limited(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(429)
            self.send_header("Retry-After", "30")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Limited)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        node, other = HttpNode(f"http://127.0.0.1:{server.server_port}"), MemoryNode(MemoryChain(), "other")
        pool = Pool([node], clock)
        with pytest.raises(Unavailable, match="answered 429 to eth_chainId and asks for a rest of 30 s"):
            pool.ask(lambda one: one.chain_id())
        for _ in range(5):
            with pytest.raises(Unavailable, match="is left alone, as it asked"):
                pool.ask(lambda one: one.chain_id())
        assert len(asked) == 1
        clock.move_to(clock.now() + timedelta(seconds=31))
        with pytest.raises(Unavailable, match="429"):
            pool.ask(lambda one: one.chain_id())
        assert len(asked) == 2
        assert Pool([node, other], clock).ask(lambda one: one.chain_id()) == 1
        node.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusing(code: int, message: str) -> Callable[[str, bytes], tuple[int, bytes]]:
    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        error = {"code": code, "message": message}
        return 200, orjson.dumps({"jsonrpc": "2.0", "id": orjson.loads(body)["id"], "error": error})

    return answer


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "finalized block not found"),
        (-39001, "Unknown block"),
        (-32602, "invalid argument 0: hex string without 0x prefix"),
        (-32602, "the tag is not supported"),
    ],
)
def test_a_tag_that_is_refused_is_not_told_and_a_number_that_is_refused_is_a_failure(code: int, message: str) -> None:
    with http_server(refusing(code, message)) as url:
        node = HttpNode(url)
        assert node.block("finalized") is None and node.block("safe") is None
        for which in ("latest", 7):
            with pytest.raises(Unavailable):
                node.block(which)
        node.close()


@pytest.mark.parametrize("message", ["rate limit: block not found", "quota is invalid", "internal error"])
def test_an_endpoint_that_is_busy_or_broken_did_not_say_that_there_is_no_tag(message: str) -> None:
    with http_server(refusing(-32000, message)) as url:
        node = HttpNode(url)
        with pytest.raises(Unavailable):
            node.block("finalized")
        node.close()
