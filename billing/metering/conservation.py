"""Conservation: every in-service second of every slot of every GPU is in exactly one category, and nothing is left over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from billing.core.period import Seconds, clip, merge
from billing.fleet.gpu import SLOTS, Device, slots
from billing.metering.coverage import Segment, State
from billing.metering.usage import Claimed, Excluded, Held, Labels, Payer, attribute

T = TypeVar("T")


class Category(StrEnum):
    """Where a slot-second went. `unread`: its window was never read; it must be empty once windows are."""

    BILLED = "billed"
    EXCLUDED = "excluded"
    DISPUTED = "disputed"
    IDLE = "idle"
    UNATTRIBUTED = "unattributed"
    MISSING = "missing"
    BLIND = "blind"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is stored about one GPU: its devices (the whole one first), and by device id what was seen and billed."""

    devices: Sequence[Device]
    observed: Mapping[int, Sequence[Segment]]
    usage: Mapping[int, Sequence[tuple[int, int, Payer]]]
    leases: Sequence[Held]
    exclusions: Sequence[tuple[int, int, Excluded]]


@dataclass(slots=True)
class Account:
    """Slot-seconds of one GPU by category; 840 slot-seconds are one GPU-second."""

    uuid: str
    host: str
    whole: int
    slot_seconds: dict[Category, int] = field(default_factory=dict)

    def add(self, category: Category, amount: int) -> None:
        self.slot_seconds[category] = self.slot_seconds.get(category, 0) + amount

    @property
    def difference(self) -> int:
        """What the categories miss of the whole, or count twice (then negative). Anything but zero is a finding."""
        return self.whole - sum(self.slot_seconds.values())


def account(ledger: Ledger, span: Seconds, labels: Labels) -> Account:
    """Sort a GPU's in-service time within `span` into categories.

    The categories are counted from stored rows one by one; nothing is computed as the rest, but slots of a partitioned
    GPU that no instance uses, which are idle.
    """
    whole = ledger.devices[0]
    served = clip(whole.in_service, span)
    result = Account(whole.key.uuid, whole.host, 0)
    if served is None:
        return result
    result.whole = (served[1] - served[0]) * SLOTS
    claims = {
        device.id: attribute(ledger.observed.get(device.id, ()), labels, whole.source) for device in ledger.devices
    }
    gaps = _claimed_gaps(ledger)
    edges = {served[0], served[1]}
    for rows in (*ledger.observed.values(), *ledger.usage.values(), *claims.values(), ledger.exclusions):
        edges.update(edge for start, end, _ in rows for edge in (start, end))
    edges.update(edge for held in ledger.leases for edge in held.span)
    for start, end in pairwise(sorted(edge for edge in edges if served[0] <= edge <= served[1])):
        for category, amount in _slice(ledger, claims, gaps, start):
            result.add(category, amount * (end - start))
    return result


def _slice(
    ledger: Ledger,
    claims: Mapping[int, Sequence[tuple[int, int, Claimed]]],
    gaps: Sequence[Seconds],
    at: int,
) -> list[tuple[Category, int]]:
    """(category, slots) at one moment."""
    parts: list[tuple[Category, int]] = []
    billed = {device.id for device in ledger.devices if _at(ledger.usage.get(device.id, ()), at)}
    parts += [(Category.BILLED, slots(device.seat)) for device in ledger.devices if device.id in billed]
    if any(held.span[0] <= at < held.span[1] for held in ledger.leases):
        if any(row[0] <= at < row[1] and row[2].state == "accepted" for row in ledger.exclusions):
            parts.append((Category.EXCLUDED, SLOTS))
        unread = all(_at(ledger.observed.get(device.id, ()), at) is None for device in ledger.devices)
        return parts or ([(Category.UNREAD, SLOTS)] if unread else [])
    present = 0
    for device in ledger.devices:
        segment = _at(ledger.observed.get(device.id, ()), at)
        if segment is None:
            continue
        if segment[2].state is State.PRESENT:
            present += slots(device.seat)
            claim = _at(claims[device.id], at)
            if device.id in billed:
                continue
            if claim is None:
                parts.append((Category.IDLE, slots(device.seat)))
            elif claim[2].disputed:
                parts.append((Category.DISPUTED, slots(device.seat)))
            elif claim[2].tenant_id is None:
                parts.append((Category.UNATTRIBUTED, slots(device.seat)))
        else:  # recorded on the whole device: all of it that no bridged gap bills
            rest = SLOTS - sum(amount for _, amount in parts)
            claimed = any(start <= at < end for start, end in gaps)
            category = Category.EXCLUDED if claimed else Category(segment[2].state)
            return [*parts, (category, rest)] if rest else parts
    if not present:
        return parts or [(Category.UNREAD, SLOTS)]
    return [*parts, (Category.IDLE, SLOTS - present)] if present < SLOTS else parts


def _at(rows: Sequence[tuple[int, int, T]], at: int) -> tuple[int, int, T] | None:
    return next((row for row in rows if row[0] <= at < row[1]), None)


def _claimed_gaps(ledger: Ledger) -> list[Seconds]:
    """Gaps with the same observed payer on both sides: claimed time that is not billed, so excluded and not lost."""
    whole = ledger.devices[0]
    usage = [row for row in ledger.usage.get(whole.id, ()) if row[2].basis == "observed"]
    before = {end: payer.tenant_id for _, end, payer in usage}
    after = {start: payer.tenant_id for start, _, payer in usage}
    nobody = merge((s, e) for s, e, seen in ledger.observed.get(whole.id, ()) if seen.state is not State.PRESENT)
    return [(s, e) for s, e in nobody if s in before and before[s] == after.get(e)]


def totals(accounts: Sequence[Account]) -> dict[Category, int]:
    """Slot-seconds of a fleet by category."""
    found = dict.fromkeys(Category, 0)
    for one in accounts:
        for category, amount in one.slot_seconds.items():
            found[category] += amount
    return found
