"""What a tenant sees of its own, what a reseller sees of its customers, and that nobody sees anybody else's."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.access import store as access
from billing.core.period import Span
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.tenants.tenant import Attribution, Tenant
from billing.web.store import portal
from tests.factories import OCTOBER, at
from tests.web.browser import Browser, browser
from tests.web.client import Client
from tests.web.scene import Scene

PAGES = ("", "/usage?month=2026-10", "/invoices", "/payments", "/credit", "/keys", "/contacts")


def portal_of(scene: Scene, slug: str) -> Browser:
    return browser(scene.app, KeyRole.TENANT, tenant=slug)


def test_a_tenant_sees_what_it_owes_used_paid_and_holds(scene: Scene) -> None:
    acme, _ = scene.invoiced("acme", "beta", hours=30)
    deposit = scene.deposit("acme")
    paid = scene.pay(acme, 20_000_000)
    scene.pay(deposit, 7_500_000)
    scene.mine(12)
    one = portal_of(scene, "acme")
    overview = one.text("/portal")
    assert acme.number in overview and f"/pay/{acme.pay_token}" in overview
    assert "40.00 USD" in overview and "7.50 USD" in overview, "what is left of the invoice, and the credit"
    usage = one.text("/portal/usage?month=2026-10")
    assert "30.0 h in 2026-10" in usage and "24.0 h" in usage and "lease-acme" in usage and "GPU-acme" in usage
    assert usage.count("<rect") == 31 and "style=" not in usage
    invoices = one.text("/portal/invoices")
    assert f"/pay/{acme.pay_token}/invoice.pdf" in invoices and f"/pay/{acme.pay_token}/document" in invoices
    payments = one.text("/portal/payments")
    assert paid in payments and "20.00 USDC" in payments and payments.index("top-up") < payments.index(paid)
    credit = one.text("/portal/credit")
    assert str(deposit.address).lower() in credit.lower() and "prepaid" in credit and "<svg" in credit
    assert one.get("/portal/deposit-document").content == deposit.content


def test_a_tenant_sees_nothing_of_another(scene: Scene) -> None:
    """Every page, with everything that another tenant has: none of its words are there."""
    acme, beta = scene.invoiced("acme", "beta")
    theirs = scene.deposit("beta")
    tx = scene.pay(beta, 20_000_000)
    scene.mine(12)
    plain = scene.app.registrar.create_key(name="betas own", role=KeyRole.TENANT, tenant="beta", actor="test")
    scene.app.doorkeeper.add_contact(beta.tenant_id, "Bob of Beta", "bob@beta.example", actor="test")
    secrets = ("beta", "Beta", beta.number, beta.pay_token, tx, str(theirs.address), plain[4:12], theirs.number)
    one = portal_of(scene, "acme")
    for path in PAGES:
        page = one.text(f"/portal{path}").lower()
        assert not [word for word in secrets if word.lower() in page], path
    assert acme.number in one.text("/portal/invoices")
    assert one.get("/portal/deposit-document").status_code == 404


def test_things_of_another_tenant_are_as_unknown_as_things_that_do_not_exist(scene: Scene) -> None:
    _, beta = scene.invoiced("acme", "beta")
    plain = scene.app.registrar.create_key(name="key", role=KeyRole.TENANT, tenant="beta", actor="test")
    scene.app.doorkeeper.add_contact(beta.tenant_id, "Bob", "bob@beta.example", actor="test")
    one = portal_of(scene, "acme")
    one.get("/portal/keys")
    tried = (
        ("POST", "/portal/keys/{}/revoke", plain[4:12], "00000000"),
        ("POST", "/portal/contacts/{}/remove", "1", "77"),
        ("GET", "/portal/usage?of={}", "beta", "nobody"),
    )
    for method, path, theirs, nobodys in tried:
        send = one.get if method == "GET" else one.post
        answers = [send(path.format(name)) for name in (theirs, nobodys)]
        assert [answer.status_code for answer in answers] == [404, 404], path
        told = [answer.text.partition('class="reason"')[2].partition("</p>")[0] for answer in answers]
        assert told[0].replace(theirs, "X") == told[1].replace(nobodys, "X")
    assert Client(one.api, plain).get("/api/v1/invoices").status_code == 200, "nothing was done"
    with scene.app.database.transaction() as session:
        assert [contact.name for contact in access.contacts(session, beta.tenant_id)] == ["Bob"]


@pytest.mark.parametrize("path", ["invoices", "payments", "credit", "usage"])
def test_a_cursor_of_another_list_is_refused_and_one_of_another_tenant_shows_only_ones_own(
    scene: Scene, path: str
) -> None:
    scene.invoiced("acme", "beta")
    one = portal_of(scene, "acme")
    assert one.get(f"/portal/{path}?cursor=eDo3").status_code == 400
    assert one.get(f"/portal/{path}?nonsense=1").status_code == 422
    assert one.get(f"/portal/{path}?limit=0").status_code == 422


def test_lists_are_paged_the_newest_first(scene: Scene) -> None:
    (acme,) = scene.invoiced("acme", hours=30)
    hashes = [scene.pay(acme, 1_000_000 + n) for n in range(5)]
    one = portal_of(scene, "acme")
    seen: list[str] = []
    path = "/portal/payments?limit=2"
    for _ in range(3):
        page = one.text(path)
        seen += sorted((tx for tx in hashes if tx in page), key=page.index)
        rest = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        path = f"/portal/payments{rest}"
    assert seen == hashes[::-1] and path == "/portal/payments"


def test_a_reseller_sees_its_customers_and_a_customer_sees_hours_and_no_money(scene: Scene) -> None:
    scene.invoiced("acme", "store", hours=30)
    scene.app.registrar.add(Tenant("end", "End User", Attribution.LEASE, reseller="store"), [], actor="test")
    scene.app.leaser.add("end", Span(at(40), at(52)), uuids=["GPU-store"], reference="lease-end", actor="test")
    with scene.app.database.transaction() as session:
        ids = {one.slug: one.id for one in tenants.listed(session)}
        session.execute(
            text(
                "INSERT INTO usage (tenant_id, lease_id, device_id, seat, during, basis, recorded_at)"
                " SELECT :end, l.id, d.id, d.seat, l.during, 'lease', now() FROM lease l JOIN gpu g ON g.id = l.gpu_id"
                " JOIN device d ON d.gpu_id = g.id WHERE l.reference = 'lease-end'"
            ),
            {"end": ids["end"]},
        )
    seller, end = portal_of(scene, "store"), portal_of(scene, "end")
    page = seller.text("/portal/usage?month=2026-10&of=end")
    assert "12.0 h in 2026-10" in page and "End User" in page
    assert "End User" in seller.text("/portal")
    assert end.get("/portal/usage?month=2026-10&of=store").status_code == 404
    assert "12.0 h in 2026-10" in end.text("/portal/usage?month=2026-10")
    for path in PAGES:
        shown = end.text(f"/portal{path}")
        assert "USD" not in shown and "INV-" not in shown and "GPU-acme" not in shown, path
        assert "/portal/usage?of=" not in shown


def test_hours_by_day_are_cut_at_midnight_and_add_up(scene: Scene) -> None:
    scene.meter("acme", hours=30)
    with scene.app.database.transaction() as session:
        tenant = tenants.by_slug(session, "acme").id
        days = portal.by_day(session, [tenant], Span(OCTOBER, at(24, day=31)))
        assert [seconds for _, seconds in days[:3]] == [86_400, 21_600, 0] and len(days) == 31
        (lease,) = portal.by_lease(session, tenant, Span(OCTOBER, at(24, day=31)), 10)
        assert lease["seconds"] == sum(seconds for _, seconds in days)
        (cut,) = portal.by_lease(session, tenant, Span(at(29), at(24, day=31)), 10)
        assert cut["seconds"] == 3600


def test_a_key_is_shown_once_works_and_is_revoked(scene: Scene) -> None:
    scene.invoiced("acme")
    one = portal_of(scene, "acme")
    one.get("/portal/keys")
    tokens = one.tokens
    made = one.post("/portal/keys", {"name": "report"})
    plain = made.text.partition('class="secret">')[2].partition("<")[0]
    assert plain.startswith("smk_") and Client(one.api, plain).json("/api/v1/invoices")["items"]
    again = one.post("/portal/keys", {**tokens, "name": "report"})
    assert again.status_code == 303 and plain not in one.text("/portal/keys"), "the same form makes no second key"
    with scene.app.database.transaction() as session:
        assert plain not in str(session.execute(text("SELECT * FROM idempotency_key")).all())
        assert len(tenants.keys(session)) == 1
    assert "never" not in one.text("/portal/keys")
    answer = one.post(f"/portal/keys/{plain[4:12]}/revoke")
    assert answer.status_code == 303 and "works no more" in one.text("/portal/keys")
    assert Client(one.api, plain).get("/api/v1/invoices").status_code == 401


def test_a_contact_may_sign_in_until_it_is_removed(scene: Scene) -> None:
    scene.invoiced("acme")
    one = portal_of(scene, "acme")
    one.get("/portal/contacts")
    assert one.post("/portal/contacts", {"name": "Bob", "email": "bob@acme.example"}).status_code == 303
    assert "bob@acme.example" in one.text("/portal/contacts")
    assert one.post("/portal/contacts", {"name": "Bob", "email": "BOB@acme.example"}).status_code == 409
    scene.app.doorkeeper.ask("bob@acme.example")
    link = scene.app.doorkeeper.link_for(1)
    assert link is not None
    bob = Browser(one.api)
    assert bob.enter(link).status_code == 303 and bob.get("/portal").status_code == 200
    one.get("/portal/contacts")
    assert one.post("/portal/contacts/1/remove").status_code == 303
    assert bob.get("/portal").headers["Location"] == "/login", "and is signed out at once"
    scene.app.clock.advance(timedelta(seconds=1))  # type: ignore[attr-defined]
    scene.app.doorkeeper.ask("bob@acme.example")
    with scene.app.database.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM login_ask")).scalar_one() == 1


@pytest.mark.parametrize(
    "fields", [{"name": "", "email": "a@b"}, {"name": "x" * 101, "email": "a@b"}, {"name": "x", "email": "x"}]
)
def test_what_is_wrong_with_a_form_is_said_and_nothing_is_done(scene: Scene, fields: dict[str, str]) -> None:
    scene.invoiced("acme")
    one = portal_of(scene, "acme")
    one.get("/portal/contacts")
    answer = one.post("/portal/contacts", fields)
    assert answer.status_code == 400 and "Nothing was changed" in answer.text
    assert one.post("/portal/contacts/9999999999999999999999/remove").status_code == 422


def test_a_new_tenant_without_prices_sees_its_pages(scene: Scene) -> None:
    scene.app.registrar.add(Tenant("fresh", "Fresh", Attribution.LEASE), [], actor="test")
    one = portal_of(scene, "fresh")
    for path in PAGES:
        assert one.get(f"/portal{path}").status_code == 200, path
