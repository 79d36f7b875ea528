"""`/pay/{token}` among many invoices, while transfers to their addresses are written: how long the slow ones take, beside
`/healthz` of the same server in the same seconds. Every answer is looked at: it shows the invoice that was asked for.

`python -m benchmarks pay:1000` does it with so many invoices instead of 10,000."""

import http.client
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Final

import psycopg

from benchmarks import invoicing, postgres
from benchmarks.measure import Cost, Result, note, require
from billing.daemon.serving import Server
from billing.db import embedded
from billing.web.app import create_app

INVOICES, INVOICES_SMALL = 10_000, 100
ASKED, ASKED_SMALL = 2_000, 100
CLIENTS: Final = 4
TARGET: Final = 20.0
Times = list[tuple[float, float]]
"""(page, health), seconds each."""

_TRANSFER = """
    INSERT INTO transfer (chain_id, block_hash, log_index, block_number, mined_at, tx_hash, token_address, from_address,
                          to_address, units, state, incarnation, seen_at, state_at, settled)
    VALUES (31337, %(hash)s, 0, %(n)s, now(), %(hash)s, '0x5fbdb2315678afecb367f032d93f642f64180aa3', %(sender)s,
            %(to)s, 1000000, 'seen', 1, now(), now(), false)"""


def run(small: bool = False, count: int = INVOICES) -> Result:
    invoices, asked = (INVOICES_SMALL, ASKED_SMALL) if small else (count, ASKED)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        url = postgres.database(embedded.start(folder / "pg"), "pay")
        note(f"pay: issuing {invoices:,} invoices with {invoicing.LINES} lines each")
        invoicing._prepare(url, folder, invoices)
        invoicing.issued(url, folder)()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")
            rows = connection.execute(
                "SELECT i.number, i.pay_token, a.address FROM invoice i JOIN payment_address a ON a.invoice_id = i.id"
            ).fetchall()
        require(len(rows) == invoices, f"{len(rows)} of {invoices} invoices can be paid")
        times, written = _measured(url, folder, rows, asked)
    return _told(invoices, times, written)


def _measured(url: str, folder: Path, rows: Sequence[tuple[str, str, str]], asked: int) -> tuple[Times, int]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, url, folder), daemon=True)
    process.start()
    port: int = ours.recv()
    stop, written = threading.Event(), [0]
    writer = threading.Thread(target=_write, args=(url, [row[2] for row in rows], stop, written))
    writer.start()
    try:
        _ask(port, [rows[0]] * 20, random.Random(0))  # what is built once is built
        share = asked // CLIENTS
        with ThreadPoolExecutor(CLIENTS) as pool:
            chosen = [random.Random(number).choices(rows, k=share) for number in range(CLIENTS)]
            found = list(pool.map(lambda one: _ask(port, one, random.Random(1)), chosen))
    finally:
        stop.set()
        writer.join()
        process.terminate()
        process.join()
    return [pair for times in found for pair in times], written[0]


def _serve(out: Connection, url: str, folder: Path) -> None:
    server = Server(create_app(invoicing.application(url, folder)), host="127.0.0.1", port=0, log_level="critical")
    threading.Thread(target=_tell, args=(server, out), daemon=True).start()
    server.run()


def _tell(server: Server, out: Connection) -> None:
    while not server.started:
        time.sleep(0.01)
    out.send(server.servers[0].sockets[0].getsockname()[1])


def _write(url: str, addresses: Sequence[str], stop: threading.Event, written: list[int]) -> None:
    """One committed transfer after another, to addresses at random, as a busy watcher would."""
    chosen = random.Random(2)
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(0.005):
            written[0] += 1
            values = {"hash": f"0x{written[0]:064x}", "n": written[0], "sender": "0x" + "5e" * 20}
            connection.execute(_TRANSFER, {**values, "to": chosen.choice(addresses)})


def _ask(port: int, rows: Sequence[tuple[str, str, str]], order: random.Random) -> Times:
    """A page and a look at health in turn, on one connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found: Times = []
    for number, token, _ in rows:
        pair: dict[str, float] = {}
        for path in order.sample((f"/pay/{token}", "/healthz"), 2):
            started = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            pair[path[:4]] = time.perf_counter() - started
            right = answer.status == 200 and (path == "/healthz" or number.encode() in body)
            require(right, f"{path[:8]} answered {answer.status} for {number}")
        found.append((pair["/pay"], pair["/hea"]))
    connection.close()
    return found


def _told(invoices: int, times: Times, written: int) -> Result:
    pages, health = ([pair[which] for pair in times] for which in (0, 1))
    (page, plain) = (quantiles(one, n=20)[-1] for one in (pages, health))
    result = Result(
        f"pay page among {invoices:,} invoices, p95", TARGET, Cost(page, 0, 0, None), Cost(plain, 0, 0, None)
    )
    result.times = (page / plain, page / plain, page / plain)
    for what, one in (("page", pages), ("/healthz", health)):
        cuts = quantiles(one, n=20)
        result.say(
            f"{what}: median {cuts[9] * 1000:.1f} ms, p95 {cuts[-1] * 1000:.1f} ms, slowest {max(one) * 1000:.0f} ms"
        )
    result.say(
        f"{len(pages):,} pages of {invoicing.LINES} lines from {CLIENTS} clients; {written:,} transfers committed meanwhile"
    )
    return result
