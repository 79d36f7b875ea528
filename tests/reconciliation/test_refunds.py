"""Money is owed back to whom two people said, planned and never sent, and paid by a transfer that was seen."""

import json

import pytest

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.onchain import Address, Hash32, checksum
from billing.reconciliation.resolver import Credited, Resolution
from billing.reconciliation.store import refunds
from billing.tenants.keys import KeyRole
from billing.trail.store import about
from billing.treasury.payout import transfer_calldata
from billing.treasury.safe import builder_file
from tests.reconciliation.desk import Desk
from tests.web.client import TREASURY, USDC, WATCHED
from tests.web.scene import CHAIN, SENDER

HOME = Address("0x" + "ab" * 20)
OUSD, DOLLAR = "31337:OUSD", 10**18


def refunded(desk: Desk, amount: int = 7) -> int:
    """Suspended money that was marked for refund; the refund's id."""
    asked = desk.stray(desk.invoices[0], amount)
    desk.app.resolver.resolve(asked, Resolution.REFUND, reason="they want it back", actor="ann")
    return int(desk.rows("SELECT max(id) FROM refund")[0][0])


def confirmed(desk: Desk, tenant: str = "acme", address: str = HOME) -> int:
    payee = desk.app.cashier.propose(tenant, CHAIN, address, reason="by letter", actor="cli:ann")
    return desk.app.cashier.confirm(payee.id, reason="called back", actor="cli:bob").id


def plan(desk: Desk):  # type: ignore[no-untyped-def]
    return desk.app.repayer.plan(desk.app.watchers[CHAIN], Address(TREASURY))


def test_a_refund_is_planned_only_to_a_payee_and_never_to_the_sender(desk: Desk) -> None:
    number = refunded(desk)
    assert desk.balance("refunds_payable", OUSD) == -7 * DOLLAR
    found = plan(desk)
    assert found.payouts == [] and found.homeless == [(number, "acme", WATCHED, 7 * DOLLAR)]
    confirmed(desk)
    (payout,) = plan(desk).payouts
    assert (payout.to, payout.payee, payout.units) == (WATCHED, HOME, 7 * DOLLAR)
    assert payout.data == transfer_calldata(HOME, 7 * DOLLAR) and SENDER[2:] not in payout.data.hex()
    assert plan(desk).short == {WATCHED: 7 * DOLLAR}, "nothing was swept yet"
    file = json.loads(builder_file(CHAIN, None, ("x", ""), [(payout.to, payout.data)], desk.clock.now()))
    assert file["transactions"][0]["to"] == checksum(Address(WATCHED)) and file["transactions"][0]["value"] == "0"


def test_the_transfer_that_paid_it_is_linked_and_the_books_balance(desk: Desk) -> None:
    number = refunded(desk)
    confirmed(desk)
    tx = Hash32(desk.pays_out(HOME, 7 * DOLLAR, WATCHED))
    assert desk.balance("external", OUSD) == 7 * DOLLAR
    desk.app.repayer.paid(number, tx, actor="ann")
    assert desk.balance("external", OUSD) == 0 and desk.balance("refunds_payable", OUSD) == 0
    with desk.app.database.transaction() as session:
        (row,) = refunds.listed(session, state="paid")
        assert (row["paid_in"], row["tenant"]) == (tx, "acme")
        assert [one.action for one in about(session, f"refund {number}")] == ["refund.paid"]
    assert plan(desk).payouts == [] and desk.findings() == []
    with pytest.raises(Conflict, match="is paid"):
        desk.app.repayer.paid(number, tx, actor="bob")
    transfer = desk.rows(f"SELECT id FROM transfer WHERE tx_hash = '{tx}'")[0][0]
    desk.forget(transfer)
    assert desk.balance("refunds_payable", OUSD) == -7 * DOLLAR and len(plan(desk).payouts) == 1
    assert desk.findings() == []
    desk.bring_back(transfer)
    desk.app.repayer.paid(number, tx, actor="ann")
    assert desk.balance("refunds_payable", OUSD) == 0 and desk.findings() == []


