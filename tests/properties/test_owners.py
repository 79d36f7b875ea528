"""Splitting collected money: nothing is lost or made, and how it came to be collected cannot matter."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.money import half_even
from billing.core.period import length
from billing.owners.share import BASIS_POINTS, WHOLE, Fee, Share
from billing.owners.statement import (
    HOUSE,
    Charged,
    Collected,
    Key,
    Ownership,
    Part,
    differences,
    divide,
    over_charges,
    over_owners,
    over_time,
    split,
)

GPUS, OWNERS = (1, 2, 3), (1, 2, 3)
SPAN = (1_000, 5_000)


@st.composite
def shares(draw: st.DrawFn) -> list[Share]:
    """Shares of a few GPUs that are never more than all of one: each owner has a third at most."""
    found = []
    for gpu in GPUS:
        for owner in draw(st.lists(st.sampled_from(OWNERS), unique=True)):
            edges = sorted(draw(st.lists(st.integers(0, 6_000), min_size=2, max_size=4, unique=True)))
            for start, end in pairwise(edges):
                parts = draw(st.sampled_from((0, 1, WHOLE // 7, WHOLE // 3)))
                found += [Share(owner, gpu, parts, (start, end))] if parts else []
    return found


def by_owner(fees: list[Fee]) -> dict[int, list[Fee]]:
    return {owner: [fee for fee in fees if fee.owner_id == owner] for owner in OWNERS}


@st.composite
def ownerships(draw: st.DrawFn) -> Ownership:
    fee = st.builds(Fee, st.sampled_from(OWNERS), st.integers(0, BASIS_POINTS), st.integers(0, 6_000))
    owned = draw(shares())
    return Ownership(
        {gpu: [s for s in owned if s.gpu_id == gpu] for gpu in GPUS}, by_owner(draw(st.lists(fee, max_size=4)))
    )


@st.composite
def charges(draw: st.DrawFn, least: int = 0) -> tuple[Charged, ...]:
    found = []
    for position in range(draw(st.integers(1, 5))):
        start = draw(st.integers(SPAN[0], SPAN[1] - 1))
        span = (start, draw(st.integers(start + 1, SPAN[1])))
        used = (
            draw(st.lists(st.integers(*span), min_size=2, max_size=2, unique=True).map(sorted))
            if draw(st.booleans())
            else []
        )
        gpu = draw(st.sampled_from((None, *GPUS)))
        amount = draw(st.integers(least, 10_000))
        found.append(Charged(position, gpu, gpu, span, amount, 0, ((used[0], used[1]),) if used else ()))
    return tuple(found)


@st.composite
def invoices(draw: st.DrawFn, least: int = 0) -> Collected:
    """An invoice with its charges, taxes, and a part of it that came in."""
    charged = draw(charges(least))
    gross = sum(one.amount for one in charged)
    total = max(0, gross) + draw(st.integers(0, 2_000))
    return Collected(1, "USD", total, draw(st.integers(0, total)), charged, gross)


@settings(max_examples=60)
@given(st.integers(-(10**20), 10**20), st.lists(st.integers(-1_000, 10_000), min_size=1).filter(lambda w: sum(w) > 0))
def test_parts_sum_to_the_whole_and_each_is_off_by_less_than_one_unit(total: int, weights: list[int]) -> None:
    parts = divide(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part * sum(weights) - total * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )


@settings(max_examples=60)
@given(invoices(), ownerships())
def test_every_step_sums_to_what_went_in_to_it(one: Collected, ownership: Ownership) -> None:
    over = over_charges(one)
    taxes = one.collected - sum(amount for _, amount in over)
    assert taxes >= 0
    for charge, amount in over:
        assert 0 <= amount <= charge.amount, "no charge brings in more than it asks for"
        stretches = over_time(charge, amount, ownership)
        assert sum(part for _, part in stretches) == amount
        for moment, part in stretches:
            assert sum(over_owners(part, ownership.at(charge.gpu_id, moment)).values()) == part


@settings(max_examples=60)
@given(invoices(least=-2_000), ownerships())
def test_owners_and_house_together_get_what_was_collected(one: Collected, ownership: Ownership) -> None:
    house = sum(
        over_owners(part, ownership.at(charge.gpu_id, moment))[HOUSE]
        for charge, amount in over_charges(one)
        for moment, part in over_time(charge, amount, ownership)
    )
    over = sum(amount for _, amount in over_charges(one))
    assert sum(part.collected for part in split(one, ownership).values()) + house == over


@settings(max_examples=60)
@given(invoices(), ownerships())
def test_an_invoice_that_is_paid_in_full_brings_in_each_charge_in_full(one: Collected, ownership: Ownership) -> None:
    paid = replace(one, collected=one.total)
    assert all(amount == charge.amount for charge, amount in over_charges(paid))


@settings(max_examples=60)
@given(invoices(least=-500), ownerships(), st.randoms(use_true_random=False))
def test_the_order_of_charges_and_shares_cannot_matter(
    one: Collected, ownership: Ownership, dice: random.Random
) -> None:
    mixed = replace(one, charged=tuple(dice.sample(one.charged, len(one.charged))))
    shuffled = Ownership({gpu: dice.sample(list(s), len(s)) for gpu, s in ownership.shares.items()}, ownership.fees)
    assert split(mixed, shuffled) == split(one, ownership)


@settings(max_examples=60)
@given(invoices(least=-500), ownerships(), st.lists(st.integers(0, 12_000), max_size=8))
def test_collected_in_parts_taken_back_and_collected_again_ends_as_collected_at_once(
    one: Collected, ownership: Ownership, steps: list[int]
) -> None:
    """Whatever was collected at each settlement, in whatever order: the booked differences sum to the present truth."""
    booked: dict[Key, Part] = {}
    for collected in (*(min(step, one.total) for step in steps), one.collected):
        for key, part in differences(split(replace(one, collected=collected), ownership), booked).items():
            booked[key] = booked.get(key, Part()) + part
    at_once = split(one, ownership)
    assert {key: part for key, part in booked.items() if part != Part()} == at_once
    assert differences(at_once, booked) == {}, "settling again books nothing"


@settings(max_examples=60)
@given(invoices(), ownerships())
def test_what_is_cancelled_altogether_or_not_collected_is_nobodys(one: Collected, ownership: Ownership) -> None:
    voided = replace(one, charged=tuple(replace(charge, amount=0) for charge in one.charged), collected=0)
    assert split(voided, ownership) == split(replace(one, collected=0), ownership) == {}


@settings(max_examples=60)
@given(invoices(), ownerships())
def test_the_fee_is_rounded_once_and_never_more_than_what_came_in(one: Collected, ownership: Ownership) -> None:
    flat = Ownership(ownership.shares, {owner: [Fee(owner, 333, 0)] for owner in OWNERS})
    for part in split(one, flat).values():
        assert part.fee == half_even(part.collected * 333, BASIS_POINTS)
    assert all(0 <= part.fee <= part.collected for part in split(one, ownership).values())


@settings(max_examples=60)
@given(st.integers(1, 10**6), st.integers(SPAN[0] + 1, SPAN[1] - 1), st.booleans())
def test_a_gpu_that_is_sold_within_a_charge_pays_each_owner_for_the_use_in_its_time(
    amount: int, sold: int, known: bool
) -> None:
    used = ((SPAN[0], SPAN[0] + 10), (sold, sold + 1)) if known and sold >= SPAN[0] + 10 else ()
    charge = Charged(1, 1, 1, SPAN, amount, 0, used)
    ownership = Ownership({1: [Share(1, 1, WHOLE, (0, sold)), Share(2, 1, WHOLE, (sold, 10**6))]})
    weights = [10, 1] if used else [sold - SPAN[0], SPAN[1] - sold]
    assert [part for _, part in over_time(charge, amount, ownership)] == divide(amount, weights)
    assert sum(weights) == (length(used) if used else SPAN[1] - SPAN[0])
