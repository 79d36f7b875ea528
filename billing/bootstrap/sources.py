"""Builds the sources of metering from their settings."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from billing.db.engine import Database
from billing.metering.exporters import exporter_named
from billing.metering.reading import Cadence
from billing.metering.sources.csvfile import CsvSettings, CsvSource
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource
from billing.metering.sources.kubernetes import KubernetesSettings, KubernetesSource
from billing.metering.sources.promapi import PrometheusApi
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from billing.metering.sources.slurm import SlurmSettings, SlurmSource, inventory
from billing.metering.store.scrapes import ScrapeLog
from billing.settings import SourceSettings

AnySource = PrometheusSource | DcgmSource | SlurmSource | KubernetesSource | CsvSource


def source(one: SourceSettings, database: Callable[[], Database]) -> AnySource:
    """One configured source. `database` is asked for late: only a scraper keeps what it saw."""
    cadence = Cadence(one.scrape_interval_seconds * 1000, one.gap_seconds * 1000)
    table = exporter_named(one.exporter, one.exporter_file)
    presence = (one.metric,) if one.metric else table.presence
    given = one.metric_fallbacks
    fallbacks = table.fallbacks if given is None else tuple((name,) for name in given)
    if one.type == "prometheus":
        return PrometheusSource(
            PrometheusSettings(
                name=one.name,
                access=one.access,
                exporter=table,
                presence=presence,
                fallbacks=fallbacks,
                matchers=one.matchers,
                tenant_label=one.tenant_label,
                cadence=cadence,
                lag_seconds=one.lag_seconds,
                shard_instances=one.shard_instances,
                shard_concurrency=one.shard_concurrency,
            )
        )
    if one.type == "kubernetes":
        return KubernetesSource(
            KubernetesSettings(one.name, one.matchers, one.tenant_label, one.model, cadence, one.lag_seconds),
            PrometheusApi(one.name, one.access),
        )
    if one.type == "slurm":
        return _slurm(one)
    if one.type == "csv":
        return CsvSource(CsvSettings(one.name, tuple(one.files), one.model, one.lag_seconds))
    return DcgmSource(
        DcgmSettings(
            name=one.name,
            targets=tuple(one.targets),
            exporter=table,
            presence=presence,
            fallbacks=fallbacks,
            access=one.access,
            tenant_label=one.tenant_label,
            cadence=cadence,
            lag_seconds=max(one.lag_seconds, 75),  # the scraper writes once a minute
            timeout_seconds=min(one.timeout_seconds, max(1, one.scrape_interval_seconds // 2)),
            concurrency=one.concurrency,
        ),
        ScrapeLog(database()),
    )


def _slurm(one: SourceSettings) -> SlurmSource:
    return SlurmSource(
        SlurmSettings(
            name=one.name,
            command=tuple(one.command) or ("sacct",),
            files=tuple(one.files),
            label="account" if one.tenant_label == "namespace" else one.tenant_label,
            zone=ZoneInfo(one.timezone),
            inventory=inventory(one.gpus_per_node),
            model=one.model,
            lag_seconds=one.lag_seconds,
            timeout_seconds=one.timeout_seconds,
        )
    )
