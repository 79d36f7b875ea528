"""`/tenants/{slug}/standing`: what schedulers ask before they start a job."""

from datetime import timedelta
from http import HTTPStatus

import pytest

from billing.tenants.keys import KeyRole
from billing.tenants.tenant import Attribution, Tenant
from tests.web.scene import Scene


@pytest.fixture
def strict(scene: Scene) -> Scene:
    dunning = scene.app.settings.dunning.model_copy(update={"suspend_after_days": 7})
    scene.app.settings = scene.app.settings.model_copy(update={"dunning": dunning})
    return scene


def test_a_tenant_goes_from_good_to_overdue_to_suspended_and_back(strict: Scene) -> None:
    (invoice,) = strict.invoiced("acme")
    staff, own = strict.client(KeyRole.AUDITOR), strict.client(KeyRole.TENANT, "acme")
    path = "/api/v1/tenants/acme/standing"
    assert staff.json(path) == {
        "tenant": "acme", "payer": "acme", "standing": "good", "since": None, "suspends_at": None, "overdue": [], "prepaid": None,
    }  # fmt: skip
    strict.clock.move_to(invoice.due_at + timedelta(seconds=1))
    found = own.json(path)
    assert (found["standing"], found["overdue"]) == (
        "overdue", [{"currency": "USD", "amount": "20.00", "invoices": [invoice.number]}],
    )  # fmt: skip
    assert found["since"] < found["suspends_at"]
    strict.clock.move_to(invoice.due_at + timedelta(days=7))
    assert staff.json(path)["standing"] == "suspended"
    strict.pay(invoice, 20_000_000)
    assert staff.json(path)["standing"] == "overdue", "its payment is on its way"
    strict.mine(3)
    assert staff.json(path)["standing"] == "good"
    strict.orphan()
    assert staff.json(path)["standing"] == "suspended", "the chain took it back"


def test_a_resellers_customer_is_told_to_stop_but_not_what_the_reseller_owes(strict: Scene) -> None:
    (invoice,) = strict.invoiced("acme")
    strict.app.registrar.add(Tenant("delta", "Delta", Attribution.LEASE, reseller="acme"), [], actor="test")
    strict.clock.move_to(invoice.due_at + timedelta(days=8))
    found = strict.client(KeyRole.TENANT, "delta").json("/api/v1/tenants/delta/standing")
    assert (found["standing"], found["payer"], found["overdue"]) == ("suspended", "delta", [])
    told = strict.client(KeyRole.OPERATOR).json("/api/v1/tenants/delta/standing")
    assert (told["standing"], told["payer"], told["overdue"][0]["amount"]) == ("suspended", "acme", "20.00")


def test_nobody_asks_about_another_and_an_unknown_one_is_not_found(strict: Scene) -> None:
    strict.invoiced("acme", "beta")
    own = strict.client(KeyRole.TENANT, "acme")
    for slug in ("beta", "nobody"):
        answer = own.get(f"/api/v1/tenants/{slug}/standing")
        assert answer.status_code == HTTPStatus.NOT_FOUND and slug in answer.json()["detail"]
    assert strict.client(KeyRole.OPERATOR).get("/api/v1/tenants/nobody/standing").status_code == HTTPStatus.NOT_FOUND