def test_what_did_not_pay_it_is_refused(desk: Desk) -> None:
    first, second = refunded(desk), refunded(desk)
    elsewhere = Hash32(desk.pays_out("0x" + "cd" * 20, 7 * DOLLAR, WATCHED))
    payee = confirmed(desk)
    less = Hash32(desk.pays_out(HOME, 6 * DOLLAR, WATCHED))
    other = Hash32(desk.pays_out(HOME, 7 * DOLLAR, USDC))
    stranger = Hash32(desk.moved("0x" + "cd" * 20, TREASURY, 7 * DOLLAR, WATCHED))
    right = Hash32(desk.pays_out(HOME, 7 * DOLLAR, WATCHED))
    for tx, words in (
        (elsewhere, "which two people never confirmed"),
        (less, "it sent 6000000000000000000 units"),
        (other, "no transfer of this token out of the treasury"),
        (stranger, "no transfer of this token out of the treasury"),
        (Hash32("0x" + "12" * 32), "no transfer of this token"),
    ):
        with pytest.raises(Conflict, match=words):
            desk.app.repayer.paid(first, tx, actor="ann")
    desk.app.cashier.revoke(payee, reason="they moved", actor="ann")
    desk.app.repayer.paid(first, right, actor="ann")
    with pytest.raises(Conflict, match="paid another refund"):
        desk.app.repayer.paid(second, right, actor="ann")
    with pytest.raises(NotFound, match="no refund 99"):
        desk.app.repayer.paid(99, right, actor="ann")
    assert desk.findings() == []


def test_credit_is_owed_back_in_the_token_that_it_came_in(desk: Desk) -> None:
    october, *_ = desk.invoices
    desk.pay(october, 50_000_000)
    desk.mine(10)
    for amount, error, words in (
        ("0", Invalid, "no amount"),
        ("-1", Invalid, "no amount"),
        ("30.01", Conflict, "holds 30.00 USD"),
    ):
        with pytest.raises(error, match=words):
            desk.app.refunder.owe_credit("acme", amount, reason="they ask", actor="ann")
    done = desk.app.refunder.owe_credit("acme", "12.50", reason="they ask", actor="ann")
    assert done == "refund 1: 12.500000 USDC on chain 31337"
    assert desk.balance("tenant_credit") == -1_750 and desk.balance("refunds_payable", "31337:USDC") == -12_500_000
    desk.app.refunder.owe_credit("acme", "17.50", reason="all of it", actor="ann")
    with pytest.raises(Conflict, match=r"holds 0\.00 USD"):
        desk.app.refunder.owe_credit("acme", "0.01", reason="more", actor="ann")
    assert desk.findings() == []
    desk.forget(1)
    assert desk.balance("tenant_credit") == 0 and desk.balance("refunds_payable", "31337:USDC") == 0
    assert desk.rows("SELECT DISTINCT state FROM refund") == [("gone",)] and desk.questions() == []
    assert desk.findings() == []
    desk.bring_back(1)
    assert desk.balance("tenant_credit") == -3_000 and desk.findings() == []


def test_money_that_was_sent_back_and_is_gone_is_a_question(desk: Desk) -> None:
    number = refunded(desk)
    confirmed(desk)
    desk.app.repayer.paid(number, Hash32(desk.pays_out(HOME, 7 * DOLLAR, WATCHED)), actor="ann")
    desk.forget(1)
    (asked,) = desk.questions()
    assert (asked["kind"], asked["tenant"]) == ("refund_gone", "acme")
    assert desk.findings() == [
        "what is owed back is what the ledger says: 31337:OUSD: 0 units are owed back, the ledger says -7000000000000000000"
    ], "the audit is red until the payer makes it good"


