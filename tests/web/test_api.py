"""The API's answers: shapes, filters, pages, and what it refuses."""

from datetime import timedelta

import pytest

from billing.core.onchain import checksum
from billing.invoicing.verify import verify
from billing.tenants.keys import KeyRole
from billing.trail.store import about
from tests.factories import at
from tests.web.client import USDC, Client
from tests.web.scene import SENDER, Scene

OPERATOR = KeyRole.OPERATOR

INVOICE_KEYS = [
    "number", "tenant", "status", "currency", "total", "amount_paid", "amount_remaining", "overdue", "period", "issued_at",
    "due_at", "lines", "payment_options", "document_digest",
]  # fmt: skip
LINE_KEYS = ["description", "sku", "quantity_seconds", "unit_price", "amount", "coverage", "excluded_seconds"]
OPTION_KEYS = ["chain_id", "token", "token_address", "decimals", "amount_units", "address", "uri", "rate", "rate_until"]
PAYMENT_KEYS = [
    "id", "invoice", "tenant", "chain_id", "token", "token_address", "amount_units", "from_address", "to_address", "tx_hash",
    "log_index", "block_number", "block_hash", "mined_at", "status", "disposition", "incarnation", "reason",
]  # fmt: skip


@pytest.fixture
def operator(scene: Scene) -> Client:
    return scene.client(OPERATOR)


