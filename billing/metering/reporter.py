"""Answers what operators ask of metering: how far, how complete, where every GPU-second went."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.fleet.gpu import SLOTS
from billing.leasing import store as leasing
from billing.metering.conservation import Account, Category, Ledger, account, totals
from billing.metering.deriver import by_gpu, labels, seen
from billing.metering.store import facts, readings, runs
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


class MeterReporter:
    def __init__(self, database: Database) -> None:
        self._database = database

    def status(self, now: datetime) -> dict[str, Any]:
        """Every source, the latest gaps, and labels that mean nobody."""
        with self._database.transaction() as session:
            return {
                "sources": readings.status(session, now),
                "gaps": readings.gaps(session, now - timedelta(days=7), 20),
                "unknown_labels": facts.unknown_labels(session, now - timedelta(days=7)),
            }

    def conserved(self, span: Span) -> Conservation:
        with self._database.transaction() as session:
            return self.conservation(session, span)

    @staticmethod
    def conservation(session: Session, span: Span, gpu_ids: Sequence[int] | None = None) -> Conservation:
        """Sort every in-service second of the fleet within a span."""
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
        accounts = []
        for gpu_id, devices in gpus.items():
            ledger = Ledger(
                devices,
                observed[gpu_id],
                {device.id: [(r.start, r.end, r.value) for r in usage.get(device.id, ())] for device in devices},
                held.get(gpu_id, ()),
                [(r.start, r.end, r.value) for r in excluded.get(gpu_id, ())],
            )
            accounts.append(account(ledger, window, known))
        return Conservation(
            span,
            len(accounts),
            sum(one.whole for one in accounts) // SLOTS,
            {category: amount // SLOTS for category, amount in totals(accounts).items()},
            sum(abs(one.difference) for one in accounts),
            [one for one in accounts if one.difference],
        )
