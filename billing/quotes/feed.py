"""Rounds of a feed, and the rate that one gives. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from billing.core.onchain import Address, Hash32, checksum

RATE_DECIMALS: Final = 18
"""A rate is rounded down to so many decimals once, when it is recorded; every value follows from what was recorded."""

RATE_MAX: Final = 10**9
_PHASE_BITS: Final = 64
_ROUND_BYTES: Final = 5 * 32
_SECONDS_MAX: Final = 253_402_300_799
"""The end of the year 9999: no time that can be written is later."""


@dataclass(frozen=True, slots=True)
class Feed:
    """An aggregator. It says what one token is worth in the invoice's currency; `inverted`: what one unit of the currency is
    worth in tokens."""

    address: Address
    decimals: int
    staleness_seconds: int
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class At:
    """The block that a rate is wanted for."""

    number: int
    hash: Hash32
    mined_at: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """What a feed answers. `updated_at` is in seconds since 1970; zero while the round is not complete."""

    id: int
    answer: int
    updated_at: int
    answered_in: int

    @property
    def phase(self) -> int:
        """Which aggregator of a proxy answered; zero without a proxy."""
        return self.id >> _PHASE_BITS

    @property
    def number(self) -> int:
        """The round's number in its own aggregator."""
        return self.id & ((1 << _PHASE_BITS) - 1)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one token is worth, who says so, and since when."""

    value: Decimal
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NoRate:
    """Why there is no rate: a person must say what the token is worth."""

    reason: str


def decode_round(answer: bytes) -> Round | None:
    """(roundId, answer, startedAt, updatedAt, answeredInRound); None when it is no such answer."""
    if len(answer) < _ROUND_BYTES:
        return None
    words = [answer[start : start + 32] for start in range(0, _ROUND_BYTES, 32)]
    return Round(
        int.from_bytes(words[0], "big"),
        int.from_bytes(words[1], "big", signed=True),
        int.from_bytes(words[3], "big"),
        int.from_bytes(words[4], "big"),
    )


def in_phase(phase: int, number: int) -> int:
    """A proxy's id of a round."""
    return (phase << _PHASE_BITS) | number


def rate_of(found: Round, feed: Feed, at: datetime) -> Rate | NoRate:
    """The rate that a round gives at a time, or why it gives none."""
    shown = f"feed {checksum(feed.address)} round {found.id}"
    age = int(at.timestamp()) - found.updated_at
    if found.updated_at == 0 or found.answered_in < found.id:
        return NoRate(f"{shown} is not complete")
    if found.answer <= 0:
        return NoRate(f"{shown} answers {found.answer}")
    if age < 0 or found.updated_at > _SECONDS_MAX:
        return NoRate(f"{shown} is of a later time than the block")
    if age > feed.staleness_seconds:
        return NoRate(f"{shown} was stale: {age} s old at the block, {feed.staleness_seconds} s are allowed")
    over, under = found.answer, 10**feed.decimals
    if feed.inverted:
        over, under = under, over
    scaled = over * 10**RATE_DECIMALS // under
    if not 0 < scaled < RATE_MAX * 10**RATE_DECIMALS:
        return NoRate(f"{shown} answers {found.answer}, which is no plausible rate")
    # the constructor is exact; arithmetic would round to the context's 28 digits
    value = Decimal((0, tuple(int(digit) for digit in str(scaled)), -RATE_DECIMALS))
    return Rate(value, shown, datetime.fromtimestamp(found.updated_at, UTC))


def within(rate: Decimal, limit: Decimal) -> bool:
    """Is a token so close to its currency that it counts as one? A rate on the limit is."""
    return abs(rate - 1) <= limit
