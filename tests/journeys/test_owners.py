"""An owner of GPUs, from a tenant's payment to its own: planned, confirmed by two, sent by the treasury, marked; and taken back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.onchain import Address, Hash32, checksum, parse_address
from billing.core.period import FOREVER, Span, month_of
from billing.owners.payout import PayoutPlan
from billing.owners.registrar import Wanted
from billing.owners.share import Owner, parse_parts
from billing.owners.store import settled
from billing.reports.owners import statements
from billing.treasury.safe import builder_file
from tests.factories import OCTOBER
from tests.world import World, issued, usd, world

CHAIN = 31337


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    """North has two thirds of a GPU that brought in 200.00, less 2.5 %: 130.00; the treasury holds 500.00."""
    with world(database_url, tmp_path) as one:
        (invoice,) = issued(one, "acme")
        assert invoice.address is not None
        one.app.owner_registrar.add(Owner("north", "North"), fee_basis_points=250, actor="cli:a")
        wanted = Wanted("north", parse_parts("2/3"), Span(OCTOBER, FOREVER), uuids=("GPU-acme",))
        one.app.owner_registrar.share([wanted], actor="cli:a")
        one.node.transfer(one.usdc, invoice.address, usd("200.00"))
        one.node.transfer(one.usdc, one.treasury, usd("500.00"))
        one.settle()
        one.app.settler.settle()
        yield one


def owed(made: World) -> int:
    with made.app.database.transaction() as session:
        return settled.owed(session, "north").get("USD", 0)


def plan(made: World) -> PayoutPlan:
    return made.app.payer.plan(next(token for token in made.app.tokens if token.symbol == "USDC"))


def confirmed(made: World) -> Address:
    place = parse_address(made.node.accounts[5])
    made.app.payer.propose("north", CHAIN, place, reason="by letter", actor="cli:a")
    made.app.payer.confirm("north", CHAIN, place, reason="by telephone", actor="cli:b")
    return place


def send(made: World, found: PayoutPlan) -> Hash32:
    """The treasury's signers do as planned."""
    (payout,) = found.payouts
    return Hash32(made.node.send(payout.token.address, payout.data, sender=9)["transactionHash"])


def test_a_payout_is_planned_sent_and_marked_once(made: World) -> None:
    place = confirmed(made)
    found = plan(made)
    (payout,) = found.payouts
    assert (payout.to, payout.units, payout.value, found.held) == (place, usd("130.00"), 13_000, usd("500.00"))
    tx_hash = send(made, found)
    assert made.node.balance(made.usdc, place) == usd("130.00")
    made.follow()
    assert plan(made).payouts == [], "it was sent: planning it again would pay twice"
    assert plan(made).left_out[0][1].startswith("was sent something that nobody marked")
    with pytest.raises(Conflict, match="not booked yet"):
        made.app.payer.paid("north", tx_hash, reason="October", actor="cli:a")
    made.settle()
    assert made.app.payer.paid("north", tx_hash, reason="October", actor="cli:a") == "130.00 USD"
    with pytest.raises(Conflict, match="already"):
        made.app.payer.paid("north", tx_hash, reason="again", actor="cli:a")
    assert (owed(made), plan(made).left_out) == (0, [("north", "is owed 0.00 USD")])
    with made.app.database.transaction() as session:
        (found_statement,) = statements(session, "north", month_of(made.clock.now()))
    assert (found_statement.paid_out, found_statement.owed) == (13_000, 0)
    assert made.findings() == []


def test_a_payout_that_its_chain_takes_back_is_owed_again(made: World) -> None:
    confirmed(made)
    tx_hash = send(made, plan(made))
    made.node.mine(3)
    made.follow()
    made.app.payer.paid("north", tx_hash, reason="October", actor="cli:a")
    assert owed(made) == 0
    made.node.reorg(4)
    made.follow()
    assert owed(made) == 13_000
    made.settle()
    assert made.findings() == []
    assert plan(made).units == usd("130.00")


def test_an_address_needs_two_people_and_only_the_confirmed_one_is_paid(made: World) -> None:
    payer, first, second = made.app.payer, *(parse_address(made.node.accounts[n]) for n in (5, 6))
    payer.propose("north", CHAIN, first, reason="r", actor="cli:a")
    assert "no confirmed address" in plan(made).left_out[0][1]
    with pytest.raises(Conflict, match=r"cli:a proposed .*; somebody else must confirm it"):
        payer.confirm("north", CHAIN, first, reason="r", actor="cli:a")
    with pytest.raises(NotFound, match="is not proposed"):
        payer.confirm("north", CHAIN, second, reason="r", actor="cli:b")
    payer.confirm("north", CHAIN, first, reason="r", actor="cli:b")
    payer.propose("north", CHAIN, second, reason="moved", actor="cli:b")
    assert plan(made).payouts[0].to == first, "what is only proposed is not paid"
    payer.confirm("north", CHAIN, second, reason="moved", actor="cli:a")
    assert plan(made).payouts[0].to == second
    with pytest.raises(Conflict, match=r"is paid at .* already"):
        payer.propose("north", CHAIN, second, reason="again", actor="cli:a")
    assert [one.ended_at is None for one in payer.payees("north")] == [False, True]


def test_nobody_is_paid_at_our_own_address_or_a_token(made: World) -> None:
    for place in (made.treasury, made.usdc, Address("0x" + "0" * 40)):
        with pytest.raises(Invalid, match=r"nobody (is paid there|holds the zero address)"):
            made.app.payer.propose("north", CHAIN, place, reason="r", actor="cli:a")


def test_what_was_not_sent_to_the_owner_is_not_marked(made: World) -> None:
    confirmed(made)
    other = made.node.transfer(made.usdc, made.node.accounts[6], 5, sender=9)
    stray = made.node.transfer(made.usdc, made.node.accounts[5], 5, sender=1)
    made.settle()
    for receipt in (other, stray):
        with pytest.raises(NotFound, match="sent nothing"):
            made.app.payer.paid("north", Hash32(receipt["transactionHash"]), reason="r", actor="cli:a")
    more = made.node.transfer(made.usdc, made.node.accounts[5], usd("130.01"), sender=9)
    made.settle()
    with pytest.raises(Conflict, match=r"more than the 130\.00"):
        made.app.payer.paid("north", Hash32(more["transactionHash"]), reason="r", actor="cli:a")


def test_the_safe_file_says_what_the_plan_says(made: World) -> None:
    confirmed(made)
    found = plan(made)
    (payout,) = found.payouts
    calls = [(payout.token.address, payout.data)]
    told = json.loads(builder_file(CHAIN, found.treasury, ("Payout", "x"), calls, made.clock.now()))
    (transaction,) = told["transactions"]
    assert (told["chainId"], told["meta"]["createdFromSafeAddress"]) == ("31337", checksum(made.treasury))
    assert (transaction["to"], transaction["value"]) == (checksum(made.usdc), "0")
    assert transaction["data"] == f"0xa9059cbb{payout.to[2:].rjust(64, '0')}{usd('130.00'):064x}"
