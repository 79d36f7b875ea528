"""Events in batches of 1,000 over HTTP into the real web application: authenticated, checked, de-duplicated, committed
before the answer; against a plain client that copies the same rows and inserts those that are new, as many at a time. What
was stored is compared with what was pushed, and pushing it all again changes nothing."""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import uvicorn
from sqlalchemy import text

from benchmarks import postgres
from benchmarks.gateways import BATCH, CONNECTIONS, TENANTS, TYPE, Gateways, Row, row, tenant_of, tokens
from benchmarks.measure import Cost, Result, measured, memory, middle, note, require
from billing.bootstrap import build
from billing.core.clock import SystemClock
from billing.core.period import Span
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.events import store
from billing.events.meter import Aggregation, Meter
from billing.settings import alone
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.tenants.registrar import Registrar
from billing.web.app import create_app
from tests.factories import tenant

BATCHES, BATCHES_SMALL = 300, 20
REPEATS: Final = 5
TARGET: Final = 5.4
"""30,000 events a second where the plain client stores 162,000."""
METER: Final = Meter("tokens", TYPE, ("usage", "total_tokens"), Aggregation.SUM, "token")


def run(small: bool = False) -> Result:
    batches, repeats = (BATCHES_SMALL, 1) if small else (BATCHES, REPEATS)
    count, start = batches * BATCH, datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded.start(folder / "pg")
        key = _prepare(postgres.database(server, "template_events"))
        note(f"events: {count:,} events in batches of {BATCH:,}")
        plain: list[Cost[int]] = []
        ours: list[Cost[int]] = []
        again: list[Cost[int]] = []
        for number in range(repeats):
            plain.append(measured(copied, postgres.database(server, f"plain_{number}"), batches, start))
            database = postgres.database(server, f"events_{number}", "template_events")
            ours.append(measured(pushed, database, key, batches, start))
            again.append(measured(pushed, database, key, batches, start))
            _check(database, count, start)
    result = Result(f"events: {count:,} pushed in batches of {BATCH:,}", TARGET, middle(ours), middle(plain))
    result.compare(ours, plain)
    fastest, slowest = (count / pick(one.wall for one in ours) for pick in (min, max))
    result.say(
        f"{count / result.ours.wall:,.0f} events a second, {slowest:,.0f} to {fastest:,.0f}; {CONNECTIONS} senders"
    )
    result.say(f"the plain client: {count / result.plain.wall:,.0f} rows a second")
    result.say(f"all pushed once more, nothing stored: {count / middle(again).wall:,.0f} events a second")
    result.say(f"{ours[-1].answer / count:.0f} bytes an event; peak memory of the server {memory(result.ours)}")
    return result


def _prepare(url: str) -> str:
    """A fresh database that knows the tenants. Returns the key of an operator."""
    database = Database(url)
    migrate.upgrade(database)
    registrar = Registrar(database, SystemClock())
    for number in range(TENANTS):
        registrar.add(tenant(tenant_of(number)), [], actor="bench")
    key = registrar.create_key(name="bench", role=KeyRole.OPERATOR, tenant="", actor="bench")
    database.close()
    return key


def pushed(database_url: str, key: str, batches: int, start: datetime) -> Callable[[], int]:
    """The web application under uvicorn, as the daemon serves it, and a process of gateways. The work returns how many bytes
    were pushed."""
    pushing = Gateways(_serving(database_url), key, range(batches), start)

    def work() -> int:
        answers = Counter(pushing.push())
        require(answers == {b"HTTP/1.1 204 No Content": batches}, f"the answers were {answers}")
        return pushing.bytes

    return work


def _serving(database_url: str) -> tuple[str, int]:
    """Serve in this process until it ends. Returns the address."""
    meter = {
        "name": METER.name,
        "event_type": TYPE,
        "value": "$.usage.total_tokens",
        "aggregation": "sum",
        "unit": "token",
    }
    settings = alone({"database": {"url": database_url}, "metering": {"meters": [meter]}})
    app = build(settings, SystemClock())
    config = uvicorn.Config(
        create_app(app),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    serving = uvicorn.Server(config)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    while not serving.started:
        require(thread.is_alive(), "the server did not start")
        time.sleep(0.01)
    address: tuple[str, int] = serving.servers[0].sockets[0].getsockname()
    return address


def copied(database_url: str, batches: int, start: datetime) -> Callable[[], int]:
    """What keeps rows once and on disk with the least work: COPY each batch to a staging table, insert what is new, commit.
    Nothing is checked, nothing is read. The work returns how many rows."""
    connections = [psycopg.connect(database_url) for _ in range(CONNECTIONS)]
    columns = "source text, event_id text, type text, subject text, happened_at timestamptz, data jsonb"
    connections[0].execute(f"CREATE TABLE plain ({columns}, PRIMARY KEY (source, event_id))")
    connections[0].commit()
    for connection in connections:
        connection.execute("CREATE TEMPORARY TABLE staged (LIKE plain) ON COMMIT DELETE ROWS")
        connection.commit()
    rows = [[row(one, start) for one in range(number * BATCH, (number + 1) * BATCH)] for number in range(batches)]

    def lane(number: int) -> None:
        for batch in rows[number::CONNECTIONS]:
            _copy(connections[number], batch)

    def work() -> int:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lane, range(CONNECTIONS)))
        return batches * BATCH

    return work


def _copy(connection: psycopg.Connection[Any], batch: list[Row]) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY staged FROM STDIN") as copy:
            for one in batch:
                copy.write_row(one)
        cursor.execute("INSERT INTO plain SELECT * FROM staged ON CONFLICT DO NOTHING")
    connection.commit()


def _check(database_url: str, count: int, start: datetime) -> None:
    """Every event is there once, every tenant has what was pushed for it, and a commit means the disk."""
    right: Counter[str] = Counter()
    for number in range(count):
        right[tenant_of(number)] += tokens(number)
    period = Span(start - timedelta(days=1), start + timedelta(days=1))
    database = Database(database_url)
    with database.transaction() as session:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            require(session.execute(text(f"SHOW {name}")).scalar_one() == "on", f"{name} is off")
        slugs = {one.id: one.slug for one in tenants.listed(session)}
        found = {slugs[one.tenant_id]: one for one in store.totals(session, [METER], period, {METER.name: [period]})}
        stored = session.execute(text("SELECT count(*) FROM event")).scalar_one()
    database.close()
    require(stored == count == sum(one.events for one in found.values()), f"{stored} of {count} events are stored")
    require({who: one.quantity for who, one in found.items()} == {who: Decimal(n) for who, n in right.items()}, "sums")
