"""API keys over HTTP, and how often one may be used."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.owners.share import Owner
from billing.tenants.keys import KEYS_MAX, KeyRole
from billing.web import limits
from tests.factories import tenant
from tests.web.client import Client, client


@pytest.fixture(autouse=True)
def two(app: App) -> None:
    for slug in ("acme", "beta"):
        app.registrar.add(tenant(slug), [], actor="test")


def test_a_key_is_in_the_first_answer_alone_and_kept_nowhere(app: App) -> None:
    operator = client(app, KeyRole.OPERATOR)
    body, once = {"name": "report", "role": "tenant", "tenant": "acme"}, {"Idempotency-Key": "one"}
    first = operator.post("/api/v1/keys", body, headers=once)
    again = operator.post("/api/v1/keys", body, headers=once)
    plain = first.json()["key"]
    assert first.status_code == again.status_code == 201 and again.json() == {**first.json(), "key": None}
    assert Client(operator.api, plain).json("/api/v1/keys")["items"][0]["name"] == "report"
    with app.database.transaction() as session:
        kept = "".join(
            str(session.execute(text(f"SELECT * FROM {name}")).all())
            for name in ("idempotency_key", "trail", "api_key")
        )
    assert plain not in kept and plain.split("_")[2] not in kept
    prefix = first.json()["prefix"]
    revoked = operator.post(f"/api/v1/keys/{prefix}/revoke", {})
    assert revoked.status_code == 200 and revoked.json()["revoked_at"] and "key" in revoked.json()
    assert Client(operator.api, plain).get("/api/v1/keys").status_code == 401


@pytest.mark.parametrize("role", ["operator", "finance", "auditor"])
def test_nobody_makes_a_key_over_http_that_may_do_more_than_its_own(app: App, role: str) -> None:
    answer = client(app, KeyRole.OPERATOR).post("/api/v1/keys", {"name": "x", "role": role})
    assert answer.status_code == 400 and "command line" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "role": "king"},
        {"name": "", "role": "gateway"},
        {"name": "x", "role": "tenant"},
        {"name": "x", "role": "gateway", "tenant": "acme"},
        {"name": "x", "role": "owner", "owner": "nobody"},
        {"name": "x\u202e", "role": "gateway"},
        {},
    ],
    ids=str,
)
def test_what_is_no_key_is_refused(app: App, body: dict[str, str]) -> None:
    assert client(app, KeyRole.OPERATOR).post("/api/v1/keys", body).status_code in (400, 404, 422)


def test_a_tenant_sees_and_ends_its_own_keys_and_learns_nothing_of_others(app: App) -> None:
    acme, beta = client(app, KeyRole.TENANT, "acme"), client(app, KeyRole.TENANT, "beta")
    assert {one["tenant"] for one in acme.json("/api/v1/keys")["items"]} == {"acme"}
    answers = [acme.post(f"/api/v1/keys/{prefix}/revoke", {}) for prefix in (beta.key[4:12], "00000000")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(beta.key[4:12], "X") == answers[1].text.replace("00000000", "X")
    assert beta.get("/api/v1/keys").status_code == 200
    assert acme.post(f"/api/v1/keys/{acme.key[4:12]}/revoke", {}).status_code == 200
    assert acme.get("/api/v1/keys").status_code == 401


def test_keys_are_listed_page_by_page(app: App) -> None:
    auditor = client(app, KeyRole.AUDITOR)
    made = [app.registrar.create_key(name=f"k{n}", role=KeyRole.GATEWAY, actor="test")[4:12] for n in range(4)]
    first = auditor.json("/api/v1/keys?limit=3")
    rest = auditor.json(f"/api/v1/keys?limit=3&cursor={first['next_cursor']}")
    assert [one["prefix"] for one in [*first["items"], *rest["items"]]][-4:] == made and rest["next_cursor"] is None


def test_a_tenant_has_so_many_keys_and_no_more(app: App) -> None:
    operator = client(app, KeyRole.OPERATOR)
    with app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO api_key (name, prefix, digest, role, tenant_id, created_at)"
                " SELECT 'k', 'p' || n, 'd' || n, 'tenant', t.id, now() FROM tenant t, generate_series(1, :most) n"
                " WHERE t.slug = 'acme'"
            ),
            {"most": KEYS_MAX},
        )
    answer = operator.post("/api/v1/keys", {"name": "x", "role": "tenant", "tenant": "acme"})
    assert answer.status_code == 409 and "API keys already" in answer.json()["detail"]
    assert operator.post("/api/v1/keys/p1/revoke", {}).status_code == 200
    assert operator.post("/api/v1/keys", {"name": "x", "role": "tenant", "tenant": "acme"}).status_code == 201


def test_the_last_use_is_written_once_a_minute_at_most(app: App, clock: ManualClock) -> None:
    one = client(app, KeyRole.OPERATOR)

    def seen() -> object:
        with app.database.transaction() as session:
            return session.execute(text("SELECT last_used_at, xmin FROM api_key")).all()

    one.get("/api/v1/keys")
    first = seen()
    clock.advance(timedelta(seconds=59))
    one.get("/api/v1/keys")
    assert seen() == first, "a request is no write"
    clock.advance(timedelta(seconds=1))
    one.get("/api/v1/keys")
    assert seen() != first


def test_one_key_does_not_keep_the_others_waiting(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEY_BURST", 3)
    monkeypatch.setattr(limits, "KEY_PER_SECOND", 0.001)
    busy, calm = client(app, KeyRole.OPERATOR), client(app, KeyRole.AUDITOR)
    calm.api = busy.api
    answers = [busy.get("/api/v1/keys") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert calm.get("/api/v1/keys").status_code == 200


def test_an_owners_key_reads_its_own_statement_and_no_other(app: App) -> None:
    for slug in ("north", "south"):
        app.owner_registrar.add(Owner(slug, slug.title()), fee_basis_points=0, actor="test")
    north = client(app, KeyRole.OWNER, owner="north")
    path = "/api/v1/owners/{}/statement?period=2026-10"
    assert north.get(path.format("north")).status_code == 200
    others = [north.get(path.format(slug)) for slug in ("south", "nobody")]
    assert [answer.status_code for answer in others] == [404, 404]
    assert others[0].text.replace("south", "X") == others[1].text.replace("nobody", "X")
    assert north.get("/api/v1/invoices").status_code == 403
