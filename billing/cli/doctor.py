"""What `stablemeter doctor` looks at: one line each, with what to do when it is wrong."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from billing.bootstrap import App
from billing.chain.block import Block
from billing.chain.node import Node
from billing.chain.watcher import Watcher
from billing.compliance import store as compliance
from billing.core.errors import StablemeterError
from billing.core.onchain import checksum
from billing.db import catalog, migrate
from billing.metering.sources.csvfile import CsvSource
from billing.metering.sources.dcgm import DcgmSource
from billing.metering.sources.kubernetes import KubernetesSource
from billing.metering.sources.slurm import SlurmSource
from billing.wallets.safe import Safe, safe
from billing.wallets.wallet import ForwarderWallet, TreasuryKind

OWNERS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Check:
    what: str
    ok: bool
    detail: str


def examine(app: App) -> list[Check]:
    """Every check, in the order in which things are needed. One that fails does not hide the others."""
    checks = [_check("settings", lambda: f"read; data in {app.settings.data_dir}")]
    checks.append(_check("database", lambda: _database(app)))
    if checks[-1].ok:
        checks.append(_check("schema", lambda: _schema(app)))
    checks.append(_check("clock", lambda: _clock(app)))
    checks.append(_check("archive", lambda: _archive(app)))
    for source in app.sources:
        checks.append(_check(f"source {source.name}", lambda source=source: _source(source)))  # type: ignore[misc]
    if not app.sources:
        checks.append(Check("sources", False, "none is configured; add [[metering.sources]]"))
    checks.append(_check("wallet", lambda: _wallet(app)))
    for chain in app.chains:
        checks.append(_check(f"chain {chain.name}", lambda chain_id=chain.chain_id: _chain(app, chain_id)))  # type: ignore[misc]
    if app.settings.compliance.lists:
        checks.append(_check("sanctions lists", lambda: _lists(app)))
    if not app.chains:
        checks.append(Check("chains", False, "none is configured; add [[chains]]"))
    if isinstance(app.wallet, ForwarderWallet) and app.wallet.treasury_kind is TreasuryKind.CONTRACT and app.chains:
        checks.append(_check("treasury", lambda: signers(_safes(app))))
    return checks


def _check(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, True, look())
    except StablemeterError as error:
        return Check(what, False, str(error))


def _database(app: App) -> str:
    with app.database.transaction() as session:
        version = str(session.connection().connection.driver_connection.info.server_version)  # type: ignore[union-attr]
    if int(version) < 140000:
        raise StablemeterError(f"PostgreSQL {version} is too old", remedy="14 or newer is needed")
    kind = "given by database.url" if app.settings.database.url.get_secret_value() else "embedded"
    return f"PostgreSQL {int(version) // 10000}, {kind}"


def _schema(app: App) -> str:
    if migrate.current(app.database) is None and not app.settings.database.url.get_secret_value():
        migrate.upgrade(app.database)
    app.require_current_schema()
    found = catalog.differences(app.database)
    if found:
        raise StablemeterError(f"{len(found)} differences, first: {found[0]}", remedy="stablemeter db check lists them")
    return f"version {migrate.newest()}, as expected"


def _clock(app: App) -> str:
    """The database's clock is the other one that is at hand."""
    with app.database.transaction() as session:
        there = session.connection().exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    apart = abs(datetime.now(UTC) - there)
    if apart > timedelta(seconds=5):
        raise StablemeterError(
            f"this machine and the database are {apart.total_seconds():.0f} s apart", remedy="run NTP on both"
        )
    return "agrees with the database's"


def _archive(app: App) -> str:
    app.archive.check()
    directories = app.archive.directories
    free = min(shutil.disk_usage(directory).free for directory in directories)
    data = app.settings.data_dir
    shared = [d for d in directories if data.exists() and d.stat().st_dev == data.stat().st_dev]
    advice = (
        "; put one on another disk or host: it is the recovery key of every address"
        if len(shared) == len(directories)
        else ""
    )
    return f"{len(directories)} directories can be written, {free // 2**30} GiB free{advice}"