def test_a_payee_takes_two_people_and_each_step_is_in_the_trail(desk: Desk) -> None:
    cashier = desk.app.cashier
    payee = cashier.propose("acme", CHAIN, checksum(HOME), reason="by letter", actor="cli:ann")
    for same in ("cli:ann", "api:ann (1a2b3c4d)"):
        with pytest.raises(Conflict, match="somebody else must confirm it"):
            cashier.confirm(payee.id, reason="me again", actor=same)
    assert cashier.confirm(payee.id, reason="called back", actor="api:bob (1a2b3c4d)").state == "confirmed"
    other = cashier.propose("acme", CHAIN, "0x" + "cd" * 20, reason="they moved", actor="cli:bob")
    with pytest.raises(Conflict, match=f"acme has payee {payee.id} on that chain"):
        cashier.confirm(other.id, reason="called back", actor="cli:ann")
    cashier.revoke(payee.id, reason="they moved", actor="cli:ann")
    cashier.confirm(other.id, reason="called back", actor="cli:ann")
    with pytest.raises(Conflict, match="is revoked"):
        cashier.confirm(payee.id, reason="again", actor="cli:bob")
    with desk.app.database.transaction() as session:
        deeds = [(one.actor, one.action) for one in about(session, f"payee {payee.id}")]
    assert deeds == [("cli:ann", "payee.propose"), ("api:bob (1a2b3c4d)", "payee.confirm"), ("cli:ann", "payee.revoke")]


def test_what_is_no_address_of_a_tenant_is_refused(desk: Desk) -> None:
    ours = desk.invoices[0].address
    assert ours is not None
    for address in ("0x12", "0x" + "0" * 40, ours, TREASURY, USDC, "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"):
        with pytest.raises(Invalid):
            desk.app.cashier.propose("acme", CHAIN, address, reason="by letter", actor="ann")
    with pytest.raises(NotFound, match="no tenant nobody"):
        desk.app.cashier.propose("nobody", CHAIN, HOME, reason="by letter", actor="ann")
    with pytest.raises(NotFound, match="no chain 1 is configured"):
        desk.app.cashier.propose("acme", 1, HOME, reason="by letter", actor="ann")
    with pytest.raises(Invalid, match="needs a reason"):
        desk.app.cashier.propose("acme", CHAIN, HOME, reason=" ", actor="ann")
    desk.app.cashier.propose("acme", CHAIN, HOME, reason="by letter", actor="ann")
    with pytest.raises(Conflict, match="is payee 1 already"):
        desk.app.cashier.propose("acme", CHAIN, HOME, reason="by letter", actor="bob")


def test_payees_and_refunds_over_http(desk: Desk) -> None:
    number = refunded(desk)
    ann, bob = desk.client(KeyRole.FINANCE), desk.client(KeyRole.OPERATOR)
    body = {"tenant": "acme", "chain_id": CHAIN, "address": HOME, "reason": "by letter"}
    made = ann.post("/api/v1/payees", body)
    assert made.status_code == 201 and made.json()["state"] == "proposed", made.text
    confirm = f"/api/v1/payees/{made.json()['id']}/confirm"
    same = ann.post(confirm, {"reason": "me again"})
    assert same.status_code == 409 and same.headers["content-type"] == "application/problem+json"
    done = bob.post(confirm, {"reason": "called back"})
    assert done.status_code == 200 and done.json()["state"] == "confirmed", done.text
    (owed,) = ann.json("/api/v1/refunds")["items"]
    assert (owed["id"], owed["tenant"], owed["state"], owed["amount_units"]) == (
        number,
        "acme",
        "owed",
        str(7 * DOLLAR),
    )
    assert ann.json("/api/v1/refunds?state=paid")["items"] == []
    assert ann.get("/api/v1/refunds?state=lost").status_code == 422
    assert bob.post(f"/api/v1/payees/{made.json()['id']}/revoke", {"reason": "moved"}).json()["state"] == "revoked"
    assert ann.json("/api/v1/payees")["items"] == [] and len(ann.json("/api/v1/payees?revoked=true")["items"]) == 1
    assert ann.post("/api/v1/payees/99/confirm", {"reason": "who"}).status_code == 404


def test_whose_money_it_is_must_be_known_before_it_is_owed_back(desk: Desk) -> None:
    asked = desk.stray(desk.invoices[0], 7)
    desk.rows("UPDATE exception SET tenant_id = NULL RETURNING id")
    with pytest.raises(Invalid, match="nobody is known to be the payer"):
        desk.app.resolver.resolve(asked, Resolution.REFUND, reason="back", actor="ann")
    given = Credited(tenant="beta")
    desk.app.resolver.resolve(asked, Resolution.REFUND, reason="back", actor="ann", credited=given)
    assert desk.rows("SELECT t.slug FROM refund r JOIN tenant t ON t.id = r.tenant_id") == [("beta",)]
    assert desk.findings() == []
