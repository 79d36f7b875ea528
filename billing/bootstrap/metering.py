"""Tenants, leases, and what is metered."""

from functools import cached_property

from billing.bootstrap.access import AccessParts
from billing.bootstrap.rules import rules_of
from billing.bootstrap.sources import AnySource, source
from billing.compliance.register import Rules
from billing.core.period import parse_time
from billing.events.ingester import Ingester
from billing.events.meter import Aggregation, Meter, parse_path
from billing.events.reporter import EventReporter
from billing.invoicing.store import periods
from billing.leasing.importer import LeaseImporter
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.conserver import Conserver
from billing.metering.excluder import Excluder
from billing.metering.reporter import MeterReporter
from billing.metering.sources.dcgm import DcgmSource
from billing.metering.usage import ExclusionRule
from billing.tenants.registrar import Registrar


class MeteringParts(AccessParts):
    """From sources to usage."""

    @cached_property
    def registrar(self) -> Registrar:
        return Registrar(self.database, self.clock, periods.closed_for)

    @cached_property
    def rules(self) -> Rules:
        """Who may hold what."""
        return rules_of(self.settings.compliance)

    @cached_property
    def leaser(self) -> Leaser:
        return Leaser(self.database, self.clock, self.rules)

    @cached_property
    def lease_importer(self) -> LeaseImporter:
        return LeaseImporter(self.database, self.clock, self.rules)

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
