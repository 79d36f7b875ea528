"""Builds the application from the settings.

Owns: the construction of every part: nobody else constructs one.
Does not own: any rule; what the settings mean (settings).
Invariants: a part is built when it is first used, so that a command which needs no chain does not load its libraries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, TypeVar

from billing.audit.auditor import Auditor
from billing.bootstrap.chains import chain_of, counted, feeds_of, offers_of
from billing.bootstrap.sources import AnySource, source
from billing.chain import store as chain_store
from billing.chain.budget import Budget
from billing.chain.policy import Finality as Finality
from billing.chain.pool import Pool
from billing.chain.proofreader import Proofreader
from billing.chain.tokens import Listing as Listing
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.closing.closer import Closer
from billing.core.clock import Clock
from billing.core.errors import Invalid, Unavailable
from billing.core.onchain import parse_address as parse_address
from billing.core.period import parse_time
from billing.db import embedded, migrate
from billing.db.engine import Database, Session
from billing.events.ingester import Ingester
from billing.events.meter import Aggregation, Meter, parse_path
from billing.events.reporter import EventReporter
from billing.invoicing import store as invoicing_store
from billing.invoicing.archive import Archive
from billing.invoicing.document import Party
from billing.invoicing.drafter import Drafter
from billing.invoicing.dunner import Dunner, Steps
from billing.invoicing.issuer import House, Issuer
from billing.invoicing.issuer import Offer as Offer
from billing.invoicing.restorer import Restored, Restorer
from billing.invoicing.store import periods
from billing.leasing.importer import LeaseImporter
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.conserver import Conserver
from billing.metering.excluder import Excluder
from billing.metering.exporters import exporter_named as exporter_named
from billing.metering.reading import Cadence as Cadence
from billing.metering.reporter import MeterReporter
from billing.metering.sources.csvfile import CsvSettings as CsvSettings
from billing.metering.sources.csvfile import CsvSource as CsvSource
from billing.metering.sources.dcgm import DcgmSettings as DcgmSettings
from billing.metering.sources.dcgm import DcgmSource
from billing.metering.sources.kubernetes import KubernetesSettings as KubernetesSettings
from billing.metering.sources.kubernetes import KubernetesSource as KubernetesSource
from billing.metering.sources.promapi import PrometheusApi as PrometheusApi
from billing.metering.sources.prometheus import PrometheusSettings as PrometheusSettings
from billing.metering.sources.prometheus import PrometheusSource as PrometheusSource
from billing.metering.sources.slurm import SlurmSettings as SlurmSettings
from billing.metering.sources.slurm import SlurmSource as SlurmSource
from billing.metering.sources.slurm import inventory as inventory
from billing.metering.store.scrapes import ScrapeLog as ScrapeLog
from billing.metering.usage import ExclusionRule
from billing.notices.deliverer import Deliverer
from billing.pricing.rater import Rater
from billing.quotes.quoter import Quoted, Quoter
from billing.quotes.reader import FeedNode, FeedReader
from billing.quotes.reader import verify as verify_feeds
from billing.reconciliation.reconciler import Reconciler
from billing.reconciliation.resolver import Resolver
from billing.reports.reporter import Reporter
from billing.settings import ChainSettings as ChainSettings
from billing.settings import Settings
from billing.settings import SourceSettings as SourceSettings
from billing.tenants.registrar import Registrar
from billing.treasury.planner import Planner
from billing.wallets.accepter import Accepter
from billing.wallets.hd import AccountKey
from billing.wallets.wallet import TreasuryKind, Wallet, XpubWallet, forwarder_wallet
from billing.wallets.watchlist import WatchList

T = TypeVar("T")

CLOCKS_APART: Final = timedelta(hours=1)
"""How far a chain's clock may be behind ours: what was paid right after an issue must not be passed over."""

Fence = Callable[[Session], None]


def unfenced(session: Session) -> None:
    """A command that a person runs holds no role: database locks keep it apart from the daemon."""


@dataclass(frozen=True, slots=True)
class Fences:
    """What is checked in every writing transaction of a role."""

    collector: Fence = unfenced
    invoicer: Fence = unfenced
    watcher: Fence = unfenced