def test_an_invoice_has_the_documented_shape(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    one = operator.json(f"/api/v1/invoices/{invoice.number}")
    assert list(one)[: len(INVOICE_KEYS)] == INVOICE_KEYS
    assert list(one["lines"][0])[: len(LINE_KEYS)] == LINE_KEYS
    assert [list(option) for option in one["payment_options"]] == [OPTION_KEYS]
    assert (one["total"], one["amount_paid"], one["amount_remaining"]) == ("20.00", "0.00", "20.00")
    assert one["period"] == {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    assert one["lines"][0]["quantity_seconds"] == 36_000 and one["lines"][0]["coverage"] == "1.0000"
    assert one["document_digest"] == invoice.digest and one["overdue"] is False
    assert one["pay_url"] == f"http://127.0.0.1:8480/pay/{invoice.pay_token}"


def test_a_payment_option_is_complete_and_checksummed(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    assert invoice.address is not None
    (option,) = operator.json(f"/api/v1/invoices/{invoice.number}")["payment_options"]
    assert option["amount_units"] == "20000000"
    assert option["address"] == checksum(invoice.address)
    token, address = option["token_address"], option["address"]
    assert option["uri"] == f"ethereum:{token}@31337/transfer?address={address}&uint256=20000000"


def test_payment_options_ask_for_what_remains_and_end_with_it(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 5_000_001)
    scene.mine(3)
    one = operator.json(f"/api/v1/invoices/{invoice.number}")
    assert (one["amount_paid"], one["amount_remaining"]) == ("5.00", "15.00")
    assert one["payment_options"][0]["amount_units"] == "15000000"
    scene.pay(invoice, 15_000_000)
    scene.mine(3)
    one = operator.json(f"/api/v1/invoices/{invoice.number}")
    assert (one["status"], one["amount_remaining"], one["payment_options"]) == ("paid", "0.00", [])


def test_a_void_invoice_has_no_payment_options(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="wrong", actor="test")
    one = operator.json(f"/api/v1/invoices/{invoice.number}")
    assert (one["status"], one["amount_remaining"], one["payment_options"]) == ("void", "0.00", [])
    assert one["address"] is not None


def test_an_invoice_is_overdue_after_its_due_date(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.clock.advance(timedelta(days=15))
    assert operator.json(f"/api/v1/invoices/{invoice.number}")["overdue"] is True


def test_the_document_is_served_byte_for_byte_and_verifies(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    answer = operator.get(f"/api/v1/invoices/{invoice.number}/document")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["ETag"] == f'"{invoice.digest}"'
    with scene.app.database.transaction() as session:
        from billing.invoicing.store import document

        assert answer.content == document(session, invoice.id)
    assert scene.app.wallet is not None
    verdict = verify(answer.content, [scene.app.wallet.pin()], invoice.address)
    assert verdict.genuine, verdict.words
    again = operator.get(
        f"/api/v1/invoices/{invoice.number}/document", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_invoices_are_filtered_and_paged(scene: Scene, operator: Client) -> None:
    first, second, third = scene.invoiced("acme", "beta", "gamma")
    scene.pay(first, 20_000_000)
    scene.mine(3)

    def numbers(query: str) -> list[str]:
        return [one["number"] for one in operator.json(f"/api/v1/invoices?{query}")["items"]]

    assert numbers("status=paid") == [first.number]
    assert numbers("tenant=beta") == [second.number]
    assert numbers("period=2026-10&status=open") == [second.number, third.number]
    assert numbers("period=2026-09") == []
    seen, cursor = [], ""
    while True:
        page = operator.json(f"/api/v1/invoices?limit=2&cursor={cursor}")
        seen += [one["number"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [first.number, second.number, third.number]


def test_a_payment_has_the_documented_shape_and_its_allocation(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    tx_hash = scene.pay(invoice, 25_000_000)
    (seen,) = operator.json("/api/v1/payments")["items"]
    assert list(seen)[: len(PAYMENT_KEYS)] == PAYMENT_KEYS
    assert (seen["status"], seen["disposition"], seen["value"]) == ("seen", "unmatched", "")
    scene.mine(2)
    (paid,) = operator.json(f"/api/v1/payments?invoice={invoice.number}&tenant=acme")["items"]
    assert (paid["status"], paid["disposition"], paid["kind"]) == ("confirmed", "matched", "over")
    assert (paid["value"], paid["applied"], paid["credited"]) == ("25.00", "20.00", "5.00")
    assert (paid["tx_hash"], paid["token"], paid["amount_units"]) == (tx_hash, "USDC", "25000000")
    assert paid["from_address"] == checksum(SENDER) and paid["invoice"] == invoice.number
    scene.orphan()
    (gone,) = operator.json("/api/v1/payments")["items"]
    assert (gone["status"], gone["disposition"], gone["applied"]) == ("orphaned", "reversed", "0.00")


def test_exceptions_show_what_waits_for_a_person(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="wrong", actor="test")
    tx_hash = scene.pay(invoice, 20_000_000)
    scene.mine(3)
    (one,) = operator.json("/api/v1/exceptions")["items"]
    assert (one["kind"], one["invoice"], one["tenant"], one["tx_hash"]) == ("after_void", "INV-000001", "acme", tx_hash)
    assert (one["status"], one["resolved_at"]) == ("open", None)
    assert operator.json("/api/v1/exceptions?status=resolved")["items"] == []
    assert len(operator.json("/api/v1/exceptions?status=all")["items"]) == 1


def test_usage_says_where_the_hours_went(scene: Scene, operator: Client) -> None:
    scene.meter("acme", "beta")
    one = operator.json("/api/v1/usage?tenant=acme&from=2026-10-01T02:00:00Z&to=2026-10-01T05:00:00Z")
    assert one["totals"] == {
        "seconds": 10_800,
        "by_sku": [{"sku": "h100", "seconds": 10_800, "coverage": "1.0000", "bridged_seconds": 0, "excluded": []}],
    }
    (item,) = one["items"]
    assert (item["start"], item["end"]) == ("2026-10-01T02:00:00Z", "2026-10-01T05:00:00Z"), "clipped to what was asked"
    assert (item["gpu"], item["seconds"], item["basis"], item["lease"]) == ("GPU-acme", 10_800, "lease", "lease-acme")
    (device,) = operator.json("/api/v1/usage?tenant=acme&from=2026-10-01&to=2026-11-01&by=device")["items"]
    assert (device["gpu"], device["seconds"], device["start"]) == ("GPU-acme", 36_000, None)


def test_usage_adds_up_to_the_invoice_line(scene: Scene, operator: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    line = operator.json(f"/api/v1/invoices/{invoice.number}")["lines"][0]
    used = operator.json("/api/v1/usage?tenant=acme&from=2026-10-01&to=2026-11-01")["totals"]["by_sku"][0]
    assert (used["seconds"], used["coverage"]) == (line["quantity_seconds"], line["coverage"])


def test_usage_pages_carry_the_totals_once(scene: Scene, operator: Client) -> None:
    scene.meter("acme")
    operator.post("/api/v1/leases/lease-acme/end", {"at": "2026-10-01T05:00:00Z"})
    body = {"tenant": "acme", "start": "2026-10-01T06:00:00Z", "end": "2026-10-01T08:00:00Z", "uuids": ["GPU-acme"]}
    assert operator.post("/api/v1/leases", body).status_code == 201
    from tests.factories import ScriptedSource, collector

    collector(scene.app.database, scene.clock, ScriptedSource({}, interval=3600)).apply_changes()
    url = "/api/v1/usage?tenant=acme&from=2026-10-01&to=2026-11-01&limit=1"
    first = operator.json(url)
    second = operator.json(f"{url}&cursor={first['next_cursor']}")
    assert first["totals"]["seconds"] == 7 * 3600 and second["totals"] is None
    assert [one["seconds"] for page in (first, second) for one in page["items"]] == [5 * 3600, 2 * 3600]
    assert second["next_cursor"] is None


def test_a_tenant_is_added_listed_and_in_the_trail(scene: Scene, operator: Client) -> None:
    body = {
        "slug": "acme",
        "name": "Acme <b>&",
        "attribution": "observed",
        "legal_name": "Acme Pty Ltd",
        "country": "AU",
        "labels": ["team-a", "brisbane:team-b"],
        "terms_days": 30,
    }
    answer = operator.post("/api/v1/tenants", body)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/tenants/acme")
    one = operator.json("/api/v1/tenants/acme")
    assert answer.json() == one
    assert (one["labels"], one["terms_days"], one["reseller"]) == (["team-a", "brisbane:team-b"], 30, None)
    assert operator.json("/api/v1/tenants")["items"] == [one]
    with scene.app.database.transaction() as session:
        assert [deed.actor for deed in about(session, "tenant acme")] == [
            f"api:operator ({operator.key.split('_')[1]})"
        ]


def test_a_lease_is_added_listed_and_ended(scene: Scene, operator: Client) -> None:
    scene.meter("acme")
    body = {"tenant": "acme", "start": "2026-11-02T00:00:00+10:00", "uuids": ["GPU-acme"], "reference": "contract-7"}
    answer = operator.post("/api/v1/leases", body)
    assert answer.status_code == 201, answer.text
    one = answer.json()
    assert (one["start"], one["end"], one["reference"]) == ("2026-11-01T14:00:00Z", None, "contract-7")
    assert [gpu["uuid"] for gpu in one["gpus"]] == ["GPU-acme"]
    assert operator.json("/api/v1/leases?tenant=acme")["items"][-1] == one
    ended = operator.post("/api/v1/leases/contract-7/end", {"at": "2026-12-01", "reason": "moved out"})
    assert (ended.status_code, ended.json()["end"]) == (200, "2026-12-01T00:00:00Z")
    assert operator.post("/api/v1/leases/contract-7/end", {"at": "2026-12-02"}).status_code == 409
    assert operator.post("/api/v1/leases/nothing/end", {"at": "2026-12-02"}).status_code == 404


def test_a_gpu_is_not_let_twice(scene: Scene, operator: Client) -> None:
    scene.meter("acme", "beta")
    body = {"tenant": "beta", "start": "2026-10-01T01:00:00Z", "uuids": ["GPU-acme"]}
    answer = operator.post("/api/v1/leases", body)
    assert answer.status_code == 409 and "is let to acme" in answer.json()["detail"]


def test_devices_are_filtered(scene: Scene, operator: Client) -> None:
    scene.meter("acme", "beta")
    found = operator.json("/api/v1/devices?host=n1&source=script")["items"]
    assert {one["uuid"] for one in found} == {"GPU-acme", "GPU-beta"} and found[0]["retired_at"] is None
    assert operator.json("/api/v1/devices?host=elsewhere")["items"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/invoices?period=2026-13", 400),
        ("/api/v1/invoices?period=October", 400),
        ("/api/v1/invoices?cursor=nonsense", 400),
        ("/api/v1/invoices?cursor=%C3%BC", 400),
        ("/api/v1/invoices?cursor=dGVuYW50czox", 400),  # tenants:1
        ("/api/v1/invoices?status=settled", 422),
        ("/api/v1/invoices?limit=0", 422),
        ("/api/v1/invoices?limit=201", 422),
        ("/api/v1/invoices?limit=1e3", 422),
        ("/api/v1/invoices?staus=paid", 422),
        ("/api/v1/invoices?tenant=nobody", 404),
        ("/api/v1/invoices?tenant=%27%3B--", 422),
        ("/api/v1/invoices/INV-999999", 404),
        ("/api/v1/invoices/%ff%fe", 404),
        ("/api/v1/invoices/INV-999999/document", 404),
        ("/api/v1/invoices/INV%00", 400),
        ("/api/v1/invoices?tenant=a%00b", 400),
        ("/api/v1/tenants/nobody", 404),
        ("/api/v1/payments?invoice=INV-999999", 404),
        ("/api/v1/payments?invoice=", 422),
        ("/api/v1/exceptions?status=lost", 422),
        ("/api/v1/usage", 422),
        ("/api/v1/usage?from=2026-10-01&to=2026-11-01", 400),
        ("/api/v1/usage?tenant=nobody&from=2026-10-01&to=2026-11-01", 404),
        ("/api/v1/usage?tenant=acme&from=2026-11-01&to=2026-10-01", 400),
        ("/api/v1/usage?tenant=acme&from=2026-10-01&to=2026-10-01", 400),
        ("/api/v1/usage?tenant=acme&from=2024-10-01&to=2026-10-01", 400),
        ("/api/v1/usage?tenant=acme&from=yesterday&to=2026-10-01", 422),
        ("/api/v1/usage?tenant=acme&from=0001-01-01T00:00:00%2B14:00&to=2026-10-01", 422),
        ("/api/v1/usage?tenant=acme&from=2026-10-01T00:00:00&to=2026-10-02", 422),
        ("/api/v1/usage?tenant=acme&from=2026-10-01T00:00:00.5Z&to=2026-10-02", 422),
        ("/api/v1/devices?host=", 422),
    ],
)
def test_bad_questions_are_refused_as_problems(operator: Client, path: str, status: int) -> None:
    answer = operator.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status and "Traceback" not in answer.text


TENANT = {"slug": "acme", "name": "Acme", "attribution": "lease"}
LEASE = {"tenant": "acme", "start": "2026-10-01", "uuids": ["GPU-1"]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/tenants", {**TENANT, "slug": "Acme!"}, 422),
        ("/api/v1/tenants", {**TENANT, "slug": "acme-"}, 400),
        ("/api/v1/tenants", {**TENANT, "name": ""}, 422),
        ("/api/v1/tenants", {**TENANT, "name": "a\x00b"}, 422),
        ("/api/v1/tenants", {**TENANT, "legal_name": "a\x00b"}, 422),
        ("/api/v1/tenants", {**TENANT, "legal_name": "x" * 201}, 422),
        ("/api/v1/tenants", {**TENANT, "labels": ["a\x00b"]}, 422),
        ("/api/v1/tenants", {**TENANT, "labels": "acme"}, 422),
        ("/api/v1/tenants", {**TENANT, "labels": ["x"] * 101}, 422),
        ("/api/v1/tenants", {**TENANT, "labels": ["source:"]}, 400),
        ("/api/v1/tenants", {**TENANT, "country": "Australia"}, 422),
        ("/api/v1/tenants", {**TENANT, "email": "nobody"}, 400),
        ("/api/v1/tenants", {**TENANT, "terms_days": -1}, 422),
        ("/api/v1/tenants", {**TENANT, "tolerance_units": 1.5}, 422),
        ("/api/v1/tenants", {**TENANT, "tolerance_units": "-1"}, 422),
        ("/api/v1/tenants", {**TENANT, "attribution": "guessed"}, 422),
        ("/api/v1/tenants", {**TENANT, "reseller": "nobody"}, 404),
        ("/api/v1/tenants", {**TENANT, "colour": "red"}, 422),
        ("/api/v1/tenants", [], 422),
        ("/api/v1/tenants", None, 422),
        ("/api/v1/leases", {**LEASE, "tenant": "nobody"}, 404),
        ("/api/v1/leases", {"tenant": "acme", "start": "2026-10-01"}, 400),
        ("/api/v1/leases", {**LEASE, "start": "9999-12-31T23:59:59Z"}, 422),
        ("/api/v1/leases", {**LEASE, "end": "2026-09-01"}, 400),
        ("/api/v1/leases", {**LEASE, "start": 1}, 422),
        ("/api/v1/leases", {**LEASE, "reference": "a/b"}, 422),
        ("/api/v1/leases", {**LEASE, "hosts": ["a\x00"]}, 422),
        ("/api/v1/leases/x/end", {"at": "soon"}, 422),
        ("/api/v1/leases/x/end", {}, 422),
    ],
)
def test_bad_bodies_are_refused_as_problems(operator: Client, path: str, body: object, status: int) -> None:
    answer = operator.post(path, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "a\x00b" not in answer.text and "\\u0000" not in answer.text, "what was sent is not sent back"


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b'{"slug": ' + b"9" * 5000 + b"}", b'{"name": "\\ud800"}'],
)
def test_broken_json_is_no_bug(operator: Client, content: bytes) -> None:
    answer = operator.ask("POST", "/api/v1/tenants", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_second_tenant_of_the_name_is_a_conflict(operator: Client) -> None:
    assert operator.post("/api/v1/tenants", TENANT).status_code == 201
    answer = operator.post("/api/v1/tenants", TENANT)
    assert answer.status_code == 409 and answer.json()["detail"] == "tenant acme exists already"


def test_every_list_is_paged_by_cursors(scene: Scene, operator: Client) -> None:
    first, second = scene.invoiced("acme", "beta")
    for invoice in (first, second):
        scene.pay(invoice, 1_000_000, token=USDC)
    for name in ("tenants", "leases", "devices", "invoices", "payments"):
        whole = operator.json(f"/api/v1/{name}")
        one = operator.json(f"/api/v1/{name}?limit=1")
        two = operator.json(f"/api/v1/{name}?limit=1&cursor={one['next_cursor']}")
        assert one["items"] + two["items"] == whole["items"], name
        assert len(whole["items"]) == 2 and two["next_cursor"] is None


def test_a_gap_policy_holds_from_where_the_tenant_was_not_invoiced(scene: Scene, operator: Client) -> None:
    scene.invoiced("acme")
    before = operator.json("/api/v1/tenants/acme")
    assert (before["gap_policy"], before["gap_limit_seconds"]) == ("exclude", 0)
    path = "/api/v1/tenants/acme/gap-policy"
    body = {"gap_policy": "bridge", "gap_limit_seconds": 600}
    refused = operator.post(path, {**body, "from": "2026-10-05"})
    assert refused.status_code == 409 and "acme was invoiced until 2026-11-01T00:00:00Z" in refused.json()["detail"]
    assert operator.post(path, {"gap_policy": "bridge"}).status_code == 400
    scene.clock.move_to(at(5, day=31) + timedelta(days=1))
    after = operator.post(path, {**body, "reason": "contract of June"}).json()
    assert (after["gap_policy"], after["gap_limit_seconds"]) == ("bridge", 600)
    with scene.app.database.transaction() as session:
        assert [deed.reason for deed in about(session, "tenant acme")][-1] == "contract of June"
