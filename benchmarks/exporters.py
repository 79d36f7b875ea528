"""300 dcgm-exporters in one process, each on a port of its own as in a data centre, with pages as large as real ones."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

GPUS = 8
METRICS = (
    "SM_CLOCK", "MEM_CLOCK", "MEMORY_TEMP", "GPU_TEMP", "POWER_USAGE", "TOTAL_ENERGY_CONSUMPTION", "PCIE_REPLAY_COUNTER",
    "GPU_UTIL", "MEM_COPY_UTIL", "ENC_UTIL", "DEC_UTIL", "XID_ERRORS", "FB_FREE", "FB_USED", "NVLINK_BANDWIDTH_TOTAL",
    "VGPU_LICENSE_STATUS", "UNCORRECTABLE_REMAPPED_ROWS", "CORRECTABLE_REMAPPED_ROWS", "ROW_REMAP_FAILURE",
)  # fmt: skip


def uuid(host: int, gpu: int) -> str:
    return f"GPU-{host:08x}-0000-4000-8000-{gpu:012x}"


def team(host: int, gpu: int) -> str:
    """Who holds a GPU; every fourth is idle."""
    return "" if (host + gpu) % 4 == 0 else f"team-{(host + gpu) % 20:02d}"


def page(host: int) -> bytes:
    """What dcgm-exporter shows of a host with eight GPUs: about 60 kB."""
    lines = []
    for metric in METRICS:
        name = f"DCGM_FI_DEV_{metric}"
        lines += [f"# HELP {name} A value that nobody bills.", f"# TYPE {name} gauge"]
        for gpu in range(GPUS):
            holder = f',container="main",namespace="{team(host, gpu)}",pod="train-{gpu}"' if team(host, gpu) else ""
            lines.append(
                f'{name}{{gpu="{gpu}",UUID="{uuid(host, gpu)}",pci_bus_id="00000000:{gpu + 53:02X}:00.0",device="nvidia{gpu}",'
                f'modelName="NVIDIA H100 80GB HBM3",Hostname="gpu-node-{host:03d}",DCGM_FI_DRIVER_VERSION="580.95.05"'
                f"{holder}}} {40 + gpu}"
            )
    return ("\n".join(lines) + "\n").encode()


class _Exporter(asyncio.Protocol):
    """The least HTTP that a scraper needs: GETs on a connection that is kept."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._buffer = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            _, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._transport.write(self._answer)


def _serve(hosts: int, out: Connection) -> None:
    async def serve() -> None:
        loop, ports = asyncio.get_running_loop(), []
        for host in range(hosts):
            content = page(host)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n" % len(
                content
            )
            server = await loop.create_server(lambda answer=head + content: _Exporter(answer), "127.0.0.1", 0)  # type: ignore[misc]
            ports.append(server.sockets[0].getsockname()[1])
        out.send(ports)
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def exporters(hosts: int) -> Iterator[list[str]]:
    """Start them; yields the URLs of their pages."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(hosts, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield [f"http://127.0.0.1:{port}/metrics" for port in ours.recv()]
    finally:
        process.terminate()
        process.join()
