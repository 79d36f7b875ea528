"""`stablemeter demo`: the story, told step by step. Every step uses the application as a real installation does."""

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
from billing.core.money import decimal_text
from billing.core.onchain import ZERO_ADDRESS, checksum
from billing.core.period import FOREVER, HOUR, Span, month_of
from billing.db import migrate
from billing.demo import fleet
from billing.demo.evm import CHAIN_ID, DemoNode, local_node
from billing.demo.exporters import Exporters, exporters
from billing.demo.fleet import Site
from billing.demo.payers import Story
from billing.metering.sources.dcgm import DcgmSource
from billing.settings import Settings
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

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:5.1f} s[/]  {text}", highlight=False, soft_wrap=True)


def play(*, directory: Path | None, port: int, leave: bool, small: bool) -> int:
    """Play it all. Exit code 0 only when the audit found nothing, and what was metered is the fleet's truth."""
    console = Console()
    if not console.is_terminal:
        console.width = 140
    with ExitStack() as stack:
        folder = directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="stablemeter-demo-", ignore_cleanup_errors=True))
        )
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # the embedded database runs as another user when this one is root
        stage = _set_up(stack, folder, port, console, small)
        _meter(stage)
        right = _compare(stage)
        story = Story(stage.app, stage.node, stage.period, stage.say)
        story.tell()
        findings = _finish(stage, story)
        if not leave:
            from billing.demo.pages import pages_up

            stage.clock.release()
            pages_up(stage.app, console)
    return 0 if right and not findings else 1


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
    settings = Settings.model_validate(
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
    }


@contextmanager
def _bar(stage: Stage, title: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(
        TextColumn("         {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=stage.console, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def _meter(stage: Stage) -> None:
    """Scrape both sites step by step, then read what is due."""
    by_name = {source.name: source for source in stage.app.scrapers}
    for site, leased in ((stage.month, "metal-"), (stage.live, "hall-a-")):
        source = by_name[site.name]
        _scrape(stage, site, source, leased)
        stage.clock.move_to(_time(site.span[1]) + timedelta(hours=4))
        outcome = stage.app.collector.collect(Span(_time(site.span[0]), _time(site.span[1])), [site.name])
        stage.say(
            f"{site.name}: {outcome.windows} windows read, {outcome.samples:,} samples of {len(site.hosts) * fleet.GPUS:,} GPUs"
        )


def _scrape(stage: Stage, site: Site, source: DcgmSource, leased: str) -> None:
    """One round a step, written down once a day of rounds; the first round also tells the inventory, so leases can begin."""
    start, end = site.span
    rounds = range(start + site.step, end + 3 * site.step, site.step)
    with _bar(stage, f"scraping {site.name}", len(rounds)) as advance:
        for number, at in enumerate(rounds):
            stage.exporters.set_clock(min(at, end))
            source.scrape(at * 1000)
            if number % 24 == 0:
                source.flush()
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
    drafted = stage.app.drafter.preview(stage.period)
    metered = {line.consumer.slug: line.rated.seconds for draft in drafted.drafts for line in draft.lines}
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


def _finish(stage: Stage, story: Story) -> int:
    """Audit, export, summary."""
    result = stage.app.auditor.run(actor=ACTOR)
    conserved = stage.app.meter_reporter.conserved(stage.period)
    stage.say(
        f"audit: {len(result.checked)} invariants hold"
        if not result.findings
        else f"audit: {len(result.findings)} findings"
    )
    for finding in result.findings[:10]:
        stage.say(f"  [red]{finding}[/]")
    hours = {name.value: seconds // 3600 for name, seconds in conserved.gpu_seconds.items() if seconds}
    stage.say("where every GPU-hour went: " + ", ".join(f"{name} {amount:,}" for name, amount in hours.items()))
    from billing.reports.reporter import Format

    target = stage.folder / f"reconciliation-{stage.period.start:%Y-%m}.csv"
    target.write_bytes(stage.app.reporter.reconciliation(stage.period, Format.CSV))
    stage.say(f"reconciliation exported to {target}")
    _summary(stage, story)
    return len(result.findings) + len(result.skipped)


def _summary(stage: Stage, story: Story) -> None:
    from rich.table import Table

    table = Table(title=f"Invoices for {stage.period.start:%B %Y}", title_justify="left", box=None, header_style="bold")
    for column in ("number", "payer", "total USD", "paid", "status", "payment address"):
        table.add_column(
            column, justify="right" if column in ("total USD", "paid") else "left", no_wrap=column == "payment address"
        )
    for invoice in story.invoices():
        table.add_row(
            invoice.number,
            invoice.tenant,
            decimal_text(invoice.total, 2),
            decimal_text(invoice.paid, 2),
            invoice.status.value,
            checksum(invoice.address) if invoice.address else "",
        )
    stage.console.print()
    stage.console.print(table)
    first = story.invoices()[0]
    stage.console.print(
        f"\ninvoice page: {stage.app.settings.public_url}/pay/{first.pay_token}", highlight=False, soft_wrap=True
    )
    assert stage.app.wallet is not None
    stage.console.print(f"the issuer's pin: {stage.app.wallet.pin()}", highlight=False, soft_wrap=True)
