"""`stablemeter demo`: the story, told step by step. Every step uses the application as a real installation does."""

import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from billing.bootstrap import App, build
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable
from billing.core.onchain import ZERO_ADDRESS
from billing.core.period import FOREVER, HOUR, Span, month_of
from billing.db import embedded, migrate
from billing.demo import fleet, summary
from billing.demo.evm import CHAIN_ID, DemoNode, local_node
from billing.demo.exporters import Exporters, exporters
from billing.demo.fleet import Site
from billing.demo.payers import Story
from billing.metering.sources.dcgm import DcgmSource
from billing.metering.store import facts
from billing.reports.reporter import Format
from billing.settings import alone
from billing.tenants.tenant import Attribution, Tenant
from billing.wallets.forwarder import Treasury

BOOK = """
currency = "USD"
[[sku]]
code = "h100-sxm"
title = "NVIDIA H100 SXM 80 GB"
models = ["NVIDIA H100 80GB HBM3"]
[[sku.price]]
from = 2025-01-01
per_hour = "2.49"
"""
ACTOR = "demo"
ROUNDS = 7 * 24
"""Rounds of scraping between two writes. The daemon writes once a minute; here a month passes in seconds."""


class DemoClock(ManualClock):
    """Stands where the story is; after `release` it is the real time."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self._released = False

    def release(self) -> None:
        self._released = True

    def now(self) -> datetime:
        return datetime.now(UTC) if self._released else super().now()


@dataclass
class Stage:
    """Everything that is up during the story."""

    app: App
    clock: DemoClock
    node: DemoNode
    exporters: Exporters
    month: Site
    live: Site
    console: Console
    period: Span
    folder: Path
    started: float
    ending: "Ending | None" = None

    def say(self, text: str) -> None:
        self.check()
        self.console.print(f"[dim]{time.monotonic() - self.started:5.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    def check(self) -> None:
        """Raises SystemExit when somebody asked for the end."""
        if self.ending is not None:
            self.ending.check()


def play(*, directory: Path | None, port: int, leave: bool, small: bool) -> int:
    """Play it all. Exit code 0 only when what was metered is the fleet's truth, the audit found nothing, documents verify
    and the same money is everywhere. Raises Conflict for a folder that is in use, Unavailable when a part does not start."""
    console = Console()
    if not console.is_terminal:
        console.width = 140
    if not leave:
        _require_free(port)
    with ExitStack() as stack:
        ending = Ending(stack)
        folder = _folder(stack, directory)
        stage = _set_up(stack, folder, port, console, small)
        stage.ending = ending
        _meter(stage)
        right = _compare(stage)
        story = Story(stage.app, stage.node, stage.period, stage.say)
        story.tell()
        right = _finish(stage, story, kept=directory is not None or not leave) and right
        if not leave:
            from billing.demo.pages import pages_up

            stage.clock.release()
            pages_up(stage.app, story.invoices()[0].pay_token, console)
    return 0 if right else 1


def _folder(stack: ExitStack, directory: Path | None) -> Path:
    """An empty folder: the named one, or one that is gone afterwards."""
    if directory is None:
        made = tempfile.TemporaryDirectory(prefix="stablemeter-demo-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
    else:
        folder = directory.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise Conflict(f"{directory} is not empty", remedy="name a new folder")
        except OSError as error:
            raise Unavailable(f"{directory} cannot be used: {error.strerror}") from None
    folder.chmod(0o755)  # the embedded database runs as another user when this one is root
    return folder


def _require_free(port: int) -> None:
    """Raises Unavailable when somebody listens there: better now than after the story."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unavailable(f"cannot listen on 127.0.0.1:{port}: {error.strerror}", remedy="--port") from None


class Ending:
    """Ctrl-C and SIGTERM unwind the story, so that no node, exporter or database stays behind. A signal that arrives
    where Python cannot raise (in a destructor) is lost to everybody else; the next `check` remembers it."""

    def __init__(self, stack: ExitStack) -> None:
        self.code: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, self._end))

    def check(self) -> None:
        if self.code is not None:
            raise SystemExit(self.code)

    def _end(self, number: int, _frame: object) -> None:
        self.code = 128 + number
        self.check()


