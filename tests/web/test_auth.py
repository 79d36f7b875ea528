"""Who may call what. The matrix is checked for every route that the application has, so that a new one needs a rule."""

from collections import defaultdict
from http import HTTPStatus
from typing import Any, Final

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text

from billing.access.login import WITH_PAGES
from billing.bootstrap import App
from billing.core.onchain import Address
from billing.core.period import month
from billing.invoicing.goodwill import Wish
from billing.invoicing.invoice import Invoice
from billing.owners.share import Owner
from billing.tenants.keys import KeyRole
from billing.web.app import create_app, require_rules
from billing.web.auth import rule_of
from tests.web.browser import Browser, browser
from tests.web.client import Client, client
from tests.web.scene import Scene
from tests.world import BOOK

O, F, A, T = KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR, KeyRole.TENANT  # noqa: E741
STAFF: Final = {O, F, A}
EVERYBODY: Final = {O, F, A, T}

RULES: Final = {
    ("GET", "/api/v1/tenants"): STAFF,
    ("GET", "/api/v1/tenants/{slug}"): STAFF,
    ("GET", "/api/v1/tenants/{slug}/standing"): EVERYBODY,
    ("POST", "/api/v1/tenants"): {O},
    ("POST", "/api/v1/tenants/{slug}/gap-policy"): {O},
    ("GET", "/api/v1/tenants/{slug}/cycle"): STAFF,
    ("POST", "/api/v1/tenants/{slug}/cycle"): {O},
    ("GET", "/api/v1/tenants/{slug}/deposit-address"): EVERYBODY,
    ("GET", "/api/v1/tenants/{slug}/deposit-address/document"): EVERYBODY,
    ("POST", "/api/v1/tenants/{slug}/deposit-address"): {O, F},
    ("GET", "/api/v1/tenants/{slug}/credit"): EVERYBODY,
    ("POST", "/api/v1/tenants/{slug}/credit"): {F},
    ("GET", "/api/v1/tenants/{slug}/runway"): EVERYBODY,
    ("POST", "/api/v1/tenants/{slug}/prepaid"): {O, F},
    ("POST", "/api/v1/tenants/{slug}/tax"): {F},
    ("POST", "/api/v1/tenants/{slug}/details"): {F},
    ("GET", "/api/v1/exclusions"): STAFF,
    ("POST", "/api/v1/exclusions/{exclusion}/accept"): {F},
    ("POST", "/api/v1/exclusions/{exclusion}/reject"): {F},
    ("GET", "/api/v1/maintenance"): STAFF,
    ("POST", "/api/v1/maintenance"): {O},
    ("POST", "/api/v1/maintenance/{reference}/end"): {O},
    ("GET", "/api/v1/leases"): EVERYBODY,
    ("POST", "/api/v1/leases"): {O},
    ("POST", "/api/v1/leases/{reference}/end"): {O},
    ("GET", "/api/v1/devices"): STAFF,
    ("GET", "/api/v1/conservation"): STAFF,
    ("GET", "/api/v1/usage"): EVERYBODY,
    ("POST", "/api/v1/events"): {O, KeyRole.GATEWAY},
    ("GET", "/api/v1/invoices"): EVERYBODY,
    ("GET", "/api/v1/invoices/{number}"): EVERYBODY,
    ("GET", "/api/v1/invoices/{number}/document"): EVERYBODY,
    ("GET", "/api/v1/invoices/{number}.pdf"): EVERYBODY,
    ("POST", "/api/v1/invoices/{number}/credit-notes"): {F},
    ("GET", "/api/v1/credit-notes"): EVERYBODY,
    ("GET", "/api/v1/credit-notes/{number}"): EVERYBODY,
    ("GET", "/api/v1/credit-notes/{number}.pdf"): EVERYBODY,
    ("GET", "/api/v1/credit-notes/{number}/document"): EVERYBODY,
    ("GET", "/api/v1/payments"): EVERYBODY,
    ("GET", "/api/v1/exceptions"): STAFF,
    ("GET", "/api/v1/reports/{report}"): STAFF,
    ("GET", "/api/v1/reports/statement"): EVERYBODY,
    ("GET", "/api/v1/closes"): STAFF,
    ("GET", "/api/v1/closes/{period}"): STAFF,
    ("GET", "/api/v1/closes/{period}/files/{name}"): STAFF,
    ("POST", "/api/v1/closes"): {F},
    ("GET", "/api/v1/owners"): STAFF,
    ("GET", "/api/v1/owners/{slug}/statement"): {*STAFF, KeyRole.OWNER},
    ("GET", "/api/v1/keys"): {O, A, T},
    ("POST", "/api/v1/keys"): {O},
    ("POST", "/api/v1/keys/{prefix}/revoke"): {O, T},
    ("GET", "/api/v1/owners/{slug}/payees"): STAFF,
    ("POST", "/api/v1/owners/{slug}/payees"): {F},
    ("POST", "/api/v1/owners/{slug}/confirm-payee"): {F},
    ("GET", "/api/v1/compliance/tenants/{slug}"): STAFF,
    ("POST", "/api/v1/compliance/tenants/{slug}/kyc"): {O, F},
    ("POST", "/api/v1/compliance/tenants/{slug}/attestations"): {O, F},
    ("POST", "/api/v1/compliance/tenants/{slug}/attestations/revoke"): {O, F},
    ("GET", "/api/v1/exceptions/{exception}"): STAFF,
    ("POST", "/api/v1/exceptions/{exception}/resolve"): {O, F},
    ("GET", "/api/v1/payees"): STAFF,
    ("POST", "/api/v1/payees"): {O, F},
    ("POST", "/api/v1/payees/{payee}/confirm"): {O, F},
    ("POST", "/api/v1/payees/{payee}/revoke"): {O, F},
    ("GET", "/api/v1/refunds"): STAFF,
    ("POST", "/api/v1/refunds"): {O, F},
    ("POST", "/api/v1/refunds/{refund}/paid"): {O, F},
    ("POST", "/api/v1/invoices/{number}/write-off"): {F},
    ("GET", "/api/v1/owners/{slug}/statement.{format}"): {*STAFF, KeyRole.OWNER},
    ("POST", "/api/v1/owners"): {O},
    ("GET", "/api/v1/owners/{slug}/shares"): STAFF,
    ("POST", "/api/v1/owners/{slug}/shares"): {O},
    ("POST", "/api/v1/owners/{slug}/paid"): {F},
    ("POST", "/api/v1/owners/{slug}/shares/{share}/end"): {O},
    ("GET", "/api/v1/owners/{slug}/fees"): STAFF,
    ("POST", "/api/v1/owners/{slug}/fees"): {F},
    ("GET", "/api/v1/prices"): STAFF,
    ("GET", "/api/v1/agreements"): STAFF,
    ("GET", "/api/v1/price-books"): STAFF,
    ("GET", "/api/v1/price-books/{book}"): STAFF,
    ("POST", "/api/v1/price-books/check"): {O, F},
    ("POST", "/api/v1/price-books"): {F},
    ("GET", "/api/v1/ledger/trial-balance"): STAFF,
    ("GET", "/api/v1/reconciliation"): STAFF,
    ("GET", "/api/v1/audit"): STAFF,
    ("POST", "/api/v1/audit"): {O, F},
    ("GET", "/api/v1/chains"): STAFF,
    ("POST", "/api/v1/chains/{chain_id}/resume"): {O},
    ("GET", "/api/v1/quotes"): STAFF,
    ("GET", "/api/v1/wallet"): STAFF,
    ("GET", "/api/v1/trail"): STAFF,
    ("GET", "/api/v1/drafts"): STAFF,
    ("POST", "/api/v1/invoices"): {F},
    ("GET", "/api/v1/compliance/lists"): STAFF,
    ("GET", "/api/v1/sources"): STAFF,
    ("GET", "/api/v1/coverage"): STAFF,
    ("GET", "/api/v1/meters"): STAFF,
    ("GET", "/api/v1/jobs"): STAFF,
    ("GET", "/api/v1/webhooks"): STAFF,
    ("GET", "/api/v1/deliveries"): STAFF,
    ("POST", "/api/v1/notices/{notice}/replay"): {O, F},
    ("POST", "/api/v1/deliveries/replay-dead"): {O, F},
    ("GET", "/api/v1/plans/sweep/{chain_id}"): STAFF,
    ("GET", "/api/v1/plans/sweep/{chain_id}/safe"): STAFF,
    ("GET", "/api/v1/plans/refunds/{chain_id}"): STAFF,
    ("GET", "/api/v1/plans/refunds/{chain_id}/safe"): STAFF,
    ("GET", "/api/v1/plans/payouts/{chain_id}"): STAFF,
    ("GET", "/api/v1/plans/payouts/{chain_id}/safe"): STAFF,
}
REFUSED: Final = {
    ("GET", "/api/v1/plans/sweep/{chain_id}"): 503,
    ("GET", "/api/v1/plans/sweep/{chain_id}/safe"): 503,
    ("GET", "/api/v1/plans/refunds/{chain_id}/safe"): 409,
    ("GET", "/api/v1/plans/payouts/{chain_id}/safe"): 409,
    ("POST", "/api/v1/refunds"): 409,
    ("POST", "/api/v1/invoices"): 409,
    ("POST", "/api/v1/chains/{chain_id}/resume"): 409,
    ("POST", "/api/v1/refunds/{refund}/paid"): 404,
    ("POST", "/api/v1/owners/{slug}/paid"): 404,
    ("POST", "/api/v1/notices/{notice}/replay"): 404,
    ("POST", "/api/v1/deliveries/replay-dead"): 404,
}
"""What who may ask is told here, where there is no node and nothing to pay."""
PUBLIC: Final = {
    "/healthz", "/readyz", "/metrics", "/api/docs", "/api/openapi.json", "/static/{name}",
    "/pay/{token}", "/pay/{token}/status", "/pay/{token}/events", "/pay/{token}/document", "/pay/{token}/invoice.pdf",
    "/pay/{token}/credit-notes/{number}", "/pay/{token}/credit-notes/{number}.pdf",
}  # fmt: skip
DOOR: Final = {
    ("GET", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/{token}"),
    ("POST", "/login/{token}"),
}
SOME: Final[dict[tuple[str, str], set[KeyRole]]] = {
    ("GET", "/home"): {*EVERYBODY, KeyRole.OWNER},
    ("POST", "/logout"): {*EVERYBODY, KeyRole.OWNER},
    ("GET", "/portal"): {T},
    ("GET", "/portal/usage"): {T},
    ("GET", "/portal/invoices"): {T},
    ("GET", "/portal/payments"): {T},
    ("GET", "/portal/credit"): {T},
    ("GET", "/portal/deposit-document"): {T},
    ("GET", "/portal/keys"): {T},
    ("POST", "/portal/keys"): {T},
    ("POST", "/portal/keys/{prefix}/revoke"): {T},
    ("GET", "/portal/contacts"): {T},
    ("POST", "/portal/contacts"): {T},
    ("POST", "/portal/contacts/{contact}/remove"): {T},
    ("GET", "/owner"): {KeyRole.OWNER},
    ("GET", "/owner/statements"): {KeyRole.OWNER},
    ("GET", "/owner/statement-file"): {KeyRole.OWNER},
    ("GET", "/owner/payouts"): {KeyRole.OWNER},
    ("POST", "/finance/invoices/{number}/void"): {F},
    ("POST", "/finance/invoices/{number}/write-off"): {F},
    ("POST", "/finance/invoices/{number}/credit"): {F},
    ("POST", "/finance/exceptions/{number}/resolve"): {O, F},
    ("POST", "/finance/close"): {F},
    ("POST", "/operations/exclusions/{exclusion}"): {F},
    ("POST", "/operations/chains/{chain}/ask"): {O},
    ("GET", "/operations/leases/new"): {O},
    ("POST", "/operations/leases/new"): {O},
    ("POST", "/operations/leases/{lease}/end"): {O},
    ("GET", "/operations/prices/check"): {O, F},
    ("POST", "/operations/prices/check"): {O, F},
}
"""Pages that some may open, and who may do what there."""
READ: Final = (
    "/finance", "/finance/payments", "/finance/payments/{number}", "/finance/invoices", "/finance/invoices/{number}",
    "/finance/invoices/{number}/pdf", "/finance/invoices/{number}/document", "/finance/invoices/{number}/lines/{position}",
    "/finance/credit-notes/{number}/pdf", "/finance/exceptions", "/finance/exceptions/{number}", "/finance/close",
    "/finance/close/{period}", "/finance/close/{period}/files/{name}", "/finance/books", "/finance/journal/{day}",
    "/finance/entries/{number}", "/finance/accounts/{account}", "/finance/reports", "/finance/reports/files/{report}",
    "/finance/reports/statement", "/finance/reports/statement/file", "/finance/reports/owners", "/operations",
    "/operations/fleet", "/operations/fleet/gpus/{gpu}", "/operations/coverage", "/operations/exclusions",
    "/operations/exclusions/{exclusion}", "/operations/chains", "/operations/jobs", "/operations/leases",
    "/operations/leases/{lease}", "/operations/prices", "/operations/prices/diff", "/operations/prices/books/{book}",
    "/operations/audit",
)  # fmt: skip
"""Pages that all of the staff may read."""
PAGES: Final = {**SOME, **{("GET", path): STAFF for path in READ}}
"""Who may open which page behind sign-in."""
ELSEWHERE: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
"""What a desk may answer to whoever may ask: this world has nothing under most of their paths. What they show is tested with them."""

BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/api/v1/owners/{slug}/payees"): {"chain_id": 31337, "address": "0x" + "13" * 20, "reason": "moved"},
    ("POST", "/api/v1/owners/{slug}/confirm-payee"): {"chain_id": 31337, "address": "0x" + "12" * 20, "reason": "told"},
    ("POST", "/api/v1/tenants"): {"slug": "fresh", "name": "Fresh", "attribution": "lease"},
    ("POST", "/api/v1/tenants/{slug}/gap-policy"): {"gap_policy": "bridge", "gap_limit_seconds": 600},
    ("POST", "/api/v1/tenants/{slug}/cycle"): {"every": "week"},
    ("POST", "/api/v1/tenants/{slug}/deposit-address"): {"renew": False},
    ("POST", "/api/v1/tenants/{slug}/credit"): {"amount": "1.00", "reason": "welcome"},
    ("POST", "/api/v1/tenants/{slug}/prepaid"): {"prepaid": False, "reason": "trusted"},
    ("POST", "/api/v1/tenants/{slug}/tax"): {"name": "GST", "rate": "0.1"},
    ("POST", "/api/v1/tenants/{slug}/details"): {"purchase_order": "PO-1"},
    ("POST", "/api/v1/invoices/{number}/credit-notes"): {"line": 1, "amount": "0.01", "reason": "slow"},
    ("POST", "/api/v1/exclusions/{exclusion}/accept"): {"reason": "seen by us"},
    ("POST", "/api/v1/exclusions/{exclusion}/reject"): {"reason": "seen by us"},
    ("POST", "/api/v1/maintenance"): {
        "start": "2026-11-01",
        "end": "2026-11-02",
        "reason": "fans",
        "reference": "fans",
        "uuids": ["GPU-acme"],
    },
    ("POST", "/api/v1/maintenance/{reference}/end"): {"reason": "done"},
    ("POST", "/api/v1/leases"): {"tenant": "acme", "start": "2026-11-01", "uuids": ["GPU-acme"]},
    ("POST", "/api/v1/leases/{reference}/end"): {"at": "2026-10-01T02:00:00Z"},
    ("POST", "/api/v1/closes"): {"period": "2026-12"},
    ("POST", "/api/v1/compliance/tenants/{slug}/kyc"): {"status": "verified", "reason": "passport seen"},
    ("POST", "/api/v1/compliance/tenants/{slug}/attestations"): {
        "kind": "end-use",
        "granted_on": "2026-10-01",
        "expires_on": "2027-10-01",
        "reference": "letter of KEY",
    },
    ("POST", "/api/v1/compliance/tenants/{slug}/attestations/revoke"): {
        "kind": "end-use",
        "reference": "letter of KEY",
        "reason": "withdrawn",
    },
    ("POST", "/api/v1/exceptions/{exception}/resolve"): {"as": "acknowledge", "reason": "seen by us"},
    ("POST", "/api/v1/payees"): {
        "tenant": "acme",
        "chain_id": 31337,
        "address": "0x" + "5e" * 20,
        "reason": "by phone",
    },
    ("POST", "/api/v1/payees/{payee}/confirm"): {"reason": "called back"},
    ("POST", "/api/v1/payees/{payee}/revoke"): {"reason": "moved"},
    ("POST", "/api/v1/keys"): {"name": "new", "role": "tenant", "tenant": "acme"},
    ("POST", "/api/v1/keys/{prefix}/revoke"): {},
    ("POST", "/api/v1/refunds"): {"tenant": "acme", "amount": "999.00", "reason": "they leave"},
    ("POST", "/api/v1/refunds/{refund}/paid"): {"tx_hash": "0x" + "12" * 32},
    ("POST", "/api/v1/invoices/{number}/write-off"): {"reason": "insolvent"},
    ("POST", "/api/v1/owners"): {"slug": "south", "name": "South"},
    ("POST", "/api/v1/chains/{chain_id}/resume"): {"reason": "the endpoint was on a fork"},
    ("POST", "/api/v1/invoices"): {"period": "2026-10"},
    ("POST", "/api/v1/owners/{slug}/shares"): {"share": "1/3", "from": "2026-10-01", "gpus": ["GPU-acme"]},
    ("POST", "/api/v1/owners/{slug}/shares/{share}/end"): {"at": "2026-10-20", "reason": "sold"},
    ("POST", "/api/v1/owners/{slug}/fees"): {"basis_points": 250, "from": "2026-10-01", "reason": "contract"},
    ("POST", "/api/v1/owners/{slug}/paid"): {"tx_hash": "0x" + "12" * 32, "reason": "October"},
    ("POST", "/api/v1/price-books/check"): {"content": BOOK},
    ("POST", "/api/v1/price-books"): {"content": BOOK},
    ("POST", "/api/v1/audit"): {"chains": False},
    ("POST", "/api/v1/notices/{notice}/replay"): {},
    ("POST", "/api/v1/deliveries/replay-dead"): {},
    ("POST", "/api/v1/events"): {"specversion": "1.0", "id": "1", "source": "test", "type": "t", "subject": "acme"},
}
QUERIES: Final = {
    "/api/v1/owners/{slug}/statement": "?period=2026-10",
    "/owner/statement-file": "?month=2026-10",
    "/api/v1/owners/{slug}/statement.{format}": "?period=2026-10",
    "/api/v1/reconciliation": "?period=2026-10",
    "/api/v1/drafts": "?period=2026-10",
    "/api/v1/plans/payouts/{chain_id}": "?token=USDC",
    "/api/v1/plans/payouts/{chain_id}/safe": "?token=USDC",
    "/api/v1/usage": "?tenant=acme&from=2026-10-01&to=2026-11-01",
    "/api/v1/conservation": "?from=2026-10-01&to=2026-11-01",
    "/api/v1/reports/statement": "?tenant=acme&period=2026-10",
    "/api/v1/reports/{report}": "?period=2026-10",
}


