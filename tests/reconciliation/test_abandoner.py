"""An invoice that is given up is a loss until it is paid all the same."""

import pytest

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation.applier import To
from billing.reconciliation.store.facts import oddities
from billing.reconciliation.suggestion import suggest
from tests.reconciliation.desk import Desk


def test_a_write_off_is_a_loss_that_a_payment_takes_back_as_far_as_it_goes(desk: Desk) -> None:
    october, *_ = desk.invoices
    lost = desk.app.abandoner.write_off(october.number, reason="insolvent", actor="ann")
    assert (lost.status, lost.remaining, lost.paid) == (InvoiceStatus.UNCOLLECTIBLE, 2_000, 0)
    assert desk.balance("write_off") == 2_000 and desk.balance("receivable") == 8_000 and desk.findings() == []
    desk.pay(october, 5_000_000)
    desk.mine(10)
    part = desk.again(october)
    assert (part.status, part.remaining, part.paid) == (InvoiceStatus.UNCOLLECTIBLE, 1_500, 500)
    assert desk.balance("write_off") == 1_500 and desk.findings() == []
    desk.pay(october, 16_000_000)
    desk.mine(10)
    assert desk.again(october).status is InvoiceStatus.PAID and desk.balance("write_off") == 0
    assert desk.balance("tenant_credit") == -100 and desk.findings() == []
    desk.forget(2)
    assert desk.again(october).status is InvoiceStatus.UNCOLLECTIBLE, "nobody took the decision back"
    assert desk.balance("write_off") == 1_500 and desk.balance("receivable") == 8_000 and desk.findings() == []


def test_a_person_may_apply_money_to_what_was_given_up_and_void_it(desk: Desk) -> None:
    october, beta, november, _ = desk.invoices
    asked = desk.stray(october, 20)
    for one in (october, november, beta):
        desk.app.abandoner.write_off(one.number, reason="insolvent", actor="ann")
    desk.app.applier.apply([asked], [To(october.number, "19.00")], reason="theirs", actor="ann")
    assert desk.again(october).remaining == 100
    desk.app.issuer.void(beta.number, reason="never owed", actor="ann")
    assert desk.balance("write_off") == 3_100 and desk.findings() == []
    assert [one.remaining for one in desk.invoices] == [100, 0, 3_000, 3_000]


def test_what_is_still_owed_is_told_in_standing(desk: Desk) -> None:
    from billing.invoicing.store import debts

    october, *_ = desk.invoices
    desk.app.abandoner.write_off(october.number, reason="insolvent", actor="ann")
    with desk.app.database.transaction() as session:
        assert [one.remaining for one in debts.of_payer(session, october.tenant_id)] == [2_000, 3_000]


def test_what_is_odd_is_listed_with_what_may_be_done(desk: Desk) -> None:
    october, beta, *_ = desk.invoices
    desk.pay(october, 15_000_000)
    desk.pay(beta, 27_000_000)
    desk.mine(10)
    asked = desk.stray(october, 5)
    with desk.app.database.transaction() as session:
        missing, left = oddities(session, Asset("USD", 2), desk.clock.now())
    assert (missing.invoice, missing.amount, left.tenant, left.amount) == (october.number, 500, "beta", 700)
    best = suggest(missing.facts)[0]
    assert (best.to, best.together) == (((october.number, 500),), (asked,))
    desk.app.applier.apply(list(best.together), [To(october.number)], reason=best.reason, actor="ann")
    with desk.app.database.transaction() as session:
        assert [one.tenant for one in oddities(session, Asset("USD", 2), desk.clock.now())] == ["beta"]


def test_only_open_invoices_and_only_with_a_reason(desk: Desk) -> None:
    october, beta, *_ = desk.invoices
    desk.app.issuer.void(beta.number, reason="wrong", actor="ann")
    with pytest.raises(Conflict, match="is void: there is nothing to write off"):
        desk.app.abandoner.write_off(beta.number, reason="gone", actor="ann")
    with pytest.raises(Invalid, match="needs a reason"):
        desk.app.abandoner.write_off(october.number, reason=" ", actor="ann")
    with pytest.raises(NotFound, match="no invoice INV-9"):
        desk.app.abandoner.write_off("INV-9", reason="gone", actor="ann")
    desk.app.abandoner.write_off(october.number, reason="gone", actor="ann")
    with pytest.raises(Conflict, match="is uncollectible"):
        desk.app.abandoner.write_off(october.number, reason="again", actor="ann")
    assert desk.findings() == []