def _set_up(stack: ExitStack, folder: Path, port: int, console: Console, small: bool) -> Stage:
    started = time.monotonic()
    now = datetime.now(UTC).replace(microsecond=0)
    period = month_of(month_of(now).start - timedelta(days=1))
    hour = int(now.timestamp()) // HOUR * HOUR - HOUR
    month, live = fleet.month_site(period.seconds, small=small), fleet.live_site((hour, hour + HOUR), small=small)
    console.print("[bold]Stablemeter demo[/]: a month of "
                  f"{len(month.hosts)} servers, one live hour of {len(live.hosts)}, three payers, one chain")  # fmt: skip
    up = stack.enter_context(exporters([month, live]))
    url, node = stack.enter_context(local_node())
    operator, treasury = node.accounts()[0], node.accounts()[9]
    token = node.deploy_token(operator)
    node.deploy_factory(operator, Treasury(treasury, ZERO_ADDRESS, is_contract=False))
    settings = alone(
        {
            "data_dir": folder,
            "issuer": {"name": "Demo GPU Pty Ltd"},
            "wallet": {"treasury": treasury, "treasury_kind": "eoa"},
            "web": {"listen": f"127.0.0.1:{port}"},
            "metering": {
                "sources": [
                    _source(month, up.targets(month), since=datetime.fromtimestamp(period.seconds[0], UTC)),
                    _source(live, up.targets(live), since=datetime.fromtimestamp(hour, UTC)),
                ]
            },
            "chains": [
                {
                    "chain_id": CHAIN_ID,
                    "name": "local",
                    "rpc_urls": [url],
                    "confirmations": 3,
                    "start_block": 0,
                    "poll_seconds": 1,
                    "tokens": [{"symbol": "USDC", "address": token, "decimals": 6}],
                }
            ],
        }
    )
    clock = DemoClock(period.start)
    app = build(settings, clock)
    stack.callback(embedded.stop, folder)
    stack.callback(app.close)
    migrate.upgrade(app.database)
    stage = Stage(app, clock, node, up, month, live, console, period, folder, started)
    stage.say("PostgreSQL, a local EVM node with a test token, and the exporters are up")
    app.rater.apply(BOOK, actor=ACTOR)
    for tenant, labels in (
        (Tenant("acme", "Acme Robotics", Attribution.LEASE, legal_name="Acme Robotics GmbH", country="DE"), []),
        (Tenant("beta", "Beta Labs", Attribution.OBSERVED, legal_name="Beta Labs Inc.", country="US"), ["beta-train"]),
        (Tenant("orbit", "Orbit Cloud", Attribution.OBSERVED, legal_name="Orbit Cloud Ltd", country="GB"), []),
        (Tenant("delta", "Delta Health", Attribution.OBSERVED, reseller="orbit"), ["delta-prod"]),
    ):
        app.registrar.add(tenant, labels, actor=ACTOR)
    stage.say("tenants: acme leases bare metal, beta is seen by its namespace, delta buys through the reseller orbit")
    return stage


def _source(site: Site, targets: list[str], *, since: datetime) -> dict[str, Any]:
    return {
        "name": site.name,
        "type": "dcgm",
        "targets": targets,
        "scrape_interval_seconds": site.step,
        "since": since.isoformat(),
        "evidence": "operator",
        "concurrency": 2,  # the exporters are one process: more would only wait for each other
    }