class App:
    """Everything, wired. `close` it when done."""

    def __init__(self, settings: Settings, clock: Clock, fences: Fences = Fences()) -> None:
        self.settings, self.clock, self._fences = settings, clock, fences
        self._closing: list[Callable[[], None]] = []

    @cached_property
    def database(self) -> Database:
        url = self.settings.database.url.get_secret_value()
        database = Database(url or embedded.start(self.settings.data_dir), pool_size=10)
        self._closing.append(database.close)
        return database

    def require_current_schema(self) -> None:
        """Raises Invalid when migrations are due: a command must not guess at another schema."""
        found, wanted = migrate.current(self.database), migrate.newest()
        if found != wanted:
            raise Invalid(
                f"the database has schema {found or 'none'}, this version needs {wanted}",
                remedy="stablemeter db upgrade",
            )

    @cached_property
    def registrar(self) -> Registrar:
        return Registrar(self.database, self.clock, periods.closed_for)

    @cached_property
    def leaser(self) -> Leaser:
        return Leaser(self.database, self.clock)

    @cached_property
    def lease_importer(self) -> LeaseImporter:
        return LeaseImporter(self.database, self.clock)

    @cached_property
    def sources(self) -> list[AnySource]:
        sources = [source(one, lambda: self.database) for one in self.settings.metering.sources]
        self._closing += [source.close for source in sources]
        return sources

    @property
    def scrapers(self) -> list[DcgmSource]:
        return [source for source in self.sources if isinstance(source, DcgmSource)]

    @cached_property
    def collector(self) -> Collector:
        feeds = [
            Feed(
                source,
                one.type,
                ExclusionRule(one.evidence == "operator", one.exclusion_minimum_seconds, one.exclusion_cap_seconds),
                parse_time(one.since) if one.since else None,
            )
            for source, one in zip(self.sources, self.settings.metering.sources, strict=True)
        ]
        return Collector(self.database, self.clock, feeds, self._fences.collector)

    @cached_property
    def conserver(self) -> Conserver:
        return Conserver(self.database, self.clock, self._fences.collector)

    @cached_property
    def excluder(self) -> Excluder:
        return Excluder(self.database, self.clock, periods.invoiced)

    @cached_property
    def meters(self) -> tuple[Meter, ...]:
        """The declared meters."""
        return tuple(
            Meter(one.name, one.event_type, parse_path(one.value), Aggregation(one.aggregation), one.unit)
            for one in self.settings.metering.meters
        )

    @cached_property
    def ingester(self) -> Ingester:
        return Ingester(self.database, self.clock, self.meters)

    @cached_property
    def event_reporter(self) -> EventReporter:
        return EventReporter(self.database, self.meters)

    @cached_property
    def meter_reporter(self) -> MeterReporter:
        return MeterReporter(self.database)

    @cached_property
    def rater(self) -> Rater:
        return Rater(self.database, self.clock, invoicing_store.closed_until)

    @cached_property
    def drafter(self) -> Drafter:
        return Drafter(self.database, [one.name for one in self.settings.metering.sources], self.meters)

    @cached_property
    def archive(self) -> Archive:
        return Archive(self.settings.archive_directories)

    @cached_property
    def account(self) -> AccountKey | None:
        return AccountKey(self.settings.wallet.xpub) if self.settings.wallet.mode == "xpub" else None

    @cached_property
    def wallet(self) -> Wallet | None:
        """The configured wallet; None when none is configured yet."""
        wanted = self.settings.wallet
        if self.account is not None:
            return XpubWallet(self.account.fingerprint)
        if not wanted.treasury:
            return None
        return forwarder_wallet(wanted.treasury, TreasuryKind(wanted.treasury_kind), wanted.flusher)

    @cached_property
    def issuer(self) -> Issuer:
        issuer = self.settings.issuer
        offers = tuple(offer for one in self.settings.chains for offer in offers_of(one))
        house = House(
            Party(name=issuer.name, address=issuer.address, tax_id=issuer.tax_id),
            issuer.series,
            self.wallet,
            self.account,
            offers,
            self.settings.public_url,
        )
        return Issuer(self.database, self.clock, self.drafter, self.archive, house, self._fences.invoicer)

    @cached_property
    def dunner(self) -> Dunner:
        wanted = self.settings.dunning
        steps = Steps(wanted.remind_before_days, wanted.overdue_days, self.suspend_after)
        return Dunner(self.database, self.clock, steps, self._fences.invoicer)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Loads the HTTP library."""
        from billing.notices.webhook import WebhookReceiver

        hooks = self.settings.webhooks
        receivers = [
            WebhookReceiver(one.name, one.url.get_secret_value(), [key.get_secret_value() for key in one.secrets])
            for one in hooks
        ]
        self._closing += [receiver.close for receiver in receivers]
        wants = {one.name: frozenset(kind.value for kind in one.types) for one in hooks}
        return Deliverer(self.database, self.clock, receivers, wants, self._fences.invoicer)

    @cached_property
    def restorer(self) -> Restorer:
        def read_again(session: Session, since: datetime) -> None:
            chain_store.request_rewind(session, since - CLOCKS_APART)

        return Restorer(self.database, self.clock, self.archive, self.wallet, read_again)

    def restore(self, *, actor: str) -> Restored:
        """Bring back what the archive knows and the database has forgotten; chains are read again from its oldest day,
        because nobody watched those addresses meanwhile."""
        return self.restorer.restore(actor=actor)

    @cached_property
    def accepter(self) -> Accepter:
        return Accepter(self.database, self.clock, self.wallet)

    @cached_property
    def chains(self) -> list[Chain]:
        return [chain_of(one) for one in self.settings.chains]

    @cached_property
    def tokens(self) -> list[Token]:
        return [token for chain in self.chains for token in chain.tokens]

    @cached_property
    def budgets(self) -> Mapping[int, Budget]:
        """What may be asked of each chain's endpoints, by chain id."""
        return {one.chain_id: Budget(one.calls_per_minute) for one in self.settings.chains}

    @cached_property
    def watchers(self) -> Mapping[int, Watcher]:
        """One a chain, by chain id. Loads the chain libraries."""
        from billing.chain.rpc import HttpNode

        found = {}
        for one, chain in zip(self.settings.chains, self.chains, strict=True):
            nodes = [
                HttpNode(url, one.timeout_seconds, budget=self.budgets[one.chain_id], observer=counted(one.name, url))
                for url in one.rpc_urls
            ]
            self._closing += [node.close for node in nodes]
            pool = Pool(nodes, self.clock)
            found[chain.chain_id] = Watcher(self.database, self.clock, chain, pool, WatchList(), self._fences.watcher)
        return found

    @cached_property
    def proofreaders(self) -> Mapping[int, Proofreader]:
        """The audit lane of each chain. It prefers the endpoint that the tip lane asks last."""
        found = {}
        for chain_id, watcher in self.watchers.items():
            pool = Pool([endpoint.node for endpoint in reversed(watcher.pool.endpoints)], self.clock)
            found[chain_id] = Proofreader(
                self.database, self.clock, watcher.chain, pool, WatchList(), self._fences.watcher
            )
        return found

    def check_chain(self, chain_id: int) -> None:
        """Verify a chain and its tokens against the settings, follow it, and accept it for the wallet: in this order, for
        what is paid on a chain that nobody follows yet would never be seen.

        Raises Invalid for a chain or token that is not the configured one, Conflict when the wallet cannot be used there
        yet, Unavailable when no endpoint answers.
        """
        from billing.chain.verifier import verify

        watcher = self.watchers[chain_id]
        watcher.pool.ask(lambda node: verify(node, watcher.chain))
        configured = next(one for one in self.settings.chains if one.chain_id == chain_id)
        watcher.pool.ask(lambda node: verify_feeds(node, feeds_of(configured)))
        watcher.pool.ask(watcher.begin)
        watcher.pool.ask(lambda node: self.accepter.accept(chain_id, watcher.chain.name, node))

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.database, self.clock, self._fences.watcher, self._feeds, self.meters)

    @cached_property
    def _feeds(self) -> FeedReader:
        def ask(chain_id: int, what: Callable[[FeedNode], T]) -> T:
            watcher = self.watchers.get(chain_id)
            if watcher is None:
                raise Unavailable(f"chain {chain_id} is not configured", remedy="configure it again: a payment waits")
            return watcher.pool.ask(what)

        return FeedReader(ask)

    @cached_property
    def quoter(self) -> Quoter:
        return Quoter(self.database, self.clock, self._feeds, self._fences.watcher)

    @cached_property
    def closer(self) -> Closer:
        names = {chain.chain_id: chain.name for chain in self.chains}
        return Closer(self.database, self.clock, self.reporter, names, self.settings.data_dir / "closed")

    @property
    def suspend_after(self) -> timedelta | None:
        """How long overdue a tenant may be before it is suspended; None: for ever."""
        days = self.settings.dunning.suspend_after_days
        return None if days is None else timedelta(days=days)

    def quote(self, chain_id: int) -> Quoted:
        """Quote the feeds of a chain anew, where it is time. Raises Unavailable when no endpoint answers."""
        configured = next(one for one in self.settings.chains if one.chain_id == chain_id)
        return self.quoter.tick(chain_id, feeds_of(configured), timedelta(seconds=configured.quote_seconds))

    @cached_property
    def resolver(self) -> Resolver:
        return Resolver(self.database, self.clock)

    @cached_property
    def planner(self) -> Planner:
        return Planner(self.database)

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(self.database, self.tokens, {chain.chain_id: chain.name for chain in self.chains})

    @cached_property
    def auditor(self) -> Auditor:
        return Auditor(self.database, self.clock, self.archive, lambda: self.watchers)

    def close(self) -> None:
        """Close connections. Safe to call twice."""
        while self._closing:
            self._closing.pop()()


def build(settings: Settings, clock: Clock, fences: Fences = Fences()) -> App:
    """The application. Nothing is opened before it is used."""
    return App(settings, clock, fences)
