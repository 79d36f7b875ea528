"""A proxy in front of a real node that plays what RPC endpoints do wrong."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson

from tests.parts import NO_TLS

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
DATE = "Tue, 24 Nov 2026 10:00:00 GMT"
LATER = "Tue, 24 Nov 2026 10:00:09 GMT"


@dataclass(frozen=True)
class Reply:
    """`promised` is the length that the header claims; `drip` sends a byte at a time; `hang` sends nothing until the end."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None
    drip: bool = False
    hang: bool = False


Honest = Callable[[], bytes]
Fault = Callable[[Any, Honest], Reply | None]
"""(the call, or the calls of a batch; what the node answers) -> what is answered instead; None: the truth."""


class Proxy:
    """`fault` is what it plays now; None is nothing. `played` counts the answers that were wrong."""

    def __init__(self, url: str) -> None:
        self.url, self._node = "", url
        self.fault: Fault | None = None
        self.played = 0
        self.over = threading.Event()
        self._client = httpx.Client(timeout=20, verify=NO_TLS)

    def close(self) -> None:
        self._client.close()

    def answer(self, body: bytes) -> Reply:
        def honest() -> bytes:
            headers = {"content-type": "application/json"}
            return self._client.post(self._node, content=body, headers=headers).content

        fault = self.fault
        reply = fault(orjson.loads(body), honest) if fault is not None else None
        if reply is None:
            return Reply(honest())
        self.played += 1
        return reply


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            reply = proxy.answer(self.rfile.read(int(self.headers["Content-Length"])))
            if reply.hang:
                proxy.over.wait(30)
                self.close_connection = True
                return
            self.send_response_only(reply.status)
            for name, value in {"Date": DATE, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(reply.promised or len(reply.body)))
            self.end_headers()
            self._write(reply)
            self.close_connection = reply.promised is not None or reply.drip

        def _write(self, reply: Reply) -> None:
            step = 1 if reply.drip else len(reply.body) or 1
            for start in range(0, len(reply.body), step):
                try:
                    self.wfile.write(reply.body[start : start + step])
                except OSError:
                    return
                if reply.drip and proxy.over.wait(0.2):
                    return

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.close()
        server.shutdown()
        server.server_close()
        thread.join()


def is_logs(call: Any) -> bool:
    return isinstance(call, dict) and call["method"] == "eth_getLogs"


def length(call: Any) -> int:
    """Of how many blocks the logs are wanted."""
    wanted = call["params"][0]
    return 1 if "blockHash" in wanted else int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1


def refused(code: int, message: str, status: int = 200, most: int = 2) -> Fault:
    """Too many blocks, in the words of one vendor."""

    def play(call: Any, honest: Honest) -> Reply | None:
        if not is_logs(call) or length(call) <= most:
            return None
        error = {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}
        return Reply(orjson.dumps(error), status)

    return play


def error(code: int, message: str) -> Fault:
    """Every call is refused with an error in a good answer."""

    def play(call: Any, honest: Honest) -> Reply | None:
        calls = call if isinstance(call, list) else [call]
        errors = [{"jsonrpc": "2.0", "id": one["id"], "error": {"code": code, "message": message}} for one in calls]
        return Reply(orjson.dumps(errors if isinstance(call, list) else errors[0]))

    return play


def always(reply: Reply) -> Fault:
    return lambda call, honest: reply


def for_logs(change: Callable[[list[dict[str, Any]]], Any]) -> Fault:
    """The logs, changed. An answer without logs is the truth."""

    def play(call: Any, honest: Honest) -> Reply | None:
        if not is_logs(call):
            return None
        answer = orjson.loads(honest())
        if not answer.get("result"):
            return None
        return Reply(orjson.dumps({**answer, "result": change(answer["result"])}))

    return play


def each(**fields: Any) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda logs: [{**one, **fields} for one in logs]


def cut(call: Any, honest: Honest) -> Reply:
    """JSON that ends in the middle, as a proxy's buffer cuts it."""
    body = honest()
    return Reply(body[: len(body) // 2])


def lagging(blocks: int) -> Fault:
    """The newest block is an older one, and those above it are not known."""
    newest: list[int] = []

    def play(call: Any, honest: Honest) -> Reply | None:
        if isinstance(call, list) or call["method"] != "eth_getBlockByNumber":
            return None
        which, answer = call["params"][0], orjson.loads(honest())
        if which == "latest":
            head = int(answer["result"]["number"], 16)
            newest[:] = newest or [head - blocks]
            header = {**answer["result"], "number": hex(newest[0]), "hash": f"0x{newest[0]:064x}"}
            return Reply(orjson.dumps({**answer, "result": header}))
        if which.startswith("0x") and newest and int(which, 16) > newest[0]:
            return Reply(orjson.dumps({**answer, "result": None}))
        return None

    return play
