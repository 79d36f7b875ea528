"""Servers that speak as a test tells them: with headers, over TLS, and noting what they were asked."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.parts import program


@dataclass(frozen=True)
class Asked:
    """A request. `form` has what was sent in the URL and in the body."""

    path: str
    form: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @property
    def query(self) -> str:
        return self.form.get("query", [""])[0]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def peer(answer: Callable[[Asked], Reply], trust: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[Asked]]]:
    """Yields the URL, and the list of what was asked so far."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _reply(self, body: bytes) -> None:
            url = urlsplit(self.path)
            one = Asked(url.path, {**parse_qs(url.query), **parse_qs(body.decode())}, dict(self.headers.items()))
            asked.append(one)
            reply = answer(one)
            self.send_response_only(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            return  # a refused handshake is what some tests want

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if trust is not None:
        server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if trust else 'http'}://localhost:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dripping(start: bytes, piece: bytes) -> Iterator[str]:
    """A server that begins an answer, and then sends a piece of it five times a second."""
    server, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(start)
            while not stop.wait(0.2):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        server.close()


def success(data: object, **more: object) -> Reply:
    return Reply(200, orjson.dumps({"status": "success", "data": data, **more}))


def matrix(*series: tuple[Mapping[str, str], list[tuple[int, str]]], **more: object) -> Reply:
    """An answer with raw samples: (labels, [(second, value)])."""
    result = [{"metric": dict(labels), "values": [[at, value] for at, value in values]} for labels, values in series]
    return success({"resultType": "matrix", "result": result}, **more)


def small(answer: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """A server that is asked for samples only by `answer`; it finds nothing worth a shard, a fallback or an `up`."""
    return lambda asked: answer(asked) if asked.path == "/api/v1/query" else success([])


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of localhost that signs itself, and its key."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [
            program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "36500",
            "-keyout", str(key), "-out", str(cert),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key
