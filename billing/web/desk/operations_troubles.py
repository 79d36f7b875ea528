"""What an operator should know first, in words, with what to do. Rules over what was read; nothing is read here."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from billing.metering.conservation import Category
from billing.web import format as write
from billing.web.desk.operations_chains import is_late
from billing.web.desk.operations_coverage import BEHIND_SECONDS
from billing.web.desk.operations_query import MEANS, TROUBLES, day_text, took
from billing.web.desk.operations_reading import Reading, Trouble

AUDIT_SECONDS_MAX: Final = 26 * 3_600
CONSERVE_AFTER: Final = timedelta(hours=6)
DELIVERY_SECONDS_MAX: Final = 900


def troubles(seen: Reading) -> list[Trouble]:
    """All of them, what is worst first."""
    found = [one for rule in RULES for one in rule(seen)]
    return sorted(found, key=lambda one: one.tone != "stop")


def _checks(seen: Reading) -> Iterable[Trouble]:
    for what, why in seen.checks.items():
        if why:
            yield Trouble("stop", f"{what.capitalize()}: {why}", "stablemeter doctor says more.", "/operations#checks")


def _sources(seen: Reading) -> Iterable[Trouble]:
    if not seen.sources:
        yield Trouble(
            "care",
            "No source is read",
            "Add [[metering.sources]] to the settings: nothing is metered.",
            "/operations/coverage",
        )
    for one in seen.sources:
        href = f"/operations/coverage?source={quote(one['name'])}"
        if one["failed_at"]:
            since = took(int((seen.now - one["failed_at"]).total_seconds()))
            yield Trouble(
                "stop",
                f"{one['name']} cannot be read for {since}: {one['failure']}",
                "Look whether it runs and is reached; nothing is lost while it keeps its data.",
                href,
            )
        elif one["lag_seconds"] > BEHIND_SECONDS:
            yield Trouble(
                "stop",
                f"{one['name']} was read up to {took(one['lag_seconds'])} ago only",
                "Look whether the collector runs: see jobs, and who holds its role.",
                href,
            )
        if one["unattributed_gpus"]:
            yield Trouble(
                "care",
                f"{one['unattributed_gpus']} GPUs of {one['name']} are held under labels that mean no tenant",
                "Give each label to a tenant, or the time is billed to nobody.",
                "/operations/coverage#labels",
            )


def _fleet(seen: Reading) -> Iterable[Trouble]:
    if seen.day is None:
        return
    for one in TROUBLES:
        seconds = seen.seconds.get(one, 0)
        if seconds >= 3_600:
            href = f"/operations/fleet?from={day_text(seen.day)}&state={one.value}"
            what = f"{write.hours(seconds)} of GPU time on {write.day(seen.day)} were {one.value}: {MEANS[one]}"
            yield Trouble("care", what, _DO[one], href)
    old = [day for day in seen.unstored if day + timedelta(days=1) + CONSERVE_AFTER < seen.now]
    if old:
        yield Trouble(
            "care",
            f"{len(old)} days changed and are not added up, the first {write.day(old[0])}",
            "The job “conserve” should do it within minutes.",
            "/operations/jobs",
        )


_DO: Final = {
    Category.UNATTRIBUTED: "Give the label to a tenant; the time is derived again.",
    Category.DISPUTED: "A question waits for a person: stablemeter exception list.",
    Category.MISSING: "Look whether the GPUs were taken out, or have failed.",
    Category.BLIND: "Look at the exporters of these servers.",
    Category.UNREAD: "Windows are still to be read; they should be within the hour.",
}


def _chains(seen: Reading) -> Iterable[Trouble]:
    known = {one["chain_id"] for one in seen.chains}
    for wanted in seen.configured.values():
        if wanted.chain_id not in known:
            yield Trouble(
                "care", f"{wanted.name} is not followed yet", "stablemeter doctor says why.", "/operations/chains"
            )
    for one in seen.chains:
        href, chain = f"/operations/chains#chain-{one['chain_id']}", seen.configured.get(one["chain_id"])
        if one["stopped"]:
            yield Trouble(
                "stop",
                f"{one['name']} is stopped: {one['stopped']}",
                "It waits for a person; payments there do not count meanwhile.",
                href,
            )
        if one["doubts"]:
            yield Trouble(
                "stop",
                f"{len(one['doubts'])} transfers on {one['name']} are not there as they are stored",
                "An endpoint lied, then or now: compare them with a block explorer.",
                href,
            )
        if chain is None:
            continue
        if is_late(chain, one["age_seconds"]):
            yield Trouble(
                "stop",
                f"{one['name']} is {took(one['age_seconds'])} behind",
                "Look at its endpoints: payments are seen late.",
                href,
            )
        elif max(one["final_age_seconds"], one["confirmed_age_seconds"]) > chain.stall_seconds:
            yield Trouble(
                "care",
                f"On {one['name']} nothing became final for {took(one['final_age_seconds'])}",
                "See docs/finality.md; payments wait, and nothing is lost.",
                href,
            )


def _jobs(seen: Reading) -> Iterable[Trouble]:
    for one in seen.jobs:
        if one["bug"]:
            yield Trouble(
                "stop", f"A bug stopped the job “{one['name']}”", "The log has it; report it.", "/operations/jobs"
            )
        elif one["failed"] and one["failed"] >= one["done"]:
            yield Trouble(
                "stop",
                f"The job “{one['name']}” failed {one['failed']} times and worked {one['done']} times",
                "It is tried again by itself; the log says why it fails.",
                "/operations/jobs",
            )
    if seen.unsettled:
        yield Trouble(
            "care",
            f"{seen.unsettled} transfers are not dealt with",
            "The job “reconcile” does it within seconds: see whether it runs.",
            "/operations/jobs",
        )


def _told(seen: Reading) -> Iterable[Trouble]:
    for one in seen.receivers:
        if one["dead"]:
            yield Trouble(
                "stop",
                f"{one['dead']} notices to {one['receiver']} were given up",
                "Mend the receiver, then: stablemeter notice replay --dead",
                "/operations#outbox",
            )
        elif (one["due_seconds"] or 0) > DELIVERY_SECONDS_MAX:
            yield Trouble(
                "care",
                f"Notices to {one['receiver']} wait for {took(one['due_seconds'])}",
                "See whether the job “deliver” runs.",
                "/operations#outbox",
            )


def _audit(seen: Reading) -> Iterable[Trouble]:
    href = "/operations/audit"
    if seen.findings:
        yield Trouble(
            "stop",
            f"The audit has {seen.findings} findings",
            "Each is something that must not be. Look at them before the month is closed.",
            href,
        )
    if seen.skipped:
        yield Trouble(
            "care",
            f"The audit could not make {seen.skipped} of its checks",
            "Mostly because no endpoint answered; it runs again tomorrow.",
            href,
        )
    if seen.audited_at is None:
        yield Trouble(
            "care", "No audit has run", "The daemon's watcher runs one a day; stablemeter audit runs one now.", href
        )
    elif (age := int((seen.now - seen.audited_at).total_seconds())) > AUDIT_SECONDS_MAX:
        yield Trouble(
            "care",
            f"The newest audit is {took(age)} old",
            "The daemon's watcher runs one a day: see whether it runs.",
            href,
        )


def _people(seen: Reading) -> Iterable[Trouble]:
    if seen.proposed:
        yield Trouble(
            "care",
            f"{seen.proposed} exclusions of let time wait for finance",
            "Until then the time is billed.",
            "/operations/exclusions",
        )
    if seen.exceptions:
        yield Trouble(
            "care",
            f"{seen.exceptions} questions about money wait for a person",
            "They are the finance desk's: stablemeter exception list.",
            "/finance",
        )
    for name in seen.stale_lists:
        yield Trouble(
            "stop",
            f"The list of sanctioned addresses “{name}” is too old, or cannot be read",
            "Put a new file in its place.",
            "/operations#checks",
        )


RULES: Final[Sequence[Callable[[Reading], Iterable[Trouble]]]] = (
    _checks, _audit, _sources, _chains, _jobs, _told, _fleet, _people,
)  # fmt: skip
