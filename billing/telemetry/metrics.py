"""Every metric. Counters live in the processes (shared through files when there are several); gauges that describe state
are read from the database when they are asked for, so that they are right whichever process answers."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client import Gauge as Live
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_registry = CollectorRegistry()

WINDOWS: Final = Counter("stablemeter_windows_read", "Windows read from sources.", ["source"], registry=_registry)
SAMPLES: Final = Counter("stablemeter_samples_read", "Samples read from sources.", ["source"], registry=_registry)
SCRAPES: Final = Counter(
    "stablemeter_scrapes", "Exporter pages asked for directly, by outcome.", ["source", "outcome"], registry=_registry
)
EVENTS: Final = Counter(
    "stablemeter_events", "Pushed events: accepted, duplicate, or conflict (refused).", ["outcome"], registry=_registry
)
EVENTS_UNKNOWN: Final = Counter(
    "stablemeter_events_unknown",
    "Pushed events that nothing bills yet: no meter of their type, or no tenant of their subject.",
    ["what"],
    registry=_registry,
)
NOTICES: Final = Counter(
    "stablemeter_notices",
    "Attempts to deliver notices: delivered, failed (to be tried again), or dead.",
    ["receiver", "outcome"],
    registry=_registry,
)
BLOCKS: Final = Counter("stablemeter_blocks_read", "Blocks read.", ["chain"], registry=_registry)
LOGS: Final = Counter("stablemeter_logs_read", "Transfer logs read, watched or not.", ["chain"], registry=_registry)
TRANSFERS: Final = Counter(
    "stablemeter_transfers_seen", "Transfers that touch watched addresses.", ["chain"], registry=_registry
)
ZERO_TRANSFERS: Final = Counter(
    "stablemeter_zero_value_transfers",
    "Transfers of nothing to watched addresses; ignored.",
    ["chain"],
    registry=_registry,
)
REORGS: Final = Counter("stablemeter_reorgs", "Reorganisations noticed.", ["chain"], registry=_registry)
PROVEN_DIFFERENCES: Final = Counter(
    "stablemeter_chain_audit_differences",
    "Transfers that the audit lane found missing in the database (found) or on the chain (doubted).",
    ["chain", "kind"],
    registry=_registry,
)
BALANCES: Final = Counter(
    "stablemeter_balances",
    "Balances of addresses: read near the head, counted once their block was final, forgotten because it left the chain.",
    ["chain", "outcome"],
    registry=_registry,
)
ENDPOINT_FAILURES: Final = Counter(
    "stablemeter_rpc_failures",
    "Failed rounds with an RPC endpoint: unavailable (away, behind, or standing still), busy (it asks for a rest), or untrusted"
    " (it contradicts itself, or another endpoint).",
    ["chain", "endpoint", "kind"],
    registry=_registry,
)
RPC_CALLS: Final = Counter(
    "stablemeter_rpc_calls",
    "Calls to RPC endpoints (each of a batch counts), by outcome: ok, busy, too_large, unavailable, untrusted, reverted.",
    ["chain", "endpoint", "method", "outcome"],
    registry=_registry,
)
JOBS: Final = Counter(
    "stablemeter_job_runs", "Job runs, by outcome (done, failed, bug).", ["job", "outcome"], registry=_registry
)
JOB_SECONDS: Final = Histogram(
    "stablemeter_job_seconds",
    "How long jobs run.",
    ["job"],
    registry=_registry,
    buckets=(0.01, 0.1, 0.5, 1, 5, 30, 120, 600),
)
JOB_DONE: Final = Live(
    "stablemeter_job_done_timestamp_seconds",
    "When a job last ended as it should, or was left to another copy of the daemon, in seconds since 1970; before that, when it"
    " was started.",
    ["job"],
    registry=_registry,
    multiprocess_mode="max",
)
JOB_EVERY: Final = Live(
    "stablemeter_job_every_seconds", "How often a job is woken.", ["job"], registry=_registry, multiprocess_mode="max"
)
REQUESTS: Final = Histogram(
    "stablemeter_http_seconds", "How long HTTP requests take, by route and status.", ["route", "status"], registry=_registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge that is read from the database."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


SOURCE_LAG: Final = Gauge("stablemeter_source_lag_seconds", "Age of the end of the newest window read.", ("source",))
SOURCE_FAILING: Final = Gauge("stablemeter_source_failing", "1 while a source cannot be read.", ("source",))
SOURCE_BLIND: Final = Gauge(
    "stablemeter_source_blind_seconds", "GPU-seconds of 31 days that a source could not see.", ("source",)
)
SOURCE_MISSING: Final = Gauge(
    "stablemeter_source_missing_seconds", "GPU-seconds of 31 days in which devices were gone.", ("source",)
)
SOURCE_INCOMPLETE: Final = Gauge(
    "stablemeter_source_incomplete_windows", "Windows of 31 days that were not seen completely.", ("source",)
)
UNKNOWN_LABELS: Final = Gauge("stablemeter_unknown_labels", "Labels of the last day that mean no tenant.", ("source",))
CONSERVED: Final = Gauge(
    "stablemeter_gpu_seconds", "Where the GPU-seconds of the newest stored day went.", ("category",)
)
GPUS: Final = Gauge("stablemeter_gpus_in_service", "Physical GPUs in service.", ("source",))
CHAIN_BLOCK: Final = Gauge("stablemeter_chain_block", "The newest block read.", ("chain",))
CHAIN_AGE: Final = Gauge("stablemeter_chain_block_age_seconds", "Age of the newest block read.", ("chain",))
CHAIN_UNFINAL: Final = Gauge(
    "stablemeter_chain_blocks_unfinal", "Blocks read that are not final yet: grows while finality stalls.", ("chain",)
)
CHAIN_CONFIRMED_AGE: Final = Gauge(
    "stablemeter_chain_confirmation_age_seconds",
    "Time since the height up to which payments count rose last: grows while the safe tag stalls.",
    ("chain",),
)
CHAIN_FINAL_AGE: Final = Gauge(
    "stablemeter_chain_finality_age_seconds",
    "Time since a block became final last: grows while finality stalls.",
    ("chain",),
)
CHAIN_UNPROVEN: Final = Gauge(
    "stablemeter_chain_blocks_unproven", "Final blocks that the audit lane has not read yet.", ("chain",)
)
CHAIN_STOPPED: Final = Gauge("stablemeter_chain_stopped", "1 while a chain waits for a person.", ("chain",))
UNSETTLED: Final = Gauge("stablemeter_transfers_unsettled", "Transfers that reconciliation has not dealt with.")
INVOICES: Final = Gauge("stablemeter_invoices", "Invoices, by status.", ("status",))
EXCEPTIONS: Final = Gauge("stablemeter_exceptions_open", "Exceptions that wait for a person.", ("kind",))
LIST_AGE: Final = Gauge("stablemeter_sanctions_list_age_seconds", "Age of a list of sanctioned addresses.", ("list",))
LIST_STALE: Final = Gauge(
    "stablemeter_sanctions_list_stale",
    "1 while a list is older than it may be, or its file cannot be read; its last good version still counts.",
    ("list",),
)
PROPOSED: Final = Gauge("stablemeter_exclusions_proposed", "Exclusions of leased time that wait for a person.")
FINDINGS: Final = Gauge("stablemeter_audit_findings", "Findings of the newest audit; anything but 0 is an alarm.")
SOURCE_READ_AGE: Final = Gauge(
    "stablemeter_source_read_age_seconds", "Time since a window of a source was read last.", ("source",)
)
CONSERVED_AGE: Final = Gauge(
    "stablemeter_conserved_age_seconds", "Time since the end of the newest day whose GPU-seconds are stored."
)
UNSETTLED_AGE: Final = Gauge(
    "stablemeter_transfers_unsettled_age_seconds", "How long the oldest of those transfers has waited."
)
OVERDUE: Final = Gauge("stablemeter_invoices_overdue", "Open invoices that are past due.")
OPEN_AMOUNT: Final = Gauge(
    "stablemeter_open_amount", "What remains on open invoices, in whole units of the currency.", ("currency",)
)
OVERDUE_AMOUNT: Final = Gauge(
    "stablemeter_overdue_amount", "What remains on invoices that are past due, in whole units.", ("currency",)
)
ISSUED_AMOUNT: Final = Gauge(
    "stablemeter_issued_amount",
    "Totals of invoices of the last 31 days, without void ones, in whole units.",
    ("currency",),
)
RECEIVED_AMOUNT: Final = Gauge(
    "stablemeter_received_amount",
    "Worth of the payments of the last 31 days that were matched, in whole units.",
    ("currency",),
)
PREPAID: Final = Gauge(
    "stablemeter_prepaid_tenants",
    "Tenants that pay beforehand, by how their credit is: good, low, exhausted.",
    ("state",),
)
EXCEPTION_AGE: Final = Gauge(
    "stablemeter_exception_age_seconds", "How long the oldest exception of a kind has waited for a person.", ("kind",)
)
DELIVERIES_WAITING: Final = Gauge(
    "stablemeter_deliveries_waiting", "Notices that a receiver has not taken yet.", ("receiver",)
)
DELIVERIES_DEAD: Final = Gauge(
    "stablemeter_deliveries_dead", "Notices of the last 7 days that a receiver was given up for.", ("receiver",)
)
DELIVERY_AGE: Final = Gauge(
    "stablemeter_delivery_age_seconds", "How long the oldest notice has waited for a receiver.", ("receiver",)
)
AUDIT_AGE: Final = Gauge("stablemeter_audit_age_seconds", "Time since the newest audit.")
ROLE_EPOCH: Final = Gauge(
    "stablemeter_role_epoch",
    "How often a role was taken: grows when the daemon starts, or another copy takes over.",
    ("role",),
)
DATABASE_BYTES: Final = Gauge("stablemeter_database_bytes", "Size of the database.")
DISK_FREE: Final = Gauge(
    "stablemeter_disk_free_bytes", "Room where the data (data) and the documents (archive 1, ...) are.", ("place",)
)
ARCHIVE_WRITABLE: Final = Gauge(
    "stablemeter_archive_writable", "1 while documents can be written there; without it nothing is issued.", ("place",)
)
INFO: Final = Gauge("stablemeter_info", "Always 1: which version this is.", ("version",))

GAUGES: Final = (
    SOURCE_LAG, SOURCE_FAILING, SOURCE_BLIND, SOURCE_MISSING, SOURCE_INCOMPLETE, UNKNOWN_LABELS, CONSERVED, GPUS,
    CHAIN_BLOCK, CHAIN_AGE, CHAIN_UNFINAL, CHAIN_CONFIRMED_AGE, CHAIN_FINAL_AGE, CHAIN_UNPROVEN, CHAIN_STOPPED,
    UNSETTLED, INVOICES, EXCEPTIONS,
    LIST_AGE, LIST_STALE, PROPOSED, FINDINGS,
    SOURCE_READ_AGE, CONSERVED_AGE, UNSETTLED_AGE, OVERDUE, OPEN_AMOUNT, OVERDUE_AMOUNT, ISSUED_AMOUNT, RECEIVED_AMOUNT,
    PREPAID, EXCEPTION_AGE, DELIVERIES_WAITING, DELIVERIES_DEAD, DELIVERY_AGE, AUDIT_AGE, ROLE_EPOCH, DATABASE_BYTES,
    DISK_FREE, ARCHIVE_WRITABLE, INFO,
)  # fmt: skip
COUNTERS: Final = (
    WINDOWS, SAMPLES, SCRAPES, EVENTS, EVENTS_UNKNOWN, NOTICES,
    BLOCKS, LOGS, TRANSFERS, ZERO_TRANSFERS, REORGS, PROVEN_DIFFERENCES, BALANCES, ENDPOINT_FAILURES, RPC_CALLS,
    JOBS, JOB_SECONDS, JOB_DONE, JOB_EVERY, REQUESTS,
)  # fmt: skip

Values = Mapping[Gauge, Iterable[tuple[tuple[str, ...], int]]]
"""{gauge: [(label values, value)]}."""


class _Snapshot:
    """Gauges at one moment, as a collector."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for gauge, rows in self._values.items():
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in rows:
                family.add_metric(labels, value)
            yield family


def render(values: Values) -> bytes:
    """The page for Prometheus: this process's counters, or those of all processes, and the gauges given."""
    counters: CollectorRegistry = _registry
    if os.environ.get(DIRECTORY_VARIABLE):
        counters = CollectorRegistry()
        MultiProcessCollector(counters)  # type: ignore[no-untyped-call]
    gauges = CollectorRegistry()
    gauges.register(_Snapshot(values))
    return generate_latest(counters) + generate_latest(gauges)
