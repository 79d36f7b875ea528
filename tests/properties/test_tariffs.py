"""What things cost: every model against a plain definition, whatever the quantity, in whatever order it is learnt."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset
from billing.core.period import HOUR, Span, month
from billing.pricing.agreement import Agreement, AgreementKind, Invoiced, lines
from billing.pricing.rating import Charged, LineKey, LineKind, Quantity, RatedLine, Share, lacking, rate, wholes
from billing.pricing.tariff import Model, Tariff, Tier, price_of, split

USD = Asset("USD", 2)
OCTOBER = month(2026, 10)

prices = st.decimals("0", "100", places=4)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    count = draw(st.integers(1, 5))
    limits = sorted(draw(st.sets(st.integers(1, 2000), min_size=count - 1, max_size=count - 1)))
    own = draw(st.lists(prices, min_size=count, max_size=count, unique=True))
    return tuple(
        Tier(price, limit * HOUR if limit else None) for price, limit in zip(own, [*limits, None], strict=True)
    )


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    model = draw(st.sampled_from([Model.FLAT, Model.GRADUATED, Model.VOLUME, Model.PACKAGE]))
    if model is Model.FLAT:
        return Tariff.flat(draw(prices))
    if model is Model.PACKAGE:
        return Tariff(model, (Tier(draw(st.decimals("0", "500", places=2))),), draw(st.integers(1, 200)) * HOUR)
    return Tariff(model, draw(tiers()))


def exact(tariff: Tariff, seconds: int) -> Fraction:
    """The price before rounding, in cents, by the definition of each model."""
    hours = Fraction(seconds, HOUR)
    if tariff.model is Model.PACKAGE:
        return -(-seconds // tariff.size) * Fraction(tariff.tiers[0].price) * 100
    if tariff.model is Model.FLAT:
        return hours * Fraction(tariff.tiers[0].price) * 100
    if tariff.model is Model.VOLUME:
        reached = next(tier for tier in tariff.tiers if tier.up_to is None or seconds <= tier.up_to)
        return hours * Fraction(reached.price) * 100
    cost, before = Fraction(0), 0
    for tier in tariff.tiers:
        upto = seconds if tier.up_to is None else min(seconds, tier.up_to)
        cost += Fraction(max(0, upto - before), HOUR) * Fraction(tier.price) * 100
        before = max(before, upto)
    return cost


@given(tariffs(), st.integers(0, 3000 * HOUR))
def test_parts_sum_to_the_whole_and_cost_what_the_model_says_each_rounded_once(tariff: Tariff, seconds: int) -> None:
    parts = split(tariff, Decimal(seconds), tariff.placeholder)
    assert sum(part.quantity for part in parts) == seconds
    cost = sum(price_of(tariff, part.quantity, part.unit_price, USD) for part in parts)
    assert abs(cost - exact(tariff, seconds)) <= Fraction(len(parts), 2)
    assert len({part.unit_price for part in parts}) == len(parts), "a line is told by its price"


@given(tariffs(), st.lists(st.integers(0, 800 * HOUR), min_size=1, max_size=6))
def test_devices_share_every_part_and_keep_their_own_seconds(tariff: Tariff, used: list[int]) -> None:
    quantities = [
        Quantity(1, device, "a", tariff.placeholder, OCTOBER, seconds, tariff) for device, seconds in enumerate(used)
    ]
    found = wholes(quantities, USD)
    for line in found:
        assert sum(share.seconds for share in line.shares) == line.seconds
        assert sum(share.amount for share in line.shares) == line.amount
        assert all(share.seconds >= 0 and share.amount >= 0 for share in line.shares)
    for device, seconds in enumerate(used):
        assert sum(share.seconds for line in found for share in line.shares if share.device_id == device) == seconds


@given(tariffs(), st.lists(st.dictionaries(st.integers(1, 3), st.integers(0, 800 * HOUR)), min_size=1, max_size=5))
def test_however_often_it_is_charged_the_charges_come_to_the_last_truth(
    tariff: Tariff, seen: list[dict[int, int]]
) -> None:
    charged: dict[LineKey, Charged] = {}
    truth: list[Quantity] = []
    for used in seen:
        truth = [Quantity(1, device, "a", tariff.placeholder, OCTOBER, s, tariff) for device, s in used.items() if s]
        for line in rate(truth, charged, USD):
            of_line = charged.setdefault(line.key, Charged(line.span))
            for share in line.shares:
                of_line.add(share.device_id, share.seconds, share.amount)
    assert sum(one.amount for one in charged.values()) == sum(line.amount for line in wholes(truth, USD))
    assert rate(truth, charged, USD) == []


def usage(amounts: list[int]) -> list[RatedLine]:
    return [
        RatedLine(
            LineKey.of(1, "ab"[i % 2], OCTOBER, Decimal(i)), OCTOBER, 3600, units, [Share(i, 3600, units)]
        )
        for i, units in enumerate(amounts)
    ]  # fmt: skip


spans = st.sampled_from([OCTOBER, Span(OCTOBER.start, month(2027, 1).end), Span(month(2026, 10).start.replace(day=11), OCTOBER.end)])  # fmt: skip
scopes = st.sampled_from([frozenset[str](), frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})])
agreements = st.one_of(
    st.builds(
        lambda code, skus, percent, span: Agreement(
            AgreementKind.DISCOUNT, code, code, None, skus, None, percent, span
        ),
        st.sampled_from(["d1", "d2", "d3"]), scopes, st.decimals("0.01", "100", places=2), spans,
    ),
    st.builds(
        lambda code, skus, amount, span, kind: Agreement(kind, code, code, 7, skus, amount, None, span),
        st.sampled_from(["e1", "e2", "e3"]), scopes, st.integers(0, 10**7), spans,
        st.sampled_from([AgreementKind.DISCOUNT, AgreementKind.MINIMUM]),
    ),
    st.builds(
        lambda code, amount, span: Agreement(AgreementKind.FEE, code, code, 7, frozenset(), amount, None, span),
        st.sampled_from(["f1", "f2"]), st.integers(0, 10**7), spans,
    ),
)  # fmt: skip


@given(st.lists(agreements, max_size=5, unique_by=lambda one: one.code), st.lists(st.integers(0, 10**6), max_size=6))
def test_discounts_never_take_more_than_there_is_and_minimums_bring_it_up_to_them(
    agreed: list[Agreement], amounts: list[int]
) -> None:
    found = lines(agreed, usage(amounts), Invoiced(7, OCTOBER, OCTOBER))
    kinds = {kind: [one for one in found if one.kind is kind] for kind in LineKind}
    for line in found:
        assert sum(share.amount for share in line.shares) == line.amount != 0
        assert (line.amount < 0) is (line.kind is LineKind.DISCOUNT)
    beside = sum(line.amount for line in kinds[LineKind.FEE])
    net = sum(amounts) + sum(line.amount for line in kinds[LineKind.DISCOUNT])
    assert net >= 0
    total = net + beside + sum(line.amount for line in kinds[LineKind.MINIMUM])
    whole = [one for one in agreed if one.kind is AgreementKind.MINIMUM and not one.skus]
    assert all(total >= one.amount_in(OCTOBER) for one in whole)
    if not whole and not any(one.kind is AgreementKind.MINIMUM for one in agreed):
        assert total == net + beside


@given(st.lists(agreements, max_size=5, unique_by=lambda one: one.code), st.lists(st.lists(st.integers(0, 10**6), max_size=4), min_size=1, max_size=4))  # fmt: skip
def test_agreements_are_charged_once_however_the_usage_is_learnt(
    agreed: list[Agreement], seen: list[list[int]]
) -> None:
    charged: dict[LineKey, Charged] = {}
    for amounts in seen:
        for line in lacking(lines(agreed, usage(amounts), Invoiced(7, OCTOBER, OCTOBER)), charged):
            of_line = charged.setdefault(line.key, Charged(line.span, kind=line.kind))
            for share in line.shares:
                of_line.add(share.device_id, share.seconds, share.amount)
    wanted = {line.key: line.amount for line in lines(agreed, usage(seen[-1]), Invoiced(7, OCTOBER, OCTOBER))}
    assert {key: one.amount for key, one in charged.items() if one.amount} == wanted


def test_before_a_period_is_over_there_are_only_discounts() -> None:
    fee = Agreement(AgreementKind.FEE, "f", "f", 7, frozenset(), 5000, None, OCTOBER)
    minimum = Agreement(AgreementKind.MINIMUM, "m", "m", 7, frozenset(), 9000, None, OCTOBER)
    off = Agreement(AgreementKind.DISCOUNT, "d", "d", None, frozenset(), None, Decimal(10), OCTOBER)
    agreed = [fee, minimum, off]
    assert [(one.kind, one.amount) for one in lines(agreed, usage([1000]), Invoiced(7, OCTOBER, OCTOBER, False))] == [
        (LineKind.DISCOUNT, -100)
    ]
    assert [(one.kind, one.amount) for one in lines(agreed, usage([1000]), Invoiced(7, OCTOBER, OCTOBER))] == [
        (LineKind.FEE, 5000),
        (LineKind.DISCOUNT, -100),
        (LineKind.MINIMUM, 3100),
    ]


def test_a_part_of_a_period_has_its_part_of_a_fee() -> None:
    since_11th = Span(OCTOBER.start.replace(day=11), OCTOBER.end)
    fee = Agreement(AgreementKind.FEE, "f", "f", 7, frozenset(), 31_00, None, since_11th)
    assert fee.amount_in(OCTOBER) == 21_00
    assert (
        Agreement(AgreementKind.FEE, "f", "f", 7, frozenset(), 31_00, None, since_11th, False).amount_in(OCTOBER)
        == 31_00
    )