def routes(api: FastAPI) -> set[tuple[str, str]]:
    return {(method, r.path) for r in api.routes if isinstance(r, APIRoute) for method in r.methods or ()}


def test_every_route_of_the_application_is_in_the_matrix_or_public(app: App) -> None:
    found = routes(create_app(app))
    assert {one for one in found if one[1] not in PUBLIC} == set(RULES) | set(PAGES) | DOOR
    assert {path for _, path in found} - {path for _, path in {*RULES, *PAGES, *DOOR}} == PUBLIC
    assert {method for method, path in found if path in PUBLIC} == {"GET", "HEAD"}, "nothing public changes anything"


def test_an_api_route_without_a_rule_is_not_served() -> None:
    router = APIRouter()

    @router.get("/api/v1/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(AssertionError, match="/api/v1/forgotten has no rule"):
        require_rules(FastAPI(routes=list(router.routes)))


def test_the_rule_that_a_route_names_is_the_one_of_the_matrix(app: App) -> None:
    for route in create_app(app).routes:
        key = (min(getattr(route, "methods", None) or ("",)), getattr(route, "path", ""))
        if isinstance(route, APIRoute) and key in {**RULES, **PAGES}:
            rule = rule_of(route)
            assert rule is not None and rule.roles == {**RULES, **PAGES}[key]


NOTE: Final = "INV-CN-000001"


SPARE: Final = [""]
"""The prefix of a key of acme's that nobody uses: for those who may revoke one."""


def places(path: str, number: str, row: int = 1) -> dict[str, Any]:
    """What stands in a path. `row` is what this caller decides about, where a decision is made once."""
    return {
        "slug": "acme",
        "reference": "fans" if "maintenance" in path else "lease-acme",
        "number": NOTE if path.startswith("/api/v1/credit-notes/") else number,
        "exclusion": 1 if "accept" in path else 2,
        "exception": row,
        "payee": row,
        "report": "journal",
        "period": "2026-11",
        "name": "journal.csv",
        "prefix": SPARE[0],
        "contact": 1,
        "format": "csv",
        "book": 1,
        "chain_id": 31337,
        "refund": 1,
        "share": 1,
        "notice": 10**9,
    }


def asked(one: Client, method: str, path: str, number: str, row: int = 1) -> httpx.Response:
    url = path.format(**places(path, number, row)) + (QUERIES.get(path, "") if method == "GET" else "")
    known = BODIES.get((method, path))
    body = {**(known or {})}
    if body.get("reference") == "letter of KEY":  # each caller has a paper of its own
        body["reference"] = one.key[4:12] or "letter"
    if path == "/api/v1/payees" and body:
        body["address"] = f"0x{row}" + "b" * 39
    return one.ask(method, url, json=body) if known is not None else one.ask(method, url)


def called(one: Client, method: str, path: str, number: str, row: int = 1) -> int:
    return asked(one, method, path, number, row).status_code


def prepared(scene: Scene) -> Invoice:
    """A world in which every route has something to answer, and an invoice of it."""
    (invoice,) = scene.invoiced("acme")
    scene.deposit("acme")
    scene.app.owner_registrar.add(Owner("acme", "Acme"), actor="test")
    scene.app.payer.propose("acme", 31337, Address("0x" + "12" * 20), reason="told", actor="test")
    assert scene.app.noter.credit(invoice.number, Wish(1, 1), reason="slow", actor="test") == NOTE
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO exclusion (gpu_id, during, reason, evidence, state, recorded_at)"
                " SELECT id, tstzrange('2026-10-01', '2026-10-02'), 'missing', 'source:s', 'proposed', now()"
                " FROM gpu CROSS JOIN generate_series(1, 2);"
                "INSERT INTO exception (kind, subject, detail, suggestion, status, resolution, reason, resolved_by, created_at)"
                " SELECT 'native_coin', 'coin ' || n, 'coin', '', 'open', '', '', '', now() FROM generate_series(1, 2) n;"
                "INSERT INTO payee (tenant_id, chain_id, address, reason, proposed_by, proposed_at)"
                " SELECT 1, n, '0x' || repeat('a', 39) || n, 'by phone', 'cli:ann', now() FROM generate_series(1, 2) n"
            )
        )
    scene.over(month(2026, 12))
    scene.app.closer.close(month(2026, 11), actor="test")
    SPARE[0] = scene.app.registrar.create_key(name="spare", role=T, tenant="acme", actor="test")[4:12]
    scene.app.auditor.run(chains=False)
    return invoice


