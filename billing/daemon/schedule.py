"""The job table: what is done how often, and under which role."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.bootstrap import App
from billing.bootstrap.chains import feeds_of
from billing.core.errors import StablemeterError
from billing.core.period import epoch_seconds
from billing.metering.sources.dcgm import DcgmSource
from billing.telemetry import metrics
from billing.telemetry.logs import logger

DAY: Final = 86_400
HOUR: Final = 3_600


class RoleName(StrEnum):
    """What a process may do. `collector` and `invoicer` run in the worker process, the others in the main one."""

    COLLECTOR = "collector"
    INVOICER = "invoicer"
    WATCHER = "watcher"
    WEB = "web"


WORKER_ROLES: Final = frozenset({RoleName.COLLECTOR, RoleName.INVOICER})


@dataclass(frozen=True, slots=True)
class Job:
    """`run` is one bounded tick: idempotent, and safe to kill at any line. It answers True when more is due at once."""

    name: str
    role: RoleName
    every_seconds: int
    run: Callable[[], bool]


def jobs(app: App, roles: frozenset[RoleName]) -> list[Job]:
    """The jobs of some roles."""
    table: list[Job] = []
    if RoleName.COLLECTOR in roles:
        table += [_scrape(app, source, every) for source, every in _scrapers(app)]
        table += [Job(f"flush {source.name}", RoleName.COLLECTOR, 60, _flush(source)) for source in app.scrapers]
        table.append(Job("collect", RoleName.COLLECTOR, 60, lambda: _collect(app)))
        table.append(Job("conserve", RoleName.COLLECTOR, 300, app.conserver.tick))
    if RoleName.INVOICER in roles:
        table.append(Job("invoice", RoleName.INVOICER, 300, lambda: _invoice(app)))
        table.append(Job("prepaid", RoleName.INVOICER, 60, lambda: _prepaid(app)))
        table.append(Job("dun", RoleName.INVOICER, 60, lambda: _dun(app)))
        table.append(Job("owners", RoleName.INVOICER, HOUR, lambda: _owners(app)))
        table.append(Job("deliver", RoleName.INVOICER, 2, lambda: _deliver(app)))
    if RoleName.WATCHER in roles:
        for chain, one in zip(app.chains, app.settings.chains, strict=True):
            table.append(Job(f"watch {chain.name}", RoleName.WATCHER, one.poll_seconds, _watch(app, chain.chain_id)))
            table.append(Job(f"prove {chain.name}", RoleName.WATCHER, 60, _prove(app, chain.chain_id)))
            table.append(Job(f"balances {chain.name}", RoleName.WATCHER, 300, _balances(app, chain.chain_id)))
            table.append(Job(f"check {chain.name}", RoleName.WATCHER, 300, _check(app, chain.chain_id)))
            if feeds_of(one):
                table.append(Job(f"quotes {chain.name}", RoleName.WATCHER, 30, _quotes(app, chain.chain_id)))
        if app.screener.policy.files:
            table.append(Job("lists", RoleName.WATCHER, 60, _lists(app)))
        if app.rules.controls:
            table.append(Job("controls", RoleName.WATCHER, 300, lambda: _controls(app)))
        table.append(Job("reconcile", RoleName.WATCHER, 1, lambda: _reconcile(app)))
        table.append(Job("audit", RoleName.WATCHER, DAY, lambda: _audit(app)))
    return table


def _scrapers(app: App) -> list[tuple[DcgmSource, int]]:
    return [
        (source, one.scrape_interval_seconds)
        for source, one in zip(app.sources, app.settings.metering.sources, strict=True)
        if isinstance(source, DcgmSource)
    ]


def _scrape(app: App, source: DcgmSource, every: int) -> Job:
    def tick() -> bool:
        now = app.clock.now()
        found = source.scrape(epoch_seconds(now) * 1000 + now.microsecond // 1000, spread_ms=every * 1000 // 2)
        metrics.SCRAPES.labels(source.name, "answered").inc(found.answered)
        metrics.SCRAPES.labels(source.name, "failed").inc(len(found.failed))
        for target, why in list(found.failed.items())[:5]:
            logger("scrape").warning("exporter failed", source=source.name, target=target, why=why)
        return False

    return Job(f"scrape {source.name}", RoleName.COLLECTOR, every, tick)


def _flush(source: DcgmSource) -> Callable[[], bool]:
    def tick() -> bool:
        source.flush()
        return False

    return tick


def _collect(app: App) -> bool:
    outcome = app.collector.tick(progress=lambda name, _: metrics.WINDOWS.labels(name).inc())
    if outcome.windows or outcome.failures:
        logger("collect").info(
            "windows read", windows=outcome.windows, samples=outcome.samples, failures=outcome.failures
        )
    if outcome.failures:
        raise StablemeterError(f"{outcome.failures} sources could not be read; see meter status")
    return outcome.windows > 0


def _invoice(app: App) -> bool:
    issued = app.issuer.tick()
    if issued:
        logger("invoice").info("invoices issued", count=issued)
    return False


def _prepaid(app: App) -> bool:
    done = app.prepayer.tick()
    if done.low or done.exhausted:
        logger("prepaid").info("credit runs out", low=done.low, exhausted=done.exhausted)
    if done.failed:
        tenant, why = next(iter(done.failed.items()))
        raise StablemeterError(f"how long credit lasts is unknown of {len(done.failed)} tenants; {tenant}: {why}")
    return False


def _dun(app: App) -> bool:
    done = app.dunner.tick()
    if done.reminders or done.overdue or done.suspended or done.resumed:
        logger("dun").info(
            "told who owes",
            reminders=done.reminders,
            overdue=done.overdue,
            suspended=done.suspended,
            resumed=done.resumed,
        )
    return False


def _owners(app: App) -> bool:
    done = app.settler.settle()
    if done.lines:
        logger("owners").info("owners' shares settled", lines=done.lines, entries=done.entries)
    return False


def _deliver(app: App) -> bool:
    done = app.deliverer.tick()
    if done.dead:
        logger("deliver").error("receivers were given up; see notice list --state dead", deliveries=done.dead)
    elif done.failed:
        logger("deliver").warning("receivers did not take notices; they are tried again", deliveries=done.failed)
    return done.more


def _watch(app: App, chain_id: int) -> Callable[[], bool]:
    stalled = False

    def tick() -> bool:
        nonlocal stalled
        watcher = app.watchers[chain_id]
        name = watcher.chain.name
        done = watcher.tick()
        metrics.BLOCKS.labels(name).inc(done.blocks)
        metrics.LOGS.labels(name).inc(done.logs)
        metrics.TRANSFERS.labels(name).inc(done.transfers)
        metrics.ZERO_TRANSFERS.labels(name).inc(done.zero_value)
        metrics.REORGS.labels(name).inc(done.reorgs)
        if done.transfers or done.reorgs:
            logger("watch").info(
                "chain moved", chain=name, transfers=done.transfers, reorgs=done.reorgs, orphaned=done.orphaned
            )
        if done.stalled and not stalled:
            said = "no block becomes final" if done.stalled.height == "final" else "no payment begins to count"
            rule = app.watchers[chain_id].chain.finality.rule_of(done.stalled.height)
            logger("watch").error(f"{said}; see docs/finality.md", chain=name, rule=rule, seconds=done.stalled.seconds)
        stalled = done.stalled is not None
        return done.behind > 0 and done.blocks > 0

    return tick


def _prove(app: App, chain_id: int) -> Callable[[], bool]:
    def tick() -> bool:
        if not app.budgets[chain_id].ample:  # what is left is for new payments
            return False
        name, done = app.watchers[chain_id].chain.name, app.proofreaders[chain_id].tick()
        metrics.PROVEN_DIFFERENCES.labels(name, "found").inc(done.found)
        metrics.PROVEN_DIFFERENCES.labels(name, "doubted").inc(done.doubted)
        if done.found:
            logger("prove").warning("payments were found that an endpoint had left out", chain=name, found=done.found)
        if done.doubted:
            logger("prove").error("transfers are not on the chain as they are stored", chain=name, count=done.doubted)
        return done.behind > 0

    return tick


def _balances(app: App, chain_id: int) -> Callable[[], bool]:
    def tick() -> bool:
        if not app.budgets[chain_id].ample:  # what is left is for new payments
            return False
        done = app.auditor.look(chain_id)
        metrics.BALANCES.labels(app.watchers[chain_id].chain.name, "read").inc(done.read)
        metrics.BALANCES.labels(app.watchers[chain_id].chain.name, "counted").inc(done.counted)
        metrics.BALANCES.labels(app.watchers[chain_id].chain.name, "forgotten").inc(done.forgotten)
        return done.read > 0

    return tick


def _quotes(app: App, chain_id: int) -> Callable[[], bool]:
    told: dict[str, str] = {}

    def tick() -> bool:
        done = app.quote(chain_id)
        for name, reason in done.without.items():
            if name not in told:
                logger("quotes").error("a feed gives no rate", token=name, reason=reason)
        told.clear()
        told.update(done.without)
        return False

    return tick


def _lists(app: App) -> Callable[[], bool]:
    told: dict[str, str] = {}

    def tick() -> bool:
        app.screener.refresh()
        alarms = app.screener.alarms()
        for name, why in alarms.items():
            if told.get(name) != why:
                logger("lists").error("a list of sanctioned addresses is not as it should be", list=name, why=why)
        told.clear()
        told.update(alarms)
        return False

    return tick


def _check(app: App, chain_id: int) -> Callable[[], bool]:
    def tick() -> bool:
        app.check_chain(chain_id)
        return False

    return tick


def _reconcile(app: App) -> bool:
    done = app.reconciler.tick()
    if done.held:
        logger("reconcile").error("payments are held: their sender is on a list; see exception list", held=done.held)
    if done.booked or done.reversed or done.exceptions:
        logger("reconcile").info(
            "transfers settled",
            booked=done.booked,
            reversed=done.reversed,
            paid=done.invoices_paid,
            reopened=done.invoices_reopened,
            exceptions=done.exceptions,
        )
    return False


def _controls(app: App) -> bool:
    asked = app.control_asker.tick()
    if asked:
        logger("controls").error("GPUs are held against a rule; see exception list", questions=asked)
    return False


def _audit(app: App) -> bool:
    result = app.auditor.run(fresh=False)
    for finding in result.findings[:20]:
        logger("audit").error("finding", check=finding.check, subject=finding.subject, detail=finding.detail)
    if result.findings:
        raise StablemeterError(f"the audit has {len(result.findings)} findings", remedy="stablemeter audit lists them")
    return False
