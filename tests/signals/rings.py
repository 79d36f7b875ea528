"""For each alert, what rings it and what does not: {series: values in Prometheus' notation}, one value a minute."""

from dataclasses import dataclass

Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Ring:
    """After `minutes` the alert rings for `loud`, and not for `quiet`."""

    loud: Series
    quiet: Series
    minutes: int = 60


def still(name: str, loud: str, quiet: str, minutes: int = 60) -> Ring:
    """A gauge that stands at a value."""
    return Ring({name: f"{loud}x{minutes}"}, {name: f"{quiet}x{minutes}"}, minutes)


def ratio(name: str, bad: str, good: str, *, quiet: int, minutes: int = 60) -> Ring:
    """Of 100 counts a minute, 20 are bad; or `quiet`."""
    name += "{%s}"
    return Ring(
        {name % bad: f"0+20x{minutes}", name % good: f"0+80x{minutes}"},
        {name % bad: f"0+{quiet}x{minutes}", name % good: f"0+{100 - quiet}x{minutes}"},
        minutes,
    )


JOB = 'stablemeter_job_done_timestamp_seconds{job="%s"}'
EVERY = 'stablemeter_job_every_seconds{job="%s"}'
HTTP = 'stablemeter_http_seconds_bucket{le="%s"}'
GPU = 'stablemeter_gpu_seconds{category="%s"}'

