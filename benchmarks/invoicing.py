"""An invoice run: tenants with thirty lines each (ten SKUs, three dated prices), drafted from stored usage, issued in batches with
their charges, entries, addresses, notices and audit trail, archived before each commit. Against a plain client that copies rows of
the same sizes into bare tables, as many invoices a commit, and fsyncs the same documents to a file before each. Sums are
checked, and that a second run issues nothing."""

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import text

from benchmarks import postgres
from benchmarks.measure import Cost, Result, measured, middle, note, require
from billing.bootstrap import App, build
from billing.core.clock import ManualClock
from billing.core.period import month
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.invoicing.issuer import BATCH
from billing.settings import alone
from billing.wallets import store as wallets

TENANTS, TENANTS_SMALL = 10_000, 250
SKUS: Final = 10
PRICES: Final = ("2026-01-01", "2026-10-11", "2026-10-21")
LINES: Final = SKUS * len(PRICES)
REPEATS: Final = 5
TARGET: Final = 1.8
"""500 invoices a second where the plain client stores 877."""
PERIOD: Final = month(2026, 10)
CHAIN: Final = 31337
NOW: Final = datetime(2026, 11, 2, tzinfo=UTC)

_FLEET = """
    INSERT INTO tenant (slug, name, legal_name, country, email, attribution, tolerance_units, terms_days,
                        created_at)
      SELECT 'tenant-' || lpad(n::text, 5, '0'), 'Tenant ' || n, '', '', '', 'lease', 1, 14, '2026-09-01'
        FROM generate_series(1, {tenants}) n;
    INSERT INTO gpu (id, uuid, model, host, instance, source, in_service, last_seen_at)
      SELECT (t - 1) * {skus} + s, 'GPU-' || t || '-' || s, 'model ' || s, 'host-' || t, 'host-' || t || ':9400', 'bench',
             tstzrange('2026-09-01', '9999-01-01'), '2026-11-01' FROM generate_series(1, {tenants}) t, generate_series(1, {skus}) s;
    INSERT INTO device (id, gpu_id, gpu_i_id, profile, seat, first_seen_at, last_seen_at)
      SELECT id, id, '', '', int8range(840 * id, 840 * (id + 1)), '2026-09-01', '2026-11-01' FROM gpu;
    INSERT INTO lease (id, reference, tenant_id, gpu_id, seat, during, created_at)
      SELECT g.id, 'lease-' || t.id, t.id, g.id, int8range(840 * g.id, 840 * (g.id + 1)),
             tstzrange('2026-09-15', '9999-01-01'), '2026-09-01'
        FROM gpu g JOIN tenant t ON g.host = 'host-' || (substr(t.slug, 8)::bigint);
    INSERT INTO source (name, type, since, failure) VALUES ('bench', 'prometheus', '2026-09-01', '');
    INSERT INTO observation (source_id, device_id, during, state, labels, reason, recorded_at)
      SELECT 1, id, tstzrange('2026-10-01', '2026-11-01'), 'present', '{{}}', '', '2026-11-01' FROM device;
    INSERT INTO usage (tenant_id, device_id, seat, during, basis, lease_id, recorded_at)
      SELECT tenant_id, gpu_id, seat, tstzrange('2026-10-01', '2026-11-01'), 'lease', id, '2026-11-01' FROM lease;
    ANALYZE;
"""


def run(small: bool = False) -> Result:
    tenants, repeats = (TENANTS_SMALL, 1) if small else (TENANTS, REPEATS)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded.start(folder / "pg")
        note(f"invoicing: {tenants:,} tenants with {LINES} lines each")
        _prepare(postgres.database(server, "template_invoicing"), folder, tenants)
        plain: list[Cost[int]] = []
        ours: list[Cost[int]] = []
        for number in range(repeats):
            database = postgres.database(server, f"invoicing_{number}", "template_invoicing")
            ours.append(measured(issued, database, folder / f"ours_{number}"))
            _check(database, folder / f"ours_{number}", tenants)
            bare = postgres.database(server, f"plain_{number}")
            plain.append(measured(copied, bare, folder / f"plain_{number}", folder / f"ours_{number}"))
    result = Result(f"invoice run: {tenants:,} tenants x {LINES} lines", TARGET, middle(ours), middle(plain))
    result.compare(ours, plain)
    result.say(f"{tenants / result.ours.wall:,.0f} invoices a second; {BATCH} in a commit")
    result.say(f"the plain client: {tenants / result.plain.wall:,.0f} invoices a second")
    return result


