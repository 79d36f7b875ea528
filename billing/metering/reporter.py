"""Answers what operators ask of metering: how far, how complete, where every GPU-second went."""

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from billing.core.errors import Invalid
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.fleet.gpu import SLOTS
from billing.fleet.place import homes
from billing.fleet.store import places
from billing.leasing import store as leasing
from billing.metering.conservation import Account, Category, Ledger, account, totals
from billing.metering.deriver import by_gpu, labels, seen
from billing.metering.store import days, facts, readings, runs
from billing.metering.usage import Held


@dataclass(frozen=True, slots=True)
class Conservation:
    """A fleet's in-service time over a span, in whole GPU-seconds by category. `difference` must be zero."""

    span: Span
    gpus: int
    whole: int
    gpu_seconds: dict[Category, int]
    difference: int
    wrong: list[Account] = field(default_factory=list)


def day_of(at: datetime) -> datetime:
    """The start of its day (UTC)."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def suggested(source: str, label: str, claims: Mapping[str, str]) -> str:
    """What an operator may want to type for a label that means nobody: it looks like a tenant's, or the tenant is new."""
    close = get_close_matches(label.lower(), list(claims), n=1)
    if close:
        return f"stablemeter tenant label {claims[close[0]]} {shlex.quote(f'{source}:{label}')}"
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40] or "NAME"
    return f"stablemeter tenant add {slug} --label {shlex.quote(f'{source}:{label}')}"


class MeterReporter:
    def __init__(self, database: Database) -> None:
        self._database = database

    def status(self, now: datetime) -> dict[str, Any]:
        """Every source, the latest gaps, and labels that mean nobody."""
        with self._database.transaction() as session:
            claims = facts.claimed_labels(session)
            return {
                "sources": readings.status(session, now),
                "gaps": readings.gaps(session, now - timedelta(days=7), 20),
                "unknown_labels": [
                    {**row, "suggestion": suggested(row["source"], row["label"], claims)}
                    for row in facts.unknown_labels(session, now - timedelta(days=7))
                ],
            }

    def days(self, span: Span, by: days.By) -> list[dict[str, Any]]:
        """Where GPU-seconds of whole days went, by day, host or GPU, as stored. Raises Invalid for parts of days."""
        if span.start != day_of(span.start) or span.end != day_of(span.end):
            raise Invalid("stored accounts are of whole days (UTC)", remedy="give days, like 2026-10-31")
        with self._database.transaction() as session:
            return days.listed(session, span, by)

    def conserved(self, span: Span) -> Conservation:
        with self._database.transaction() as session:
            return self.conservation(session, span)

    @staticmethod
    def conservation(session: Session, span: Span, gpu_ids: Sequence[int] | None = None) -> Conservation:
        """Sort every in-service second of the fleet within a span."""
        accounts = [one for _, _, one in MeterReporter.accounts(session, span, gpu_ids)]
        return Conservation(
            span,
            len(accounts),
            sum(one.whole for one in accounts) // SLOTS,
            {category: amount // SLOTS for category, amount in totals(accounts).items()},
            sum(abs(one.difference) for one in accounts),
            [one for one in accounts if one.difference],
        )

    @staticmethod
    def accounts(session: Session, span: Span, gpu_ids: Sequence[int] | None = None) -> list[tuple[int, str, Account]]:
        """(GPU id, source, account) of every GPU: where its in-service time within a span went, and where it was last."""
        gpus = by_gpu(fleet.devices(session, gpu_ids=gpu_ids))
        window = span.seconds
        held: dict[int, list[Held]] = defaultdict(list)
        for lease in leasing.listed(session, gpu_ids=list(gpus), span=span):
            held[lease.gpu_id].append(Held(lease.id, lease.tenant_id, lease.seconds))
        device_ids = [device.id for devices in gpus.values() for device in devices]
        usage = runs.usage(session, device_ids, window)
        observed = seen(session, gpus, window)
        excluded = runs.exclusions(session, list(gpus), window)
        known = labels(session)
        where = places.near(session, list(gpus), window)
        accounts = []
        for gpu_id, devices in gpus.items():
            ledger = Ledger(
                devices,
                observed[gpu_id],
                {device.id: [(r.start, r.end, r.value) for r in usage.get(device.id, ())] for device in devices},
                held.get(gpu_id, ()),
                [(r.start, r.end, r.value) for r in excluded.get(gpu_id, ())],
            )
            found = account(ledger, window, known)
            home = homes(where.get(gpu_id, ()), window)
            if home:
                found.host = home[-1][2].host
            if found.whole:
                accounts.append((gpu_id, home[-1][2].source if home else devices[0].source, found))
        return accounts