RINGS: dict[str, Ring] = {
    "StablemeterDown": still('up{job="stablemeter"}', "0", "1"),
    "StablemeterRestarts": Ring(
        {'stablemeter_role_epoch{role="watcher"}': "1+1x60"}, {'stablemeter_role_epoch{role="watcher"}': "1x30 2x30"}
    ),
    "StablemeterJobBug": Ring(
        {'stablemeter_job_runs_total{job="collect", outcome="bug"}': "0x30 1x30"},
        {'stablemeter_job_runs_total{job="collect", outcome="failed"}': "0+1x60"},
    ),
    "StablemeterJobLate": Ring(
        {JOB % "collect": "0x60", EVERY % "collect": "60x60"},
        {
            JOB % "collect": "0+60x60",
            EVERY % "collect": "60x60",
            JOB % "owners": "0x60",
            EVERY % "owners": "3600x60",
            JOB % "invoice": "0x60",
            EVERY % "invoice": "300x60",
        },
    ),
    "StablemeterPagesFail": ratio("stablemeter_http_seconds_count", 'status="503"', 'status="200"', quiet=1),
    "StablemeterPagesSlow": Ring(
        {HTTP % "1.0": "0+1x60", HTTP % "5.0": "0+10x60", HTTP % "+Inf": "0+10x60"},
        {HTTP % "1.0": "0+10x60", HTTP % "5.0": "0+10x60", HTTP % "+Inf": "0+10x60"},
    ),
    "StablemeterDiskFull": still('stablemeter_disk_free_bytes{place="data"}', "1000000000", "9000000000"),
    "StablemeterDiskFills": Ring(
        {'stablemeter_disk_free_bytes{place="data"}': "90000000000-30000000x600"},
        {'stablemeter_disk_free_bytes{place="data"}': "90000000000-3000000x600"},
        600,
    ),
    "StablemeterArchiveNotWritable": still('stablemeter_archive_writable{place="archive 1"}', "0", "1"),
    "StablemeterCollectorBehind": still('stablemeter_source_lag_seconds{source="brisbane"}', "11000", "4000"),
    "StablemeterSourceFailing": Ring(
        {'stablemeter_source_failing{source="brisbane"}': "1x60"},
        {'stablemeter_source_failing{source="brisbane"}': "0x50 1x5 0x5"},
    ),
    "StablemeterBlindGrows": Ring(
        {'stablemeter_source_blind_seconds{source="brisbane"}': "1000+120x480"},
        {'stablemeter_source_blind_seconds{source="brisbane"}': "9000000x480"},
        480,
    ),
    "StablemeterWindowsIncomplete": Ring(
        {'stablemeter_source_incomplete_windows{source="brisbane"}': "3+1x480"},
        {'stablemeter_source_incomplete_windows{source="brisbane"}': "70x480"},
        480,
    ),
    "StablemeterExportersFail": ratio(
        "stablemeter_scrapes_total", 'source="perth", outcome="failed"', 'source="perth", outcome="answered"', quiet=1
    ),
    "StablemeterUnattributedGrows": Ring(
        {GPU % "unattributed": "5000x120", GPU % "billed": "90000x120", GPU % "idle": "5000x120"},
        {GPU % "unattributed": "50x120", GPU % "billed": "94950x120", GPU % "idle": "5000x120"},
        120,
    ),
    "StablemeterDisputed": still(GPU % "disputed", "7200", "60", 120),
    "StablemeterConservationLate": still("stablemeter_conserved_age_seconds", "200000", "90000"),
    "StablemeterExclusionsWait": still("stablemeter_exclusions_proposed", "2", "0", 1500),
    "StablemeterInvoicesFail": Ring(
        {JOB % "invoice": "0x400"}, {JOB % "invoice": "0+60x400", JOB % "collect": "0x400"}, 400
    ),
    "StablemeterAuditFindings": still("stablemeter_audit_findings", "1", "0"),
    "StablemeterAuditLate": still("stablemeter_audit_age_seconds", "140000", "80000"),
    "StablemeterExceptionsAge": still('stablemeter_exception_age_seconds{kind="after_void"}', "300000", "90000"),
    "StablemeterPaymentsHeld": Ring(
        {'stablemeter_exceptions_open{kind="held_sender"}': "1x60"},
        {
            'stablemeter_exceptions_open{kind="held_sender"}': "0x60",
            'stablemeter_exceptions_open{kind="after_void"}': "3x60",
        },
    ),
    "StablemeterTransfersUnsettled": Ring(
        {"stablemeter_transfers_unsettled": "1x60", "stablemeter_transfers_unsettled_age_seconds": "0+60x60"},
        {"stablemeter_transfers_unsettled": "5x60", "stablemeter_transfers_unsettled_age_seconds": "3x60"},
    ),
    "StablemeterCreditLow": still('stablemeter_prepaid_tenants{state="low"}', "1", "0", 120),
    "StablemeterCreditExhausted": still('stablemeter_prepaid_tenants{state="exhausted"}', "1", "0"),
    "StablemeterOverdue": Ring(
        {
            'stablemeter_overdue_amount{currency="USD"}': "400x1500",
            'stablemeter_open_amount{currency="USD"}': "1000x1500",
        },
        {'stablemeter_overdue_amount{currency="USD"}': "0x1500", 'stablemeter_open_amount{currency="USD"}': "0x1500"},
        1500,
    ),
    "StablemeterChainStopped": still('stablemeter_chain_stopped{chain="base"}', "1", "0"),
    "StablemeterWatcherStalled": still('stablemeter_chain_block_age_seconds{chain="base"}', "1000", "12"),
    "StablemeterNothingCounts": still('stablemeter_chain_confirmation_age_seconds{chain="base"}', "4000", "60"),
    "StablemeterFinalityWaits": still('stablemeter_chain_finality_age_seconds{chain="base"}', "15000", "1500"),
    "StablemeterEndpointFails": Ring(
        {'stablemeter_rpc_failures_total{chain="base", endpoint="a", kind="unavailable"}': "0+1x60"},
        {
            'stablemeter_rpc_failures_total{chain="base", endpoint="a", kind="unavailable"}': "0x30 3x30",
            'stablemeter_rpc_failures_total{chain="base", endpoint="a", kind="busy"}': "0+1x60",
        },
    ),
    "StablemeterEndpointsDisagree": Ring(
        {'stablemeter_rpc_failures_total{chain="base", endpoint="a", kind="untrusted"}': "0x40 1x20"},
        {'stablemeter_rpc_failures_total{chain="base", endpoint="a", kind="unavailable"}': "0+1x60"},
    ),
    "StablemeterOneEndpointLeft": Ring(
        {
            'stablemeter_rpc_calls_total{chain="base", endpoint="a", outcome="ok"}': "0+10x180",
            'stablemeter_rpc_calls_total{chain="base", endpoint="b", outcome="ok"}': "7x180",
        },
        {
            'stablemeter_rpc_calls_total{chain="base", endpoint="a", outcome="ok"}': "0+10x180",
            'stablemeter_rpc_calls_total{chain="base", endpoint="b", outcome="ok"}': "0+1x180",
        },
        180,
    ),
    "StablemeterRequestsRefused": ratio(
        "stablemeter_rpc_calls_total",
        'chain="base", endpoint="a", outcome="busy"',
        'chain="base", endpoint="a", outcome="ok"',
        quiet=2,
        minutes=120,
    ),
    "StablemeterChainDiffers": Ring(
        {'stablemeter_chain_audit_differences_total{chain="base", kind="found"}': "0x30 1x30"},
        {'stablemeter_chain_audit_differences_total{chain="base", kind="found"}': "4x60"},
    ),
    "StablemeterProofBehind": still('stablemeter_chain_blocks_unproven{chain="base"}', "60000", "300", 120),
    "StablemeterNoticesDead": still('stablemeter_deliveries_dead{receiver="books"}', "1", "0"),
    "StablemeterNoticesWait": still('stablemeter_delivery_age_seconds{receiver="books"}', "20000", "400"),
    "StablemeterEventsRefused": Ring(
        {'stablemeter_events_total{outcome="conflict"}': "0x40 3x20"},
        {
            'stablemeter_events_total{outcome="conflict"}': "3x60",
            'stablemeter_events_total{outcome="accepted"}': "0+9x60",
        },
    ),
    "StablemeterEventsUnknown": Ring(
        {'stablemeter_events_unknown_total{what="type"}': "0+1x60"},
        {'stablemeter_events_unknown_total{what="type"}': "5x60"},
    ),
    "StablemeterSanctionsListStale": still('stablemeter_sanctions_list_stale{list="ofac"}', "1", "0"),
}
