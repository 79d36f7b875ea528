"""The application on loopback, served from a thread in the way of the daemon."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from billing.daemon.serving import Server
from tests.parts import wait_for


@contextmanager
def served(api: FastAPI) -> Iterator[str]:
    """Its URL. At the end the server stops as the daemon's does: streams are told, requests are waited for."""
    server = Server(api, host="127.0.0.1", port=0, log_level="critical")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, "the web server")
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