def _source(source: object) -> str:
    if isinstance(source, DcgmSource):
        found = source.probe()
        if not found.answered:
            raise StablemeterError(f"no exporter answers, first: {next(iter(found.failed.items()))}")
        failed = f", {len(found.failed)} do not: {', '.join(sorted(found.failed)[:3])}" if found.failed else ""
        return f"{found.answered} exporters answer{failed}"
    if isinstance(source, SlurmSource | KubernetesSource | CsvSource):
        return source.ping()
    return f"version {source.ping()}"  # type: ignore[attr-defined]


def _wallet(app: App) -> str:
    wallet = app.wallet
    if wallet is None:
        raise StablemeterError("none is configured", remedy="set wallet.treasury, or wallet.mode and wallet.xpub")
    if isinstance(wallet, ForwarderWallet):
        return f"forwarder to {checksum(wallet.treasury)} ({wallet.treasury_kind.value}), pin {wallet.pin()}"
    return f"xpub, pin {wallet.pin()}; its addresses commit to nothing"


def _block_of(node: Node, tag: str) -> Block | None:
    """None too when the endpoint does not answer: another one may."""
    try:
        return node.block(tag)
    except StablemeterError:
        return None


def told_tag(watcher: Watcher, tag: str, now: datetime) -> None:
    """Raises when a tag that payments wait for is not told, or stands still."""
    told = (_block_of(endpoint.node, tag) for endpoint in watcher.pool.endpoints)
    tagged = next((block for block in told if block is not None), None)
    if tagged is None:
        raise StablemeterError(f"no block is {tag}", remedy="wait, or set confirmations and final_confirmations")
    age = int((now - tagged.mined_at).total_seconds())
    if age > watcher.chain.stall_seconds:
        raise StablemeterError(
            f"the newest {tag} block is {age} s old: payments do not become {tag}", remedy="see docs/finality.md"
        )


def _chain(app: App, chain_id: int) -> str:
    app.check_chain(chain_id)
    watcher = app.watchers[chain_id]
    head = watcher.pool.ask(lambda node: node.block("latest"))
    assert head is not None
    age = int((app.clock.now() - head.mined_at).total_seconds())
    for tag in sorted(watcher.chain.finality.tags):
        told_tag(watcher, tag, app.clock.now())
    tokens = ", ".join(f"{token.symbol} {token.decimals}" for token in watcher.chain.tokens)
    return f"id {chain_id}, block {head.number} ({age} s old), tokens {tokens}; the wallet is accepted"


def _lists(app: App) -> str:
    app.screener.refresh()
    if alarms := app.screener.alarms():
        raise StablemeterError("; ".join(f"list {name}: {why}" for name, why in alarms.items()), remedy="mend the file")
    with app.database.transaction() as session:
        known = compliance.lists(session)
    return ", ".join(f"{one['name']} of {one['dated']:%Y-%m-%d} with {one['addresses']} addresses" for one in known)


def _safes(app: App) -> dict[str, Safe | None]:
    """{chain: who signs there}, of the chains that answer; None where the treasury is no Safe."""
    found: dict[str, Safe | None] = {}
    for watcher in app.watchers.values():
        try:
            found[watcher.chain.name] = watcher.pool.ask(lambda node: safe(node, app.wallet.treasury))  # type: ignore[union-attr]
        except StablemeterError:  # the line of that chain says so
            continue
    return found


def signers(found: Mapping[str, Safe | None]) -> str:
    """Who may move the money. The address is the same on every chain; that nobody else holds it on one of them is what is
    looked at. Raises when the chains differ."""
    told = {chain: None if one is None else (frozenset(one.owners), one.threshold) for chain, one in found.items()}
    if len(set(told.values())) > 1:
        each = "; ".join(f"{chain}: {_signs(one)}" for chain, one in found.items())
        raise StablemeterError(
            f"others may move the money on one chain than on another: {each}",
            remedy="take the chain where it is not yours out of the settings",
        )
    one = next(iter(found.values()), None)
    advice = "; ADVICE: one person alone can move everything" if one and one.threshold == 1 else ""
    return f"{_signs(one)}{advice}" if found else "no chain answers"


def _signs(one: Safe | None) -> str:
    if one is None:
        return "a contract, but no Safe"
    owners = ", ".join(checksum(owner) for owner in one.owners[:OWNERS_SHOWN])
    return f"a Safe, {one.threshold} of {len(one.owners)} sign: {owners}"
