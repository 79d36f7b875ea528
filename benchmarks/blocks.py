"""A stretch of a busy chain, and a node that answers from it: prepared bytes, so that serving costs next to nothing."""

import json
import multiprocessing
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from billing.core.onchain import TRANSFER_TOPIC, Address, padded

CHAIN_ID = 8453
FIRST, BEFORE = 30_000_001, 30_000_000
STARTED, BLOCK_SECONDS = 1_790_000_000, 2
TOKENS = (Address("0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"), Address("0xfde4c96c8593536e31f229ea8f37b2ada2699bb2"))
COUNTS = (5, 35, 20, 12, 28)
"""Transfers in a block, again and again: 20 on average."""
ONE_IN = 100
"""One transfer of so many is to or from a watched address."""
LOGS_MAX = 10_000
"""The node refuses to send more logs in one answer, as public nodes do."""

Row = tuple[int, int, str, str, str, str, int]
"""Block, log index, transaction, token, from, to, units."""


def watched_addresses(count: int) -> list[Address]:
    return [Address("0x" + sha256(b"watched %d" % n).hexdigest()[:40]) for n in range(count)]


def block_hash(number: int) -> str:
    return "0x" + sha256(b"block %d" % number).hexdigest()


@dataclass
class Stretch:
    """What was written, and what a watcher must find in it."""

    folder: Path
    blocks: int
    logs: int = 0
    zero: int = 0
    expected: list[Row] = field(default_factory=list)


def write(folder: Path, blocks: int, watched: Sequence[Address]) -> Stretch:
    """All logs as one file of JSON objects with commas between them, and where each block begins in it."""
    random, made = Random(8453), Stretch(folder, blocks)
    strangers = [padded(Address(f"0x{random.getrandbits(160):040x}")) for _ in range(20_000)]
    ours = [padded(address) for address in watched]
    offsets = array("q", [0])
    with (folder / "logs").open("wb") as out:
        for number in range(FIRST, FIRST + blocks):
            logs = [
                _log(made, number, index, random, (strangers, ours)) for index in range(COUNTS[number % len(COUNTS)])
            ]
            out.write((",".join(logs) + ",").encode())
            offsets.append(out.tell())
    (folder / "offsets").write_bytes(offsets.tobytes())
    return made


def _log(made: Stretch, number: int, index: int, random: Random, parties: tuple[Sequence[str], Sequence[str]]) -> str:
    """One log as geth writes it. Of those that concern us a few are worth nothing, and a few are sweeps."""
    strangers, ours = parties
    sender, receiver = random.choice(strangers), random.choice(strangers)
    token, units = TOKENS[random.random() < 0.3], random.randrange(1, 10**12)
    tx, place = "0x" + sha256(b"%d %d" % (number, index)).hexdigest(), index * 3 + 1
    made.logs += 1
    if made.logs % ONE_IN == 0:
        kind = random.random()
        if kind < 0.9:
            receiver = random.choice(ours)
        else:
            sender = random.choice(ours)
        if 0.5 < kind < 0.52:
            units = 0
            made.zero += 1
        else:
            made.expected.append((number, place, tx, token, "0x" + sender[26:], "0x" + receiver[26:], units))
    return (
        f'{{"address":"{token}","topics":["{TRANSFER_TOPIC}","{sender}","{receiver}"],"data":"0x{units:064x}",'
        f'"blockNumber":"{number:#x}","transactionHash":"{tx}","transactionIndex":"{index:#x}",'
        f'"blockHash":"{block_hash(number)}","blockTimestamp":"{_mined(number):#x}","logIndex":"{place:#x}","removed":false}}'
    )


def _mined(number: int) -> int:
    return STARTED + (number - FIRST) * BLOCK_SECONDS


