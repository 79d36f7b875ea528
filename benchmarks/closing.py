"""The usage report of a month with a million intervals, each a row: a hundred thousand GPUs, each let to ten tenants in turn. As
CSV and as XLSX; against a plain client that copies the intervals out of the database to a file. Memory must not grow with the
month: a tenth of it is measured, too. Seconds are checked."""

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from benchmarks import postgres
from benchmarks.invoicing import PERIOD, application
from benchmarks.measure import Cost, Result, measured, memory, note, require
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.reports.reporter import Format

GPUS, GPUS_SMALL = 100_000, 200
TURNS: Final = 10
TENANTS: Final = 1_000
HOURS: Final = 72
"""Of each turn."""
TARGET: Final = 20.0

_FLEET = """
    INSERT INTO tenant (slug, name, legal_name, country, email, attribution, tolerance_units, terms_days, created_at)
      SELECT 'tenant-' || n, 'Tenant ' || n, '', '', '', 'observed', 1, 14, '2026-09-01' FROM generate_series(1, {tenants}) n;
    INSERT INTO gpu (id, uuid, model, host, instance, source, in_service, last_seen_at)
      SELECT n, 'GPU-' || n, 'model 1', 'host-' || n / 8, 'host-' || n / 8, 'bench', tstzrange('2026-09-01', '9999-01-01'),
             '2026-11-01' FROM generate_series(1, {gpus}) n;
    INSERT INTO device (id, gpu_id, gpu_i_id, profile, seat, first_seen_at, last_seen_at)
      SELECT id, id, '', '', int8range(840 * id, 840 * (id + 1)), '2026-09-01', '2026-11-01' FROM gpu;
    INSERT INTO source (name, type, since, failure) VALUES ('bench', 'prometheus', '2026-09-01', '');
    INSERT INTO observation (source_id, device_id, during, state, labels, reason, recorded_at)
      SELECT 1, id, tstzrange('2026-10-01', '2026-11-01'), 'present', '{{}}', '', '2026-11-01' FROM device;
    INSERT INTO usage (tenant_id, device_id, seat, during, basis, recorded_at)
      SELECT 1 + (g.id + turn * 97) % {tenants}, g.id, int8range(840 * g.id, 840 * (g.id + 1)),
             tstzrange('2026-10-01'::timestamptz + turn * interval '{hours} hours',
                       '2026-10-01'::timestamptz + (turn + 1) * interval '{hours} hours'), 'observed', '2026-11-01'
        FROM gpu g, generate_series(0, {turns} - 1) turn;
    ANALYZE;
"""


def run(small: bool = False) -> list[Result]:
    gpus = GPUS_SMALL if small else GPUS
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded.start(folder / "pg")
        note(f"closing: {gpus * TURNS:,} intervals")
        whole, part = (_prepared(postgres.database(server, f"gpus_{n}"), folder, n) for n in (gpus, gpus // 10))
        plain = measured(copied, whole, folder / "plain.csv")
        return [_result(ending, gpus, (whole, part), plain, folder) for ending in (Format.CSV, Format.XLSX)]


def _result(ending: Format, gpus: int, urls: tuple[str, str], plain: Cost[int], folder: Path) -> Result:
    tenth = measured(reported, urls[1], folder, ending)
    ours = measured(reported, urls[0], folder, ending)
    result = Result(f"usage report: {gpus * TURNS:,} rows as {ending}", TARGET, ours, plain)
    result.compare([ours], [plain])
    result.say(f"peak memory with a tenth of it {memory(tenth)}, with all of it {memory(ours)}; {ours.answer:,} bytes")
    if ending is Format.CSV:
        with (folder / "usage.csv").open(newline="") as file:
            seconds = [int(row["seconds"]) for row in csv.DictReader(file)]
        require((len(seconds), sum(seconds)) == (gpus * TURNS, gpus * TURNS * HOURS * 3600), "the seconds")
    return result


def _prepared(url: str, folder: Path, gpus: int) -> str:
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with psycopg.connect(url) as connection:
        connection.execute(_FLEET.format(gpus=gpus, tenants=TENANTS, turns=TURNS, hours=HOURS))
    app = application(url, folder / "prepared")
    sku = '[[sku]]\ncode = "h100"\ntitle = "H100"\nmodels = ["model 1"]\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = "2.00"\n'
    app.rater.apply(f'currency = "USD"\n{sku}', actor="bench")
    app.close()
    return url


def reported(url: str, folder: Path, ending: Format) -> Callable[[], int]:
    """The real reporter, into a file. The work returns how many bytes."""
    app = application(url, folder / "data")

    def work() -> int:
        path = folder / f"usage.{ending}"
        with path.open("wb") as file:
            file.writelines(app.reporter.usage(PERIOD, ending))
        return path.stat().st_size

    return work


def copied(url: str, path: Path) -> Callable[[], int]:
    """What writes the intervals to a file with the least work: COPY. Nothing is priced, nothing is measured."""
    connection = psycopg.connect(url)
    query = (
        "SELECT t.slug, g.uuid, g.model, lower(u.during), upper(u.during),"
        " extract(epoch FROM upper(u.during) - lower(u.during))::bigint"
        " FROM usage u JOIN tenant t ON t.id = u.tenant_id JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id"
        " WHERE u.superseded_at IS NULL ORDER BY 1, 2, 4"
    )

    def work() -> int:
        with (
            path.open("wb") as file,
            connection.cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as copy,
        ):
            file.writelines(copy)
        return path.stat().st_size

    return work
