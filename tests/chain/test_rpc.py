"""JSON-RPC over HTTP: headers come in batches where a node allows it, and one by one where it does not."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from billing.chain.rpc import BATCH_MAX, HttpNode
from billing.core.errors import Unavailable, Untrusted
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
