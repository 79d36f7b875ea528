"""A receiver as a customer would write it: an HTTP server that verifies every body with the Standard Webhooks library."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_c3RhYmxlbWV0ZXItdGVzdC1zZWNyZXQtMDAwMQ=="
OLD_SECRET = "whsec_c3RhYmxlbWV0ZXItdGVzdC1zZWNyZXQtMDAwMA=="


@dataclass
class Inbox:
    """`answers` are the statuses of the next requests; 204 after them. `heard` are the bodies that were verified and taken,
    by message id; `ids` every request's."""

    url: str = ""
    secret: str = SECRET
    answers: list[int] = field(default_factory=list)
    heard: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    holding: threading.Event | None = None

    def types(self) -> list[str]:
        return [one["type"] for one in self.heard.values()]


@contextmanager
def listening(inbox: Inbox) -> Iterator[Inbox]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if inbox.holding is not None:
                inbox.holding.wait(20)
            told = Webhook(inbox.secret).verify(body, dict(self.headers.items()))
            assert told == json.loads(body)
            with lock:
                status = inbox.answers.pop(0) if inbox.answers else 204
                inbox.ids.append(self.headers["webhook-id"])
                inbox.bodies.append(body)
                if status == 204:
                    inbox.heard[self.headers["webhook-id"]] = told
            self.send_response(status)
            if status == 302:
                self.send_header("location", inbox.url)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    inbox.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