@contextmanager
def _bar(stage: Stage, title: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(
        TextColumn("         {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=stage.console, transient=True, disable=not stage.console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def _meter(stage: Stage) -> None:
    """Scrape both sites step by step, then read what is due."""
    by_name = {source.name: source for source in stage.app.scrapers}
    for site, leased in ((stage.month, "metal-"), (stage.live, "hall-a-")):
        source = by_name[site.name]
        _scrape(stage, site, source, leased)
        later = timedelta(hours=25 if site is stage.month else 4)  # a month is invoiced a day after its end
        stage.clock.move_to(_time(site.span[1]) + later)
        outcome = stage.app.collector.collect(Span(_time(site.span[0]), _time(site.span[1])), [site.name])
        stage.say(
            f"{site.name}: {outcome.windows} windows read, {outcome.samples:,} samples of {len(site.hosts) * fleet.GPUS:,} GPUs"
        )


def _scrape(stage: Stage, site: Site, source: DcgmSource, leased: str) -> None:
    """One round a step, written down once a week of rounds; the first also tells the inventory, so that leases can begin."""
    start, end = site.span
    rounds = range(start + site.step, end + 3 * site.step, site.step)
    with _bar(stage, f"scraping {site.name}", len(rounds)) as advance:
        for number, at in enumerate(rounds):
            stage.exporters.set_clock(min(at, end))
            source.scrape(at * 1000)
            if number % ROUNDS == 0:
                source.flush()
            stage.check()
            advance()
    source.flush()
    stage.say(f"{site.name}: {len(rounds)} rounds of {len(site.hosts)} exporter pages scraped over HTTP")
    stage.clock.move_to(_time(start + HOUR) + timedelta(hours=4))
    stage.app.collector.collect(Span(_time(start), _time(start + HOUR)), [site.name])
    hosts = [host for host in site.hosts if host.startswith(leased)]
    stage.app.leaser.add("acme", Span(_time(start), FOREVER), hosts=hosts, reference=f"acme-{site.name}", actor=ACTOR)
    stage.app.collector.apply_changes()


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _compare(stage: Stage) -> bool:
    """What was metered against what the fleet really did."""
    metered: dict[str, int] = {}
    with stage.app.database.transaction() as session:
        for row in facts.usage_by_device(session, stage.period):
            metered[row["tenant"]] = metered.get(row["tenant"], 0) + row["seconds"]
    leased = sum(host.startswith("metal-") for host in stage.month.hosts) * fleet.GPUS
    length = stage.period.seconds[1] - stage.period.seconds[0]
    excluded = sum(end - start for spans in stage.month.gone.values() for start, end in spans)
    truth = {
        "acme": leased * length - excluded,
        "beta": stage.month.truth("beta-train"),
        "delta": stage.month.truth("delta-prod"),
    }
    for slug, seconds in truth.items():
        found = metered.get(slug, 0)
        word = "exactly the fleet's truth" if found == seconds else f"{found - seconds:+d} s against the truth"
        stage.say(f"metered {slug}: {found / 3600:,.0f} GPU-hours, {word}")
    return metered == truth


def _finish(stage: Stage, story: Story, *, kept: bool) -> bool:
    """Audit, verify, export, summary. True when everything is as it should be."""
    result = stage.app.auditor.run(actor=ACTOR)
    conserved = stage.app.meter_reporter.conserved(stage.period)
    hours = {name.value: seconds // 3600 for name, seconds in conserved.gpu_seconds.items() if seconds}
    stage.say("where every GPU-hour went: " + ", ".join(f"{name} {amount:,}" for name, amount in hours.items()))
    wrong = [*map(str, result.findings), *result.skipped]
    stage.say(f"audit: {len(wrong)} findings" if wrong else f"audit: {len(result.checked)} invariants hold")
    for finding in wrong[:10]:
        stage.say(f"  [red]{finding}[/]")
    invoices = story.invoices()
    genuine, forged = summary.verified(stage.app, invoices)
    stage.say(
        f"verified offline, as payers do: {genuine} of {len(invoices)} documents are genuine, "
        f"{forged} of them with another's address"
    )
    target = stage.folder / f"reconciliation-{stage.period.start:%Y-%m}.csv"
    content = b"".join(stage.app.reporter.reconciliation(stage.period, Format.CSV))
    target.write_bytes(content)
    lines = content.count(b"\n") - 1
    stage.say(f"reconciliation report: {lines} rows" + (f" in {target}" if kept else ""))
    same = summary.show(stage.app, stage.period, stage.console)
    summary.farewell(stage.app, invoices, stage.console, kept=kept)
    return same and not wrong and (genuine, forged) == (len(invoices), 0)
