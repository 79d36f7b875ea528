"""Real parts that tests start on loopback and stop again: Prometheus, anvil, small HTTP servers."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a program that the tests need. A missing part fails; it never skips."""
    found = shutil.which(name)
    assert found, f"{name} is needed for this test: make setup-dev"
    return found


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} was not ready in {seconds} s")


NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For what speaks plain HTTP on loopback: httpx would read all the system's certificates for each question."""


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, verify=NO_TLS).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def prometheus(folder: Path, openmetrics: str) -> Iterator[str]:
    """A Prometheus whose blocks were backfilled from OpenMetrics text; yields its URL."""
    folder.mkdir(parents=True)
    (folder / "samples.om").write_text(openmetrics)
    one_block = "--max-block-duration=2000h"  # it reads all samples again for each block: hundreds of them in a month
    subprocess.run(
        [program("promtool"), "tsdb", "create-blocks-from", one_block, "openmetrics", "-q", "samples.om", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/-/ready"), "Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def victoriametrics(folder: Path, openmetrics: str) -> Iterator[str]:
    """A VictoriaMetrics that took the same samples; yields its URL."""
    port = free_port()
    process = subprocess.Popen(
        [
            program("victoria-metrics"),
            f"-storageDataPath={folder}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-loggerLevel=ERROR",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/health"), "VictoriaMetrics")
        lines = [line.rpartition(" ") for line in openmetrics.splitlines() if not line.startswith("#")]
        text = "".join(f"{series} {int(Decimal(at) * 1000)}\n" for series, _, at in lines)
        httpx.post(f"{url}/api/v1/import/prometheus", content=text, verify=NO_TLS).raise_for_status()
        httpx.get(f"{url}/internal/force_flush", verify=NO_TLS).raise_for_status()
        yield url
    finally:
        process.terminate()
        process.wait(20)


Answer = Callable[[str, bytes], tuple[int, bytes]]
"""(path, body) -> (status, body)."""


@contextmanager
def http_server(answer: Answer, *, claimed_length: int | None = None) -> Iterator[str]:
    """A small HTTP server that answers as it is told; `claimed_length` makes it promise more bytes than it sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _reply(self, body: bytes) -> None:
            status, content = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(claimed_length or len(content)))
            self.end_headers()
            self.wfile.write(content)
            if claimed_length:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


CONTRACTS = Path(__file__).parents[1] / "contracts"


@contextmanager
def anvil(*arguments: str) -> Iterator[str]:
    """A local EVM node with unlocked accounts; yields its URL."""
    found = sorted((CONTRACTS / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    assert found, "anvil is needed for this test: make setup-dev"
    port = free_port()
    process = subprocess.Popen(
        [str(found[0]), "--host", "127.0.0.1", "--port", str(port), "--silent", "--slots-in-an-epoch", "4", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
            return httpx.post(url, json=body, timeout=2, verify=NO_TLS).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    try:
        wait_for(up, "anvil")
        yield url
    finally:
        process.terminate()
        process.wait(10)
