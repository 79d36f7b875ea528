"""Deposit addresses and credit over the API."""

from http import HTTPStatus

from sqlalchemy import text

from billing.core.errors import Conflict
from billing.core.onchain import Address
from billing.core.period import Span
from billing.db.engine import Session
from billing.invoicing.drafter import Drafted
from billing.invoicing.granter import Gift
from billing.invoicing.runway import Terms
from billing.invoicing.verify import verify
from billing.tenants.keys import KeyRole
from tests.factories import at
from tests.web.client import WATCHED
from tests.web.scene import Scene

PATH = "/api/v1/tenants/acme/deposit-address"


def test_an_address_is_made_once_and_its_document_is_served_byte_for_byte(scene: Scene) -> None:
    scene.meter("acme", "beta")
    scene.accept()
    finance, own = scene.client(KeyRole.FINANCE), scene.client(KeyRole.TENANT, "acme")
    assert own.get(PATH).status_code == HTTPStatus.NOT_FOUND
    assert own.post(PATH, {}).status_code == HTTPStatus.FORBIDDEN
    first = finance.post(PATH, {}, headers={"Idempotency-Key": "one"})
    assert first.status_code == HTTPStatus.CREATED
    again = finance.post(PATH, {}, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert finance.post(PATH, {}).status_code == HTTPStatus.OK
    found = own.json(PATH)
    assert found == first.json() and found["number"] == "INV-DEP-000001" and found["settlement"][0]["offered"]
    document = own.get(f"{PATH}/document")
    assert scene.app.wallet is not None
    assert verify(document.content, [scene.app.wallet.pin()], Address(found["address"].lower())).genuine
    (archived,) = scene.app.archive.read()
    assert archived.content == document.content and archived.issued, "it was marked after the commit"
    assert scene.client(KeyRole.TENANT, "beta").get(PATH).status_code == HTTPStatus.NOT_FOUND


def test_a_renewal_needs_a_reason_and_keeps_the_old_document(scene: Scene) -> None:
    scene.meter("acme")
    old = scene.deposit("acme")
    finance = scene.client(KeyRole.FINANCE)
    refused = finance.post(PATH, {"renew": True})
    assert refused.status_code == HTTPStatus.BAD_REQUEST and "needs a reason" in refused.json()["detail"]
    new = finance.post(PATH, {"renew": True, "reason": "another token"}).json()
    assert new["replaces"] == old.number and new["address"].lower() != old.address
    assert finance.get(f"{PATH}/document?number={old.number}").content == old.content
    assert finance.get(f"{PATH}/document?number=INV-DEP-000009").status_code == HTTPStatus.NOT_FOUND


def test_a_top_up_is_seen_as_a_payment_and_as_credit_that_becomes_final(scene: Scene) -> None:
    scene.meter("acme")
    deposit, own = scene.deposit("acme"), scene.client(KeyRole.TENANT, "acme")
    scene.pay(deposit, 15_000_000)
    (seen,) = own.json("/api/v1/payments")["items"]
    assert (seen["deposit"], seen["tenant"], seen["status"], seen["invoice"]) == (deposit.number, "acme", "seen", None)
    scene.mine(3)
    (credited,) = own.json("/api/v1/tenants/acme/credit")["items"]
    assert (credited["kind"], credited["amount"], credited["final"]) == ("prepaid", "15.00", False)
    scene.mine(10)
    (paid,) = own.json("/api/v1/payments")["items"]
    assert (paid["kind"], paid["value"], paid["credited"], paid["rate"]) == ("top_up", "15.00", "15.00", "1")
    (credited,) = own.json("/api/v1/tenants/acme/credit")["items"]
    assert credited["final"] and credited["reference"] == paid["tx_hash"]
    scene.pay(deposit, 5 * 10**18, token=WATCHED)
    scene.mine(13)
    (asked,) = scene.client(KeyRole.FINANCE).json("/api/v1/exceptions")["items"]
    assert (asked["kind"], asked["tenant"]) == ("wrong_token", "acme")


def test_a_grant_is_used_first_and_costs_the_promotion_account(scene: Scene) -> None:
    scene.meter("acme")
    scene.pay(scene.deposit("acme"), 15_000_000)
    scene.mine(13)
    finance, path = scene.client(KeyRole.FINANCE), "/api/v1/tenants/acme/credit"
    given = finance.post(path, {"amount": "8.00", "reason": "welcome", "reference": "WELCOME"})
    assert given.status_code == HTTPStatus.CREATED and given.json()["amount"] == "8.00"
    assert finance.post(path, {"amount": "8.00", "reason": "again", "reference": "WELCOME"}).status_code == 409
    assert scene.client(KeyRole.OPERATOR).post(path, {"amount": "1", "reason": "x"}).status_code == 403
    for wrong in (
        {"amount": "0.00", "reason": "x"},
        {"amount": "-1", "reason": "x"},
        {"amount": "1.005", "reason": "x"},
    ):
        assert 400 <= finance.post(path, wrong).status_code < 500, wrong
    (invoice,) = scene.issue()
    assert (invoice.total, invoice.credits, invoice.status) == (2_000, 2_000, "paid")
    left = {one["kind"]: one["left"] for one in finance.json(path)["items"]}
    assert left == {"prepaid": "3.00", "promotional": "0.00"}
    assert scene.app.auditor.run(chains=False).findings == []


def test_a_runway_says_what_is_left_and_when_it_runs_out(scene: Scene) -> None:
    """10 hours at 2.00 USD on the first of October, asked at its end."""
    scene.meter("acme")
    scene.clock.move_to(at(10))
    path = "/api/v1/tenants/acme/runway"
    scene.app.granter.grant(Gift("acme", "68.00", "welcome"), actor="test")
    found = scene.client(KeyRole.TENANT, "acme").json(path)
    assert (found["held"], found["accrued"], found["available"], found["per_day"]) == (
        "68.00",
        "20.00",
        "48.00",
        "48.00",
    )
    assert (found["days_left"], found["runs_out_at"], found["terms"]) == (1, "2026-10-02T10:00:00Z", None)
    scene.clock.move_to(at(10, day=20))
    assert scene.client(KeyRole.AUDITOR).json(path)["runs_out_at"] is None, "nothing was used for a week"
    assert scene.client(KeyRole.AUDITOR).get(f"{path}?days=0").status_code == 422
    scene.clock.move_to(at(30, day=31))
    scene.issue()
    found = scene.client(KeyRole.AUDITOR).json(path)
    assert (found["held"], found["accrued"], found["available"]) == ("48.00", "0.00", "48.00"), "it is invoiced by now"


def kinds(scene: Scene) -> list[str]:
    with scene.app.database.transaction() as session:
        rows = session.execute(text("SELECT type FROM notice WHERE type ~ '^(credit[.]|tenant)' ORDER BY id"))
        return [row.type for row in rows]


def tick(scene: Scene) -> None:
    scene.app.prepayer.tick()
    scene.app.dunner.tick()


def test_each_crossing_is_told_once_and_standing_follows_a_top_up_at_once(scene: Scene) -> None:
    """It used 20.00 USD."""
    scene.meter("acme")
    deposit, finance, standing = scene.deposit("acme"), scene.client(KeyRole.FINANCE), "/api/v1/tenants/acme/standing"
    terms = {"prepaid": True, "reason": "new", "low_balance": "10.00", "suspend_at_zero": True}
    assert finance.post("/api/v1/tenants/acme/prepaid", terms).json()["terms"]["low_balance"] == "10.00"
    for _ in range(2):
        tick(scene)
    assert kinds(scene) == ["credit.exhausted", "tenant.suspended"]
    found = finance.json(standing)
    assert (found["standing"], found["prepaid"]["available"]) == ("suspended", "-20.00")
    scene.pay(deposit, 25_000_000)
    scene.mine(3)
    assert finance.json(standing)["standing"] == "suspended", "it counts, and is not final"
    scene.mine(10)
    assert finance.json(standing)["standing"] == "good", "before any tick"
    for _ in range(2):
        tick(scene)
    assert kinds(scene)[2:] == ["tenant.resumed"], "5.00 are left: low, but on the way up"
    scene.pay(deposit, 10_000_000)
    scene.mine(13)
    tick(scene)
    scene.app.granter.grant(Gift("acme", "1.00", "x"), actor="test")
    terms |= {"low_balance": "20.00"}
    finance.post("/api/v1/tenants/acme/prepaid", terms)
    for _ in range(2):
        tick(scene)
    assert kinds(scene)[3:] == ["credit.low"]
    finance.post("/api/v1/tenants/acme/prepaid", {"prepaid": False, "reason": "trusted"})
    tick(scene)
    assert finance.json(standing)["prepaid"] is None and kinds(scene)[4:] == []


def test_one_tenant_that_cannot_be_rated_holds_nobody_up(scene: Scene) -> None:
    scene.meter("acme", "beta")
    for slug in ("acme", "beta"):
        scene.app.prepayer.agree(slug, Terms(suspend_at_zero=True), reason="new", actor="test")
    with scene.app.database.transaction() as session:
        session.execute(text("UPDATE prepaid_level SET accrued_units = 0"))
    draft = scene.app.drafter.draft

    def failing(session: Session, period: Span, payer: str = "", *, final: bool = True) -> Drafted:
        if payer == "acme":
            raise Conflict("cannot rate")
        return draft(session, period, payer, final=final)

    scene.app.drafter.draft = failing  # type: ignore[method-assign, assignment]
    done = scene.app.prepayer.tick()
    assert (done.failed, done.exhausted) == ({"acme": "cannot rate"}, [])
    with scene.app.database.transaction() as session:
        rows = session.execute(text("SELECT accrued_units FROM prepaid_level ORDER BY tenant_id"))
        assert [int(row.accrued_units) for row in rows] == [0, 2_000], "the last figure stays"