def application(url: str, folder: Path) -> App:
    """The application without a node."""
    tokens = [{"symbol": "USDC", "address": "0x5fbdb2315678afecb367f032d93f642f64180aa3", "decimals": 6}]
    chain = {
        "chain_id": CHAIN,
        "name": "anvil",
        "rpc_urls": ["http://127.0.0.1:1"],
        "confirmations": 3,
        "tokens": tokens,
    }
    wallet = {"treasury": "0xa0ee7a142d267c1f36714e4a8f75612f20a79720", "treasury_kind": "eoa"}
    values: dict[str, Any] = {"data_dir": folder, "issuer": {"name": "Bench"}, "database": {"url": url}}
    settings = alone({**values, "wallet": {**wallet, "archive": [str(folder / "archive")]}, "chains": [chain]})
    return build(settings, ManualClock(NOW))


def _prepare(url: str, folder: Path, tenants: int) -> None:
    """Tenants that hold ten GPUs each for the whole of October; prices that change twice in it."""
    database = Database(url)
    migrate.upgrade(database)
    with psycopg.connect(url) as connection:
        connection.execute(_FLEET.format(tenants=tenants, skus=SKUS))
    database.close()
    app = application(url, folder / "prepared")
    prices = "".join(
        f'[[sku.price]]\nfrom = {since}\nper_hour = "{1 + number}.25"\n' for number, since in enumerate(PRICES)
    )
    skus = "".join(
        f'[[sku]]\ncode = "sku-{n}"\ntitle = "Model {n}"\nmodels = ["model {n}"]\n{prices}' for n in range(1, SKUS + 1)
    )
    app.rater.apply(f'currency = "USD"\n{skus}', actor="bench")
    assert app.wallet is not None
    with app.database.transaction() as session:
        generation = wallets.generation(session, app.wallet, NOW)
        wallets.accept_chain(session, generation.id, CHAIN, NOW)
    app.close()


def issued(url: str, folder: Path) -> Callable[[], int]:
    """The real issuer. The work returns how many invoices it issued."""
    app = application(url, folder)
    assert app.issuer is not None
    return lambda: len(app.issuer.run(PERIOD, actor="bench"))


def copied(url: str, folder: Path, beside: Path) -> Callable[[], int]:
    """What keeps the same documents with the least work: rows of the right number and size by COPY into tables with a key each, the
    documents appended to a file and fsynced, and then the commit. Nothing is computed, nothing is read."""
    folder.mkdir()
    (file,) = (beside / "archive").glob("documents-*.jsonl")
    documents = file.read_bytes().splitlines(keepends=True)
    connection = psycopg.connect(url)
    connection.execute("CREATE TABLE invoice (id bigint PRIMARY KEY, number text UNIQUE, document bytea)")
    for name in ("line", "charge", "posting"):
        connection.execute(
            f"CREATE TABLE {name} (invoice bigint, position int, what text, PRIMARY KEY (invoice, position))"
        )
    connection.commit()
    batches = [range(start, min(start + BATCH, len(documents))) for start in range(0, len(documents), BATCH)]
    rows = {"line": LINES, "charge": LINES, "posting": SKUS + 1}

    def work() -> int:
        with (folder / "documents.jsonl").open("ab") as out:
            for batch in batches:
                _copy(connection, batch, documents, rows)
                out.writelines(documents[one] for one in batch)
                out.flush()
                os.fsync(out.fileno())
                connection.commit()
        return len(documents)

    return work


def _copy(connection: psycopg.Connection[Any], batch: range, documents: list[bytes], rows: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY invoice FROM STDIN") as copy:
            for one in batch:
                copy.write_row((one, f"INV-{one:06}", documents[one]))
        for name, count in rows.items():
            with cursor.copy(f"COPY {name} FROM STDIN") as copy:
                for one in batch:
                    for position in range(count):
                        copy.write_row((one, position, "x" * 120))


def _check(url: str, folder: Path, tenants: int) -> None:
    """Everything is there once, adds up, and is in the archive; a second run issues nothing."""
    app = application(url, folder)
    require(app.issuer.run(PERIOD, actor="bench") == [], "a second run issued something")
    with app.database.transaction() as session:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            require(session.execute(text(f"SHOW {name}")).scalar_one() == "on", f"{name} is off")
        counts = [
            session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("invoice", "invoice_line", "charge", "notice")
        ]
    require(counts == [tenants, tenants * LINES, tenants * LINES, tenants], f"rows are {counts}")
    result = app.auditor.run(chains=False)
    require(not result.findings, f"the audit found {result.findings[:3]}")
    app.close()
