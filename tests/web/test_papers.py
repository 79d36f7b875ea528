"""Papers, taxes and credit notes over HTTP: who may have them, what they say, and that nothing is credited twice."""

import pytest

from billing.invoicing import document as documents
from billing.invoicing.document import CreditNoteDocument
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from tests.web.client import Client, client
from tests.web.scene import Scene


@pytest.fixture
def finance(scene: Scene) -> Client:
    return client(scene.app, KeyRole.FINANCE)


def test_an_invoice_is_taxed_credited_and_printed(scene: Scene, finance: Client) -> None:
    scene.meter("acme", "beta")
    tax = {"name": "GST", "rate": "0.10", "reason": "registered"}
    assert finance.post("/api/v1/tenants/acme/tax", tax).json()["tax"]["rate"] == "0.1"
    told = finance.post("/api/v1/tenants/acme/details", {"tax_id": "ABN 1", "purchase_order": "PO-1"})
    assert (told.json()["tax_id"], told.json()["address"]) == ("ABN 1", "")
    invoice = scene.issue()[0]
    shown = finance.json(f"/api/v1/invoices/{invoice.number}")
    assert (shown["total"], shown["tax"], shown["purchase_order"]) == ("22.00", "2.00", "PO-1")
    path, headers = f"/api/v1/invoices/{invoice.number}/credit-notes", {"Idempotency-Key": "k-1"}
    wish = {"line": 1, "amount": "5.00", "reason": "slow"}
    first = finance.post(path, wish, headers=headers)
    again = finance.post(path, wish, headers=headers)
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert (first.json()["total"], first.json()["tax"], first.json()["effect"]) == ("5.50", "0.50", "partial")
    shown = finance.json(f"/api/v1/invoices/{invoice.number}")
    assert (shown["amount_remaining"], shown["amount_noted"], shown["amount_paid"]) == ("16.50", "5.50", "0.00")
    assert [one["number"] for one in finance.json("/api/v1/credit-notes")["items"]] == ["INV-CN-000001"]
    parsed = documents.parse(finance.get("/api/v1/credit-notes/INV-CN-000001/document").content)
    assert isinstance(parsed, CreditNoteDocument) and parsed.total == "5.50"
    too_much = finance.post(path, {"amount": "15.01", "reason": "x"})
    assert too_much.status_code == 409 and "only 15.00 USD before tax can still be credited" in too_much.text
    for body in ({"reason": "x", "line": 0}, {"reason": "x", "amount": "-1"}, {"line": 1}, {"reason": "", "line": 1}):
        assert finance.post(path, body).status_code in (400, 422), body
    assert [str(one) for one in scene.app.auditor.run(chains=False).findings] == []


def test_papers_are_for_staff_and_their_own_tenant_alone(scene: Scene, finance: Client) -> None:
    scene.meter("acme", "beta")
    first, second = scene.issue()
    finance.post(f"/api/v1/invoices/{first.number}/credit-notes", {"line": 1, "amount": "1.00", "reason": "slow"})
    acme = client(scene.app, KeyRole.TENANT, first.tenant)
    beta = client(scene.app, KeyRole.TENANT, second.tenant)
    for path in (f"/api/v1/invoices/{first.number}.pdf", "/api/v1/credit-notes/INV-CN-000001.pdf"):
        printed = acme.get(path)
        assert printed.status_code == 200 and printed.content.startswith(b"%PDF")
        assert printed.headers["content-type"] == "application/pdf"
        assert finance.get(path, headers={"If-None-Match": printed.headers["etag"]}).status_code == 304
        assert beta.get(path).status_code == 404 and Client(acme.api).get(path).status_code == 401
    assert acme.json("/api/v1/credit-notes")["items"] and not beta.json("/api/v1/credit-notes")["items"]
    assert acme.post(f"/api/v1/invoices/{first.number}/credit-notes", {"line": 1, "reason": "x"}).status_code == 403


def test_the_pay_page_links_its_papers_and_asks_for_what_is_left(scene: Scene) -> None:
    scene.meter("acme", "beta")
    first, second = scene.issue()
    finance = client(scene.app, KeyRole.FINANCE)
    finance.post("/api/v1/tenants/acme/details", {"purchase_order": "PO <b>9"})
    finance.post(f"/api/v1/invoices/{first.number}/credit-notes", {"line": 1, "amount": "5.00", "reason": "slow <i>"})
    anybody = Client(create_app(scene.app))
    page = anybody.get(f"/pay/{first.pay_token}").text
    assert f"/pay/{first.pay_token}/invoice.pdf" in page and "slow &lt;i&gt;" in page and "15.00 USD" in page
    note = f"/pay/{first.pay_token}/credit-notes/INV-CN-000001"
    assert f"{note}.pdf" in page and "Asked for now" in page
    printed = anybody.get(f"/pay/{first.pay_token}/invoice.pdf")
    assert printed.content.startswith(b"%PDF") and "default-src 'none'" in printed.headers["content-security-policy"]
    assert anybody.get(f"{note}.pdf").content.startswith(b"%PDF") and anybody.get(note).json()["total"] == "5.00"
    for path in (f"/pay/{second.pay_token}/credit-notes/INV-CN-000001", "/pay/" + "x" * 43 + "/invoice.pdf"):
        assert anybody.get(path).status_code == 404
    finance.post(f"/api/v1/invoices/{first.number}/credit-notes", {"reason": "the rest", "amount": "15.00"})
    assert "Nothing to pay" in anybody.get(f"/pay/{first.pay_token}").text
