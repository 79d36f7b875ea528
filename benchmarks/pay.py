"""`/pay/{token}` and a tenant's `standing` among many invoices, while transfers to their addresses are written: how long the
slow ones take, beside `/healthz` of the same server in the same seconds. Every other tenant pays before it uses. Every answer is
looked at: it is about the invoice or the tenant that was asked for.

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
from billing.tenants.keys import KeyRole
from billing.web.app import create_app

INVOICES, INVOICES_SMALL = 10_000, 100
ASKED, ASKED_SMALL = 2_000, 100
CLIENTS: Final = 4
TARGET: Final = 20.0
STANDING_TARGET: Final = 10.0
Times = list[tuple[float, float, float]]
"""(page, standing, health), seconds each."""
Rows = Sequence[tuple[str, str, str, str]]
"""(number, pay token, address, tenant)."""

_TRANSFER = """
    INSERT INTO transfer (chain_id, block_hash, log_index, block_number, mined_at, tx_hash, token_address, from_address,
                          to_address, units, state, incarnation, seen_at, state_at, settled)
    VALUES (31337, %(hash)s, 0, %(n)s, now(), %(hash)s, '0x5fbdb2315678afecb367f032d93f642f64180aa3', %(sender)s,
            %(to)s, 1000000, 'seen', 1, now(), now(), false)"""

_PREPAID = """
    INSERT INTO prepaid_term (tenant_id, low_units, suspend_at_zero, set_at)
      SELECT id, 1000, true, now() FROM tenant WHERE id % 2 = 0;
    INSERT INTO tenant_credit (tenant_id, kind, currency, units, reference, created_at, final_at)
      SELECT id, 'prepaid', 'USD', 1000000, 'top-up ' || n, now(), now() FROM tenant, generate_series(1, 3) n WHERE id % 2 = 0"""


def run(small: bool = False, count: int = INVOICES) -> list[Result]:
    invoices, asked = (INVOICES_SMALL, ASKED_SMALL) if small else (count, ASKED)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        url = postgres.database(embedded.start(folder / "pg"), "pay")
        note(f"pay: issuing {invoices:,} invoices with {invoicing.LINES} lines each")
        invoicing._prepare(url, folder, invoices)
        invoicing.issued(url, folder)()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_PREPAID)
            connection.execute("ANALYZE")
            rows = connection.execute(
                "SELECT i.number, i.pay_token, a.address, t.slug FROM invoice i JOIN tenant t ON t.id = i.tenant_id"
                " JOIN payment_address a ON a.invoice_id = i.id"
            ).fetchall()
        require(len(rows) == invoices, f"{len(rows)} of {invoices} invoices can be paid")
        times, written = _measured(url, folder, rows, asked)
    return _told(invoices, times, written)


def _measured(url: str, folder: Path, rows: Rows, asked: int) -> tuple[Times, int]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, url, folder), daemon=True)
    process.start()
    port, key = ours.recv()
    stop, written = threading.Event(), [0]
    writer = threading.Thread(target=_write, args=(url, [row[2] for row in rows], stop, written))
    writer.start()
    try:
        _ask(port, key, [rows[0]] * 20, random.Random(0))  # what is built once is built
        share = asked // CLIENTS
        with ThreadPoolExecutor(CLIENTS) as pool:
            chosen = [random.Random(number).choices(rows, k=share) for number in range(CLIENTS)]
            found = list(pool.map(lambda one: _ask(port, key, one, random.Random(1)), chosen))
    finally:
        stop.set()
        writer.join()
        process.terminate()
        process.join()
    return [one for times in found for one in times], written[0]


def _serve(out: Connection, url: str, folder: Path) -> None:
    app = invoicing.application(url, folder)
    key = app.registrar.create_key(name="scheduler", role=KeyRole.OPERATOR, tenant="", actor="bench")
    server = Server(create_app(app), host="127.0.0.1", port=0, log_level="critical")
    threading.Thread(target=_tell, args=(server, key, out), daemon=True).start()
    server.run()


def _tell(server: Server, key: str, out: Connection) -> None:
    while not server.started:
        time.sleep(0.01)
    out.send((server.servers[0].sockets[0].getsockname()[1], key))


def _write(url: str, addresses: Sequence[str], stop: threading.Event, written: list[int]) -> None:
    """One committed transfer after another, to addresses at random, as a busy watcher would."""
    chosen = random.Random(2)
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(0.005):
            written[0] += 1
            values = {"hash": f"0x{written[0]:064x}", "n": written[0], "sender": "0x" + "5e" * 20}
            connection.execute(_TRANSFER, {**values, "to": chosen.choice(addresses)})


def _ask(port: int, key: str, rows: Rows, order: random.Random) -> Times:
    """A page, a standing and a look at health in turn, on one connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found: Times = []
    for number, token, _, tenant in rows:
        took: dict[str, float] = {}
        for path, shows in order.sample(
            ((f"/pay/{token}", number), (f"/api/v1/tenants/{tenant}/standing", tenant), ("/healthz", "")), 3
        ):
            started = time.perf_counter()
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if "standing" in path else {})
            answer = connection.getresponse()
            body = answer.read()
            took[path[:4]] = time.perf_counter() - started
            require(
                answer.status == 200 and shows.encode() in body, f"{path[:8]} answered {answer.status} for {number}"
            )
        found.append((took["/pay"], took["/api"], took["/hea"]))
    connection.close()
    return found


def _told(invoices: int, times: Times, written: int) -> list[Result]:
    health = _cuts([one[2] for one in times])
    results = []
    for place, what, target in ((0, "pay page", TARGET), (1, "standing", STANDING_TARGET)):
        cuts = _cuts([one[place] for one in times])
        result = Result(
            f"{what} among {invoices:,} invoices, p95",
            target,
            Cost(cuts[-1], 0, 0, None),
            Cost(health[-1], 0, 0, None),
        )
        result.times = (cuts[-1] / health[-1],) * 3
        for name, one in ((what, cuts), ("/healthz", health)):
            result.say(f"{name}: median {one[9] * 1000:.1f} ms, p95 {one[-1] * 1000:.1f} ms")
        result.say(f"{len(times):,} answers to {CLIENTS} clients; {written:,} transfers committed meanwhile")
        results.append(result)
    return results


def _cuts(times: Sequence[float]) -> list[float]:
    return quantiles(times, n=20)
