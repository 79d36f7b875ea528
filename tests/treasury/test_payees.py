"""Whoever is on a sanctions list is no payee: when proposed, when confirmed, and when a plan is made."""

from pathlib import Path

import pytest

from billing.compliance.screener import ListFile, Policy, Screener
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable
from billing.core.onchain import Address, checksum
from billing.owners.payer import Payer
from billing.owners.share import Owner
from billing.treasury.payee import require_another
from billing.treasury.payout import Payout
from billing.treasury.repayer import RefundPlan, Repayer
from tests.factories import at, tenant
from tests.owners.test_settler import own, owner, settle
from tests.web.client import application
from tests.web.scene import CHAIN, Scene

GOOD, BAD = (Address("0x" + pair * 20) for pair in ("12", "bd"))
WHY = {"reason": "by letter", "actor": "cli:ann"}
TOO = {"reason": "by telephone", "actor": "cli:bob"}


def test_a_listed_address_is_refused_with_the_name_of_its_list(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "sdn.txt"
    file.write_text(f"{BAD}\n")
    lists = {"lists": [{"name": "sdn", "path": str(file)}]}
    app = application(database_url, tmp_path, ManualClock(at(24, day=31)), compliance=lists)
    try:
        app.registrar.add(tenant("acme"), [], actor="test")
        app.owner_registrar.add(Owner("north", "North"), fee_basis_points=0, actor="test")
        with pytest.raises(Conflict, match=f"{checksum(BAD)} is on list sdn: nobody is paid there"):
            app.cashier.propose("acme", CHAIN, BAD, **WHY)
        with pytest.raises(Conflict, match="is on list sdn"):
            app.payer.propose("north", CHAIN, BAD, **WHY)
        payee = app.cashier.propose("acme", CHAIN, GOOD, **WHY)
        app.payer.propose("north", CHAIN, GOOD, **WHY)
        file.write_text(f"{BAD}\n{GOOD}\n")
        with pytest.raises(Conflict, match="is on list sdn"):
            app.cashier.confirm(payee.id, **TOO)
        with pytest.raises(Conflict, match="is on list sdn"):
            app.payer.confirm("north", CHAIN, GOOD, **TOO)
    finally:
        app.close()


def test_nobody_is_a_payee_because_a_list_could_not_be_read(database_url: str, tmp_path: Path) -> None:
    app = application(database_url, tmp_path)
    try:
        policy = Policy((ListFile("sdn", tmp_path / "gone"),))
        screener = Screener(app.database, app.clock, policy, app.screener._ask)
        with pytest.raises(Unavailable, match="the list sdn was never read"):
            screener.payee_on(CHAIN, GOOD)
        assert app.screener.payee_on(CHAIN, GOOD) == "", "without lists nobody is screened"
    finally:
        app.close()


def test_a_payout_plan_leaves_out_who_is_listed_by_now(database_url: str, tmp_path: Path) -> None:
    clock = ManualClock(at(24, day=31))
    app = application(database_url, tmp_path, clock)
    try:
        scene = Scene(app, clock)
        (invoice,) = scene.invoiced("acme")
        owner(scene, "north")
        own(scene, "north", "GPU-acme")
        scene.pay(invoice, 20_000_000)
        scene.mine(3)
        settle(scene)
        app.payer.propose("north", CHAIN, GOOD, **WHY)
        app.payer.confirm("north", CHAIN, GOOD, **TOO)
        token = next(one for one in app.tokens if one.symbol == "USDC")
        assert [one.to for one in app.payer.plan(token).payouts] == [GOOD]
        strict = Payer(app.database, clock, lambda chain_id, address: "list sdn", app.wallet)
        plan = strict.plan(token)
        assert plan.payouts == []
        assert plan.left_out == [("north", f"is not paid: {checksum(GOOD)} is on list sdn")]
        refunds = RefundPlan([Payout(7, "acme", token.address, GOOD, 5), Payout(8, "beta", token.address, BAD, 5)])
        repayer = Repayer(app.database, clock, lambda chain_id, address: "list sdn" if address == BAD else "")
        repayer._leave_out(refunds, CHAIN)
        assert [one.refund for one in refunds.payouts] == [7]
        assert refunds.refused == [(8, f"{checksum(BAD)} is on list sdn")]
    finally:
        app.close()


@pytest.mark.parametrize("same", ["cli:ann", "api:ann (1a2b3c4d)", "api:ann (99999999)"])
def test_one_person_is_one_person_however_they_come_in(same: str) -> None:
    with pytest.raises(Conflict, match="somebody else must confirm it"):
        require_another("cli:ann", same, "it")
    require_another("cli:ann", "api:bob (1a2b3c4d)", "it")
