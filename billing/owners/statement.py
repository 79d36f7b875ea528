"""Splitting what was collected. A pure function of what is true now: how it came to be so cannot matter.

What was collected on an invoice is divided over its charges, a charge over the stretches of its span in which nothing about
its GPU's ownership changes (by the seconds in which the tenant used it), a stretch over the owners. Each step is by largest
remainder, so nothing is lost or made. Who is left is the house: the operator itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from billing.core.money import half_even
from billing.core.period import Seconds, clip, length
from billing.owners.share import BASIS_POINTS, WHOLE, Fee, Share, fee_at

HOUSE: Final = 0
"""The owner id of what nobody else owns."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What an invoice charges for one device in a span, cancelled amounts taken off; may be negative. `gpu_id` is None for
    what is of no device. `used` is when the tenant used it: needed only where ownership changes within the span."""

    position: int
    gpu_id: int | None
    device_id: int | None
    span: Seconds
    amount: int
    tenant_id: int = 0
    used: tuple[Seconds, ...] = ()

    @property
    def order(self) -> tuple[int, int, int]:
        return (self.position, self.device_id or 0, self.span[0])


@dataclass(frozen=True, slots=True)
class Collected:
    """What came in for an invoice, in its currency's smallest unit. `total` is what the invoice asked for: what of it is no
    charge (taxes) is the house's."""

    invoice_id: int
    currency: str
    total: int
    collected: int
    charged: tuple[Charged, ...]
    gross: int
    """The sum of the charges as they were invoiced, before anything was cancelled."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a line of a settlement is about."""

    owner_id: int
    invoice_id: int
    gpu_id: int
    currency: str


@dataclass(frozen=True, slots=True)
class Part:
    """What an owner's share of a GPU brought in, and what of it is the operator's fee."""

    collected: int = 0
    fee: int = 0

    @property
    def net(self) -> int:
        return self.collected - self.fee

    def __add__(self, other: "Part") -> "Part":
        return Part(self.collected + other.collected, self.fee + other.fee)

    def __sub__(self, other: "Part") -> "Part":
        return Part(self.collected - other.collected, self.fee - other.fee)


@dataclass(slots=True)
class Ownership:
    """Who owns what of every GPU, and what the operator keeps. `shares` are by GPU; `fees` by owner, in the order they were
    set."""

    shares: Mapping[int, Sequence[Share]] = field(default_factory=dict)
    fees: Mapping[int, Sequence[Fee]] = field(default_factory=dict)

    def cuts(self, gpu_id: int | None, span: Seconds) -> list[int]:
        """The moments strictly inside a span at which something about a GPU's ownership changes."""
        owned = [share for share in self.shares.get(gpu_id or 0, ()) if clip(share.span, span)]
        owners = {share.owner_id for share in owned}
        moments = {at for share in owned for at in share.span}
        moments |= {fee.since for owner in owners for fee in self.fees.get(owner, ())}
        return sorted(at for at in moments if span[0] < at < span[1])

    def at(self, gpu_id: int | None, moment: int) -> dict[int, int]:
        """{owner: parts} at a moment, the house last."""
        found: dict[int, int] = defaultdict(int)
        for share in self.shares.get(gpu_id or 0, ()):
            if share.span[0] <= moment < share.span[1]:
                found[share.owner_id] += share.parts
        owned = sum(found.values())
        assert owned <= WHOLE, "a GPU is owned more than once"
        return {**dict(sorted(found.items())), HOUSE: WHOLE - owned}


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights`, by largest remainder; ties go to the earlier part. Weights may be negative,
    as long as their sum is not: an invoice has lines that take something back."""
    whole = sum(weights)
    assert whole > 0
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def over_charges(one: Collected) -> list[tuple[Charged, int]]:
    """What of the collected money each charge brought in. They sum to it, less what is of no charge: taxes, and what came in
    beyond all that is charged."""
    charged = sorted(one.charged, key=lambda charge: charge.order)
    net = sum(charge.amount for charge in charged)
    beside = max(0, one.total - one.gross)
    if net <= 0:
        return []
    known = min(one.collected, net + beside)
    parts = divide(known, [*(charge.amount for charge in charged), beside])
    return list(zip(charged, parts[:-1], strict=True))


def over_time(charge: Charged, amount: int, ownership: Ownership) -> list[tuple[int, int]]:
    """[(a moment, what the charge brought in while things were as at that moment)]: by used seconds, or by time when none of
    the use is known any more."""
    edges = [charge.span[0], *ownership.cuts(charge.gpu_id, charge.span), charge.span[1]]
    stretches = list(pairwise(edges))
    seconds = [length(part for used in charge.used if (part := clip(used, one))) for one in stretches]
    if not any(seconds):
        seconds = [end - start for start, end in stretches]
    return [(start, part) for (start, _), part in zip(stretches, divide(amount, seconds), strict=True)]


def over_owners(amount: int, parts: Mapping[int, int]) -> dict[int, int]:
    return dict(zip(parts, divide(amount, list(parts.values())), strict=True))


def split(one: Collected, ownership: Ownership) -> dict[Key, Part]:
    """What each owner's part of an invoice's money is, GPU by GPU. The fee is rounded once for each of them, half-even; it is
    the fee that holds when the GPU was used. Nothing is a part of nothing: what is zero is left out."""
    collected: dict[Key, int] = defaultdict(int)
    fees: dict[Key, int] = defaultdict(int)
    for charge, amount in over_charges(one):
        if charge.gpu_id is None:
            continue
        for moment, part in over_time(charge, amount, ownership):
            for owner_id, owned in over_owners(part, ownership.at(charge.gpu_id, moment)).items():
                key = Key(owner_id, one.invoice_id, charge.gpu_id, one.currency)
                collected[key] += owned
                fees[key] += owned * fee_at(ownership.fees.get(owner_id, ()), moment)
    return {
        key: Part(units, half_even(fees[key], BASIS_POINTS))
        for key, units in sorted(collected.items())
        if key.owner_id != HOUSE and (units or fees[key])
    }


def differences(wanted: Mapping[Key, Part], booked: Mapping[Key, Part]) -> dict[Key, Part]:
    """What is to be booked so that what is booked becomes what is wanted."""
    keys: Iterable[Key] = sorted({*wanted, *booked})
    found = {key: wanted.get(key, Part()) - booked.get(key, Part()) for key in keys}
    return {key: part for key, part in found.items() if part.collected or part.fee}
