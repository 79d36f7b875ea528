"""From samples to books by the real daemon, killed with SIGKILL again and again: nothing is lost, nothing happens twice.

A real Prometheus holds the last days of a month, a real node the chain, and everybody pays while the daemon dies and
comes back. It dies while it starts, and then in the middle of its work: a moment after it has written something down.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from billing.core.period import month_of
from tests.daemon.process import Running, command, daemon
from tests.factories import H100
from tests.parts import prometheus, wait_for
from tests.world import World, world

STEP = 600
DAYS = 8
TEAMS = ("alpha", "beta", "gamma")


def last_month() -> tuple[datetime, datetime]:
    """The last days of a month that has been over for days, so that its last windows were read once more."""
    end = month_of(datetime.now(UTC) - timedelta(days=3)).start
    return end - timedelta(days=DAYS), end


def openmetrics(start: datetime, end: datetime) -> tuple[str, dict[str, int]]:
    """The days of three GPUs, one a team; beta's is idle every second day. And the true seconds of each team."""
    first, last = int(start.timestamp()), int(end.timestamp())
    lines, up = ["# TYPE DCGM_FI_DEV_GPU_TEMP gauge"], ["# TYPE up gauge"]
    truth = dict.fromkeys(TEAMS, 0)
    series: dict[str, list[int]] = {}
    for at in range(first, last + STEP, STEP):  # nothing of the next month, which may be over too
        up.append(f'up{{job="dcgm",instance="n1:9400"}} 1 {at}')
        for team in TEAMS:
            held = team != "beta" or ((at - 1 - first) // 86_400) % 2 == 0
            holder = f',namespace="{team}",pod="p"' if held else ""
            key = f'job="dcgm",instance="n1:9400",Hostname="n1",modelName="{H100}",UUID="GPU-{team}"{holder}'
            series.setdefault(key, []).append(at)
            if held and first < at <= last:
                truth[team] += STEP
    for labels, times in series.items():
        lines += [f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} 30 {at}" for at in times]
    return "\n".join([*lines, *up, "# EOF", ""]), truth


BOOK = f"""
currency = "USD"
[[sku]]
code = "h100"
title = "NVIDIA H100"
models = ["{H100}"]
[[sku.price]]
from = 2025-01-01
per_hour = "2.00"
"""


def settings(folder: Path, made: World, source: str, start: datetime) -> str:
    url = made.settings.database.url.get_secret_value()
    return f"""
data_dir = "{folder}"
[issuer]
name = "Test GPU Pty Ltd"
[database]
url = "{url}"
[[metering.sources]]
name = "brisbane"
type = "prometheus"
url = "{source}"
scrape_interval_seconds = {STEP}
since = "{start.isoformat()}"
[wallet]
treasury = "{made.treasury}"
treasury_kind = "eoa"
archive = ["{folder / "archive"}"]
[[chains]]
chain_id = 31337
name = "anvil"
rpc_urls = ["{made.url}"]
confirmations = 3
start_block = 0
poll_seconds = 1
tokens = [{{ symbol = "USDC", address = "{made.usdc}", decimals = 6 }}]
"""


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


def test_a_month_is_metered_invoiced_and_paid_while_the_daemon_is_killed(
    database_url: str, tmp_path: Path, scratch: Path
) -> None:
    start, end = last_month()
    samples, truth = openmetrics(start, end)
    dice = random.Random(7)
    with prometheus(scratch / "killed", samples) as source, world(database_url, tmp_path) as made:
        text = settings(tmp_path, made, source, start)
        config = tmp_path / "commands.toml"
        config.write_text(text)
        for team in TEAMS:
            assert command(config, "tenant", "add", team, "--label", team).returncode == 0
        (tmp_path / "book.toml").write_text(BOOK)
        assert command(config, "price", "apply", str(tmp_path / "book.toml")).returncode == 0

        lives = 0
        paid: set[str] = set()
        deadline = time.monotonic() + 1800
        while time.monotonic() < deadline:
            before = written(database_url)
            with daemon(tmp_path, text) as running:
                lives += 1
                _pay_what_is_open(made, database_url, paid)
                if lives > 2:  # the first ones end while they start
                    _at_work(running, database_url, before, changes=dice.randint(1, 20), patience=3 + lives)
                time.sleep(dice.uniform(0, 1))
                assert running.process.poll() is None, running.log.read_text()
                running.process.kill()  # SIGKILL: no chance to tidy up
            if lives > 7 and _all_paid(database_url):
                break
            made.node.mine(2)
        with daemon(tmp_path, text) as running:
            running.wait_ready()
            made.node.mine(12)
            wait_for(
                lambda: (
                    query(database_url, "SELECT count(*) FROM transfer WHERE state <> 'final' OR NOT settled") == [(0,)]
                ),
                "finality",
                60,
            )
            assert running.stop() == 0
        _check(database_url, truth, paid, end)
        audit = command(config, "audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr


Written = tuple[int, ...]


def written(url: str) -> Written:
    """How far the work is: each step that the daemon commits makes one of these larger."""
    tables = ("reading", "usage", "invoice", "transfer", "payment", "posting")
    (counts,) = query(url, f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in tables)}")
    return counts


def _at_work(running: Running, url: str, before: Written, *, changes: int, patience: float) -> None:
    """Returns in the middle of it: when so many changes were written, or when nothing is due for a while (a slow machine
    gets more patience from life to life)."""
    wait_for(lambda: running.log.read_text().count('"event": "started"') == 2, "daemon and worker", 300)
    quiet = time.monotonic()
    while changes and time.monotonic() - quiet < patience:
        now = written(url)
        if now != before:
            before, changes, quiet = now, changes - 1, time.monotonic()
        time.sleep(0.02)


def _pay_what_is_open(made: World, url: str, paid: set[str]) -> None:
    """Tenants pay each address once, in two parts."""
    rows = query(
        url, "SELECT i.number, a.address, i.amount_due FROM invoice i JOIN payment_address a ON a.invoice_id = i.id"
    )
    for number, address, due in rows:
        if number not in paid:
            paid.add(number)
            units = int(due) * 10_000
            made.node.transfer(made.usdc, address, units // 3)
            made.node.transfer(made.usdc, address, units - units // 3)


def _all_paid(url: str) -> bool:
    return query(url, "SELECT count(*) FROM invoice WHERE status = 'paid'") == [(3,)]


def _check(url: str, truth: dict[str, int], paid: set[str], end: datetime) -> None:
    metered = query(
        url,
        "SELECT t.slug, sum(extract(epoch FROM upper(u.during) - lower(u.during)))::bigint FROM usage u"
        f" JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL AND upper(u.during) <= '{end.isoformat()}'"
        " GROUP BY t.slug",
    )
    assert dict(metered) == truth
    invoices = query(url, "SELECT number, status, total FROM invoice ORDER BY number")
    assert [(n, s) for n, s, _ in invoices] == [(f"INV-{n:06d}", "paid") for n in (1, 2, 3)]
    assert {n for n, _, _ in invoices} == paid
    assert sorted(int(total) for _, _, total in invoices) == sorted(seconds * 200 // 3600 for seconds in truth.values())
    assert query(url, "SELECT count(*), count(DISTINCT tx_hash) FROM transfer") == [(6, 6)]
    assert query(url, "SELECT sum(units) FROM posting WHERE account = 'receivable'") == [(0,)]
    assert int(query(url, "SELECT sum(units) FROM posting WHERE account LIKE 'deposit:%'")[0][0]) == sum(
        int(total) * 10_000 for _, _, total in invoices
    )