class Ledger:
    """Answers of the node. Logs are sent from the file by the kernel; headers carry the hashes of 40 transactions."""

    def __init__(self, folder: Path) -> None:
        self._offsets = array("q")
        self._offsets.frombytes((folder / "offsets").read_bytes())
        self.last = FIRST + len(self._offsets) - 2
        self.file = (folder / "logs").open("rb")
        self._numbers = {block_hash(number): number for number in range(FIRST, self.last + 1)}
        hashes = ",".join(f'"0x{sha256(b"tx %d" % n).hexdigest()}"' for n in range(40))
        self._rest = (
            f'"logsBloom":"0x{"ff" * 256}","miner":"0x{"0" * 40}","gasLimit":"0x1c9c380","gasUsed":"0xe4e1c0",'
            f'"stateRoot":"0x{"1" * 64}","receiptsRoot":"0x{"2" * 64}","transactionsRoot":"0x{"3" * 64}",'
            f'"extraData":"0x","size":"0x4e20","baseFeePerGas":"0x5f5e100","transactions":[{hashes}],"uncles":[]'
        )
        self.spans: list[tuple[int, int]] = []
        """The ranges of logs that were answered, in order."""

    def small(self, method: str, params: list[Any]) -> str:
        """Any answer but logs."""
        if method == "eth_chainId":
            return f'"{CHAIN_ID:#x}"'
        assert method == "eth_getBlockByNumber", method
        tags = {"latest": self.last, "safe": self.last - 32, "finalized": self.last - 64}
        number = tags[params[0]] if params[0] in tags else int(params[0], 16)
        if not BEFORE <= number <= self.last:
            return "null"
        return (
            f'{{"number":"{number:#x}","hash":"{block_hash(number)}","parentHash":"{block_hash(number - 1)}",'
            f'"timestamp":"{_mined(number):#x}",{self._rest}}}'
        )

    def logs(self, wanted: dict[str, Any]) -> tuple[int, int] | None:
        """Where in the file they are; None when they are too many."""
        assert set(wanted["address"]) == set(TOKENS) and wanted["topics"] == [TRANSFER_TOPIC]
        if "blockHash" in wanted:
            first = last = self._numbers[wanted["blockHash"]]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if sum(COUNTS[number % len(COUNTS)] for number in range(first, last + 1)) > LOGS_MAX:
                return None
            self.spans.append((first, last))
        return self._offsets[first - FIRST], self._offsets[last - FIRST + 1] - 1  # without the last comma


def _handler(ledger: Ledger) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True  # no answer waits for an acknowledgement

        def do_GET(self) -> None:
            self._send(json.dumps(ledger.spans).encode())
            ledger.spans.clear()

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if isinstance(asked, list):
                self._send(("[" + ",".join(self._small(one) for one in asked) + "]").encode())
            elif asked["method"] == "eth_getLogs":
                self._logs(asked)
            else:
                self._send(self._small(asked).encode())

        def _small(self, asked: dict[str, Any]) -> str:
            return f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":{ledger.small(asked["method"], asked["params"])}}}'

        def _logs(self, asked: dict[str, Any]) -> None:
            place = ledger.logs(asked["params"][0])
            if place is None:
                error = '{"code":-32005,"message":"query returned more than 10000 results"}'
                self._send(f'{{"jsonrpc":"2.0","id":{asked["id"]},"error":{error}}}'.encode())
                return
            head, tail = f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":['.encode(), b"]}"
            at, end = place
            self._start(len(head) + end - at + len(tail))
            self.wfile.write(head)
            self.wfile.flush()
            while at < end:
                at += os.sendfile(self.connection.fileno(), ledger.file.fileno(), at, end - at)
            self.wfile.write(tail)

        def _send(self, body: bytes) -> None:
            self._start(len(body))
            self.wfile.write(body)

        def _start(self, length: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    return Handler


def _serve(folder: Path, out: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Ledger(folder)))
    server.daemon_threads = True
    out.send(server.server_port)
    server.serve_forever()


@contextmanager
def node(folder: Path) -> Iterator[str]:
    """A node in a process of its own; yields its URL. A GET answers, once, the ranges of logs that were asked for."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(folder, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