def test_every_role_on_every_route(scene: Scene) -> None:
    """What is allowed works, what is not is 403, and without a key it is 401. Writes come last: they change the scene."""
    invoice = prepared(scene)
    callers = {
        role: scene.client(role, "acme" if role is T else "", "acme" if role is KeyRole.OWNER else "")
        for role in KeyRole
    }
    nobody = Client(create_app(scene.app))
    for (method, path), allowed in sorted(RULES.items()):
        assert called(nobody, method, path, invoice.number) == 401, path
        for role, caller in callers.items():
            status = called(caller, method, path, invoice.number, 2 if role is F else 1)
            if role in allowed:
                assert status in (200, 201, 204, REFUSED.get((method, path))), (role, method, path, status)
            else:
                assert status == 403, (role, method, path, status)


def test_every_role_on_every_page(scene: Scene) -> None:
    """The same with sessions. Nobody is sent to the door; a session opens no route of the API, and a key no page."""
    scene.invoiced("acme")
    scene.deposit("acme")
    scene.app.owner_registrar.add(Owner("acme", "Acme"), fee_basis_points=0, actor="test")
    people = {
        role: browser(
            scene.app, role, tenant="acme" if role is T else "", owner="acme" if role is KeyRole.OWNER else ""
        )
        for role in sorted(WITH_PAGES)
    }
    everybody = people[T]
    everybody.get("/portal/keys")
    SPARE[0] = scene.app.registrar.create_key(name="spare", role=T, tenant="acme", actor="test")[4:12]
    key = scene.client(O)
    for (method, path), allowed in sorted(PAGES.items(), key=lambda one: (one[0][1] == "/logout", one)):
        url = path.format_map(defaultdict(lambda: "1", prefix=SPARE[0])) + QUERIES.get(path, "")
        desk = ELSEWHERE if path.startswith(("/finance", "/operations")) else ()
        for stranger in (Browser(everybody.api), key):
            answer = stranger.ask(method, url, **({} if method == "GET" else {"data": {"a": "b"}}))
            assert (answer.status_code, answer.headers["Location"]) == (303, "/login"), path
        for role, person in people.items():
            if method == "GET":
                status = person.get(url).status_code
            else:
                person.get({T: "/portal/keys", KeyRole.OWNER: "/owner", F: "/finance/close"}.get(role, "/home"))
                status = person.post(url, {"name": "x", "email": "x@acme.example"}).status_code
            assert status in ((200, 303, *desk) if role in allowed else (403,)), (role, method, path, status)


