"""Gateways that push what they served: events as an inference gateway makes them, over a few connections that are kept."""

import json
import multiprocessing
import socket
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

BATCH: Final = 1_000
CONNECTIONS: Final = 8
TENANTS: Final = 40
TYPE: Final = "inference.completed"
MODELS: Final = ("llama-3.3-70b-instruct", "qwen3-32b", "mistral-small-24b")


class Row(NamedTuple):
    """An event as a table holds it."""

    source: str
    event_id: str
    type: str
    subject: str
    happened_at: str
    data: str


def tenant_of(number: int) -> str:
    return f"team-{number % TENANTS:02d}"


def tokens(number: int) -> int:
    return number * 7919 % 4096 + 1


def row(number: int, start: datetime) -> Row:
    """Event `number` of a stream that began at `start`: ten thousand a second, each with an id like a UUID's."""
    prompt = number % 1_000
    data = {
        "model": MODELS[number % len(MODELS)],
        "request": {"stream": True, "region": "brisbane-1"},
        "usage": {"prompt_tokens": prompt, "total_tokens": tokens(number)},
    }
    return Row(
        f"//gateway-{number % 8}.example/inference",
        f"{number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}-{number:012x}",
        TYPE,
        tenant_of(number),
        (start + timedelta(microseconds=number * 100)).isoformat(timespec="microseconds"),
        json.dumps(data),
    )


def batch(number: int, start: datetime) -> bytes:
    """The body of batch `number`."""
    events = []
    for one in range(number * BATCH, (number + 1) * BATCH):
        made = row(one, start)
        head = {"specversion": "1.0", "id": made.event_id, "source": made.source, "type": made.type}
        rest = {"subject": made.subject, "time": made.happened_at, "datacontenttype": "application/json"}
        events.append(f'{json.dumps(head | rest)[:-1]}, "data": {made.data}}}')
    return f"[{', '.join(events)}]".encode()


def _push(address: tuple[str, int], requests: Sequence[bytes], answers: list[bytes]) -> None:
    """Send requests one after the other over one connection; keeps the line of status of each answer."""
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                part = connection.recv(65536)
                if not part:
                    return
                answer += part
            answers.append(answer.partition(b"\r\n")[0])
            if not answer.startswith(b"HTTP/1.1 204"):
                return


def _asked(wire: Connection) -> bool:
    try:
        wire.recv()
    except EOFError:  # whoever asked has ended
        return False
    return True


def _serve(address: tuple[str, int], key: str, numbers: range, start: datetime, wire: Connection) -> None:
    """Make all requests; then push them all, each time that it is asked to."""
    head = (
        f"POST /api/v1/events HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/cloudevents-batch+json; charset=UTF-8\r\nContent-Length: "
    ).encode()
    bodies = [batch(number, start) for number in numbers]
    requests = [head + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    wire.send(sum(len(body) for body in bodies))
    while _asked(wire):
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=_push, args=(address, requests[lane::CONNECTIONS], answers))
            for lane in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wire.send(answers)


class Gateways:
    """A process that pushes. It ends with the process that made it."""

    def __init__(self, address: tuple[str, int], key: str, numbers: range, start: datetime) -> None:
        """Returns once all requests are made. `bytes` is the size of their bodies together."""
        context = multiprocessing.get_context("spawn")
        self._wire, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(address, key, numbers, start, theirs), daemon=True)
        process.start()
        theirs.close()
        self.bytes: int = self._wire.recv()

    def push(self) -> list[bytes]:
        """Push every batch; returns the answers' first lines."""
        self._wire.send(None)
        answers: list[bytes] = self._wire.recv()
        return answers
