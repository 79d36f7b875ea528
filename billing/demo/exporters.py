"""The exporters of a made-up fleet: one process that serves every host's page over HTTP, at the time it was told."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import httpx

from billing.demo.fleet import Site


class _Server(asyncio.Protocol):
    """The least HTTP that a scraper needs: keep-alive GETs without a body."""

    def __init__(self, sites: dict[str, Site], clock: list[int]) -> None:
        self._sites, self._clock, self._buffer = sites, clock, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._transport.write(self._answer(head.split(b" ", 2)[1].decode()))

    def _answer(self, path: str) -> bytes:
        _, site, host, *_ = path.split("/")
        if site == "clock":
            self._clock[0] = int(host)
            return b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
        page = self._sites[site].page(host, self._clock[0])
        if page is None:
            return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)


def _serve(sites: list[Site], ready: Connection) -> None:
    async def serve() -> None:
        by_name, clock = {site.name: site for site in sites}, [0]
        server = await asyncio.get_running_loop().create_server(lambda: _Server(by_name, clock), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        return


class Exporters:
    """The running exporters, seen from the outside."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(timeout=10)

    def targets(self, site: Site) -> list[str]:
        return [f"{self._base}/{site.name}/{host}/metrics" for host in site.hosts]

    def set_clock(self, second: int) -> None:
        """From now on every page is the one of this time."""
        self._client.get(f"{self._base}/clock/{second}").raise_for_status()

    def close(self) -> None:
        self._client.close()


@contextmanager
def exporters(sites: list[Site]) -> Iterator[Exporters]:
    """Start them in a process of their own, and stop it at the end."""
    context: Any = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sites, there), daemon=True, name="exporters")
    process.start()
    found = Exporters(here.recv())
    try:
        yield found
    finally:
        found.close()
        process.terminate()
        process.join(10)