def test_a_session_opens_no_route_of_the_api(scene: Scene) -> None:
    person = browser(scene.app, O)
    for method, path in sorted(RULES):
        assert person.ask(method, path.format_map(defaultdict(lambda: "1"))).status_code == 401, path


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense", "Bearer smk_", "bearer smk_00000000_x", "\xff"]
)
def test_what_is_no_key_is_401(app: App, value: str) -> None:
    answer = Client(create_app(app)).get("/api/v1/tenants", headers={"Authorization": value.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_revoked_key_is_401_at_once(app: App) -> None:
    one = client(app, O)
    assert one.get("/api/v1/tenants").status_code == 200
    app.registrar.revoke_key(one.key.split("_")[1], actor="test")
    answer = one.get("/api/v1/tenants")
    assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_tenant_sees_its_own_and_nobody_elses(scene: Scene) -> None:
    first, second = scene.invoiced("acme", "beta")
    scene.pay(first, 20_000_000)
    scene.pay(second, 20_000_000)
    scene.mine(3)
    acme = scene.client(T, "acme")
    assert {one["tenant"] for one in acme.json("/api/v1/invoices")["items"]} == {"acme"}
    assert {one["tenant"] for one in acme.json("/api/v1/payments")["items"]} == {"acme"}
    assert {one["tenant"] for one in acme.json("/api/v1/leases")["items"]} == {"acme"}
    assert acme.json("/api/v1/usage?from=2026-10-01&to=2026-11-01")["tenant"] == "acme"
    statement = acme.json("/api/v1/reports/statement?period=2026-11&format=json")
    assert {one["invoice"] for one in statement["rows"]} == {first.number}
    assert acme.get(f"/api/v1/invoices/{first.number}").status_code == 200
    assert acme.get(f"/api/v1/invoices/{first.number}/document").status_code == 200


def test_another_tenants_things_are_as_unknown_as_things_that_do_not_exist(scene: Scene) -> None:
    """404, with the very words for what nobody has: the answer must not tell that it exists."""
    _, second = scene.invoiced("acme", "beta")
    scene.app.noter.credit(second.number, Wish(1, 1), reason="slow", actor="test")
    acme = scene.client(T, "acme")
    tried = (
        ("/api/v1/invoices/{number}.pdf", "", second.number, "INV-999999"),
        ("/api/v1/credit-notes", "?tenant={number}", "beta", "nobody"),
        ("/api/v1/credit-notes/{number}", "", NOTE, "INV-CN-999999"),
        ("/api/v1/credit-notes/{number}/document", "", NOTE, "INV-CN-999999"),
        ("/api/v1/credit-notes/{number}.pdf", "", NOTE, "INV-CN-999999"),
        ("/api/v1/invoices/{number}", "", second.number, "INV-999999"),
        ("/api/v1/invoices/{number}/document", "", second.number, "INV-999999"),
        ("/api/v1/payments", "?invoice={number}", second.number, "INV-999999"),
        ("/api/v1/payments", "?tenant={number}", "beta", "nobody"),
        ("/api/v1/invoices", "?tenant={number}", "beta", "nobody"),
        ("/api/v1/leases", "?tenant={number}", "beta", "nobody"),
        ("/api/v1/usage", "?from=2026-10-01&to=2026-11-01&tenant={number}", "beta", "nobody"),
        ("/api/v1/tenants/{slug}/standing", "", "beta", "nobody"),
        ("/api/v1/tenants/{slug}/deposit-address", "", "beta", "nobody"),
        ("/api/v1/tenants/{slug}/deposit-address/document", "", "beta", "nobody"),
        ("/api/v1/tenants/{slug}/credit", "", "beta", "nobody"),
        ("/api/v1/tenants/{slug}/runway", "", "beta", "nobody"),
        ("/api/v1/reports/statement", "?period=2026-11&tenant={number}", "beta", "nobody"),
    )
    elsewhere = {"/api/v1/keys", "/api/v1/keys/{prefix}/revoke"}  # tests/web/test_keys.py
    assert {path for path, *_ in tried} | elsewhere == {path for (_, path), roles in RULES.items() if T in roles}
    for route, query, theirs, nobodys in tried:
        path = route + query
        answers = [acme.get(path.format(number=name, slug=name)) for name in (theirs, nobodys)]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].text.replace(theirs, "X") == answers[1].text.replace(nobodys, "X")


def test_a_cursor_of_somebody_else_shows_only_ones_own(scene: Scene) -> None:
    scene.invoiced("acme", "beta")
    cursor = scene.client(O).json("/api/v1/invoices?limit=1")["next_cursor"]
    assert scene.client(T, "acme").json(f"/api/v1/invoices?cursor={cursor}")["items"] == []
