"""What is suggested about money that waits: a pure function, so everything about it can be tried."""

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset
from billing.reconciliation.suggestion import SHOWN_MAX, Action, Due, Facts, Suggestion, Waiting, suggest

USD = Asset("USD", 2)
ONE, TWO, THREE = Due("INV-1", "acme", 2_000), Due("INV-2", "acme", 3_000), Due("INV-3", "acme", 500)


def first(**facts: object) -> Suggestion:
    return suggest(Facts("wrong_token", USD, tenant="acme", **facts))[0]  # type: ignore[arg-type]


def test_the_invoice_that_it_came_in_for_is_the_likeliest_when_it_owes_exactly_this() -> None:
    other = Due("INV-4", "acme", 2_000)
    found = first(value=2_000, own=ONE, open=(other, ONE))
    assert found.words(USD) == "apply 20.00 USD to INV-1: it came in for it, and it owes exactly this"


def test_the_invoice_that_replaced_the_void_one_comes_first() -> None:
    found = first(value=3_000, replacement=TWO, open=(ONE, TWO))
    assert found.to == (("INV-2", 3_000),) and "it replaced the void invoice" in found.reason


def test_equal_amounts_are_told_apart_by_nobody() -> None:
    found = suggest(Facts("unissued", USD, 2_000, "acme", open=(ONE, Due("INV-4", "acme", 2_000))))
    assert [one.reason for one in found[:2]] == ["it owes exactly this; 2 invoices do"] * 2


def test_a_little_less_is_within_the_tolerance() -> None:
    assert first(value=1_999, tolerance=1, open=(TWO, ONE)).reason == "0.01 USD less than it owes: within the tolerance"
    assert "tolerance" not in first(value=1_998, tolerance=1, open=(TWO, ONE)).reason


def test_several_invoices_are_exactly_this_together() -> None:
    found = first(value=3_500, open=(ONE, TWO, THREE))
    assert found.to == (("INV-2", 3_000), ("INV-3", 500)) and found.reason == "these 2 owe exactly this together"


def test_several_transfers_are_exactly_one_invoice_together() -> None:
    found = first(value=700, open=(ONE, TWO), waiting=(Waiting(7, 900), Waiting(8, 1_300)))
    assert (found.to, found.together) == ((("INV-1", 2_000),), (8,))
    assert found.words(USD).startswith("apply 20.00 USD to INV-1 together with exception 8: 2 transfers")


def test_whom_the_sender_paid_for_before_is_a_hint_and_no_more() -> None:
    found = suggest(Facts("unissued", USD, 2_000, senders=(ONE,), alike=(Due("INV-9", "beta", 2_000),)))
    assert [one.to[0][0] for one in found[:2]] == ["INV-1", "INV-9"]
    assert "its sender paid for acme before" in found[0].reason and "equal amounts are chance" in found[1].reason
    assert found[-1].action is Action.REFUND and not any(one.action is Action.CREDIT for one in found)


def test_without_a_rate_a_person_says_one() -> None:
    found = suggest(Facts("no_rate", USD, None, "acme", own=ONE))
    assert [one.action for one in found] == [Action.APPLY, Action.CREDIT, Action.REFUND] and "--rate" in found[0].reason


def test_where_no_money_came_in_there_is_nothing_to_apply() -> None:
    assert [one.action for one in suggest(Facts("disputed_usage", USD))] == [Action.ACKNOWLEDGE]


def test_what_is_missing_may_be_what_waits_or_is_given_up() -> None:
    waits = (Waiting(3, 700), Waiting(4, 1_300))
    found = suggest(Facts("underpaid", USD, tenant="acme", own=ONE, waiting=waits))
    assert (found[0].to, found[0].together) == ((("INV-1", 2_000),), (3, 4))
    assert [one.action for one in found] == [Action.APPLY, Action.WRITE_OFF]
    (small,) = suggest(Facts("underpaid", USD, tenant="acme", tolerance=500, own=THREE))
    assert small.words(USD) == "write_off 5.00 USD of INV-3: the rest is within the tolerance"
    assert [one.action for one in suggest(Facts("overpaid", USD, 100, "acme"))] == [Action.CREDIT, Action.REFUND]


dues = st.builds(Due, st.integers(1, 9).map(lambda n: f"INV-{n}"), st.just("acme"), st.integers(1, 5_000))
opened = st.lists(dues, max_size=9, unique_by=lambda one: one.number).map(tuple)


@given(
    st.integers(1, 9_000),
    opened,
    st.lists(st.builds(Waiting, st.integers(1, 99), st.integers(1, 3_000)), max_size=5).map(tuple),
)
def test_what_is_suggested_can_be_done(value: int, open_: tuple[Due, ...], waiting: tuple[Waiting, ...]) -> None:
    owed, worth = {one.number: one.remaining for one in open_}, {one.exception: one.value for one in waiting}
    own = open_[0] if open_ else None
    found = suggest(Facts("wrong_token", USD, value, "acme", 1, own, open=open_, waiting=waiting))
    assert 2 <= len(found) <= SHOWN_MAX and found[-1].action is Action.REFUND
    for one in found:
        if one.action is Action.APPLY and len(set(worth)) == len(waiting):
            assert all(0 < units <= owed[number] for number, units in one.to)
            assert sum(units for _, units in one.to) + one.rest == value + sum(worth[other] for other in one.together)
