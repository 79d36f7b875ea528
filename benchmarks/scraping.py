"""Five minutes of scraping 300 dcgm-exporters every 15 s, without the pauses: pages fetched, presence found, runs stored
once a minute; against a client that only fetches the same pages, as many at a time. What is read back is compared with
what the pages showed."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from benchmarks import postgres
from benchmarks.exporters import GPUS, exporters, team, uuid
from benchmarks.measure import Cost, Result, measured, memory, middle, note, require
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.metering.reading import Run
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource
from billing.metering.store.scrapes import ScrapeLog

HOSTS, HOSTS_SMALL = 300, 20
ROUNDS, ROUNDS_SMALL = 20, 8
EVERY_MS: Final = 15_000
A_MINUTE: Final = 4
"""Rounds between two flushes."""
REPEATS: Final = 5
TARGET: Final = 1.5
START: Final = int(datetime(2026, 11, 1, 10, tzinfo=UTC).timestamp())
CONCURRENCY: Final = DcgmSettings("", ()).concurrency


def run(small: bool = False) -> Result:
    hosts, rounds = (HOSTS_SMALL, ROUNDS_SMALL) if small else (HOSTS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded.start(folder / "pg")
        template = Database(postgres.database(server, "template_scrapes"))
        migrate.upgrade(template)
        template.close()
        note(f"scraping: {hosts} exporters")
        plain: list[Cost[int]] = []
        ours: list[Cost[int]] = []
        with exporters(hosts) as targets:
            part = measured(scrape, targets, postgres.database(server, "part", "template_scrapes"), rounds // 4)
            for number in range(1 if small else REPEATS):
                plain.append(measured(fetch, targets, rounds))
                database = postgres.database(server, f"scrapes_{number}", "template_scrapes")
                ours.append(measured(scrape, targets, database, rounds))
                check(targets, database, rounds)
    result = Result(f"scraping: {rounds} rounds of {hosts} pages", TARGET, middle(ours), middle(plain))
    result.compare(ours, plain)
    share = result.ours.cpu / (rounds * EVERY_MS / 1000) * 100
    result.say(
        f"{plain[-1].answer / rounds / hosts / 1000:.0f} kB a page; at one round in 15 s {share:.1f} % of a core"
    )
    result.say(f"peak memory after a quarter of the rounds {memory(part)}, after all {memory(result.ours)}")
    return result


def scrape(targets: list[str], database_url: str, rounds: int) -> Callable[[], int]:
    """The scraper with its log in the database. Its work returns how many pages answered."""
    source = DcgmSource(DcgmSettings("bench", tuple(targets)), ScrapeLog(Database(database_url)))

    def work() -> int:
        answered = 0
        for number in range(rounds):
            answered += source.scrape(START * 1000 + number * EVERY_MS).answered
            if number % A_MINUTE == A_MINUTE - 1 or number == rounds - 1:
                source.flush()
        require(answered == rounds * len(targets), "a page did not answer")
        return answered

    return work


def fetch(targets: list[str], rounds: int) -> Callable[[], int]:
    """Fetch every page, so many at a time, with a client for each: one pool for all hosts, which anybody would write first,
    takes fifty times as long. Its work returns how many bytes there were."""
    context = httpx.create_ssl_context()
    clients = {target: httpx.Client(verify=context, headers={"Accept-Encoding": "identity"}) for target in targets}

    def work() -> int:
        size = 0
        for _ in range(rounds):
            with ThreadPoolExecutor(max_workers=min(CONCURRENCY, len(targets))) as pool:
                size += sum(pool.map(lambda target: len(clients[target].get(target).content), targets))
        return size

    return work


def check(targets: list[str], database_url: str, rounds: int) -> None:
    """Every GPU is one run under its label, from the first round to the last."""
    database = Database(database_url)
    reading = DcgmSource(DcgmSettings("bench", tuple(targets)), ScrapeLog(database)).read((START - 3600, START + 3600))
    database.close()
    first, last = START * 1000, START * 1000 + (rounds - 1) * EVERY_MS
    for host in range(len(targets)):
        for gpu in range(GPUS):
            labels = (team(host, gpu),) if team(host, gpu) else ()
            found = reading.devices[DeviceKey(uuid(host, gpu))].runs
            require(found == [Run(first, last, labels)], f"GPU {gpu} of host {host} has {found}")
    require(reading.samples == len(targets) * GPUS * rounds, "samples were lost")
