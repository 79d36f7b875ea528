"""A write that is repeated under its key happens once, whatever happens in between."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from billing.bootstrap import App
from billing.db.engine import Session
from billing.tenants.keys import KeyRole
from billing.trail.store import about
from billing.web import store
from tests.web.client import Client, client
from tests.web.scene import Scene

TENANT = {"slug": "acme", "name": "Acme", "attribution": "lease"}
KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture
def operator(app: App) -> Client:
    return client(app, KeyRole.OPERATOR)


def deeds(app: App, subject: str) -> int:
    with app.database.transaction() as session:
        return len(about(session, subject))


def test_the_same_request_again_gets_the_same_answer_again(app: App, operator: Client) -> None:
    first = operator.post("/api/v1/tenants", TENANT, headers=KEY)
    second = operator.post("/api/v1/tenants", dict(reversed(TENANT.items())), headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content and second.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Location"] == second.headers["Location"] == "/api/v1/tenants/acme"
    assert "Idempotent-Replayed" not in first.headers and deeds(app, "tenant acme") == 1


def test_the_key_for_another_request_is_a_conflict(operator: Client) -> None:
    operator.post("/api/v1/tenants", TENANT, headers=KEY)
    for path, body in (
        ("/api/v1/tenants", {**TENANT, "name": "Other"}),
        ("/api/v1/leases", {"tenant": "acme", "start": "2026-10-01", "hosts": ["n1"]}),
    ):
        answer = operator.post(path, body, headers=KEY)
        assert answer.status_code == 409 and "another request" in answer.json()["detail"]


def test_answers_are_kept_for_thirty_days_and_no_longer(scene: Scene) -> None:
    operator = scene.client(KeyRole.OPERATOR)
    operator.post("/api/v1/tenants", TENANT, headers=KEY)
    scene.clock.advance(timedelta(days=30))
    operator.post("/api/v1/tenants", {**TENANT, "slug": "beta"}, headers={"Idempotency-Key": "key-2"})
    again = operator.post("/api/v1/tenants", TENANT, headers=KEY)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    scene.clock.advance(timedelta(seconds=1))
    operator.post("/api/v1/tenants", {**TENANT, "slug": "gamma"}, headers={"Idempotency-Key": "key-3"})
    assert operator.post("/api/v1/tenants", TENANT, headers=KEY).status_code == 409, "done anew: there is such a tenant"


def test_keys_of_two_callers_do_not_meet(app: App, operator: Client) -> None:
    """Even when both API keys have the same name."""
    operator.post("/api/v1/tenants", TENANT, headers=KEY)
    other = client(app, KeyRole.OPERATOR)
    answer = other.post("/api/v1/tenants", {**TENANT, "slug": "beta"}, headers=KEY)
    assert (answer.status_code, answer.json()["slug"]) == (201, "beta")


def test_a_refused_write_is_tried_anew(scene: Scene) -> None:
    operator = scene.client(KeyRole.OPERATOR)
    body = {"tenant": "acme", "start": "2026-11-01", "uuids": ["GPU-acme"], "reference": "contract-7"}
    assert operator.post("/api/v1/leases", body, headers=KEY).status_code == 404
    scene.meter("acme")
    assert operator.post("/api/v1/leases", body, headers=KEY).status_code == 201
    assert operator.post("/api/v1/leases", body, headers=KEY).status_code == 201
    assert deeds(scene.app, "lease contract-7") == 1


def test_ending_a_lease_twice_under_one_key_ends_it_once(scene: Scene) -> None:
    scene.meter("acme")
    operator = scene.client(KeyRole.OPERATOR)
    answers = [
        operator.post("/api/v1/leases/lease-acme/end", {"at": "2026-10-01T05:00:00Z"}, headers=KEY) for _ in "ab"
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() and deeds(scene.app, "lease lease-acme") == 2  # added, ended


def test_a_crash_before_the_answer_is_stored_leaves_neither(
    app: App, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write and its answer are one transaction: a repetition after the crash does it for the first time."""

    def crash(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(store, "keep_answer", crash)
        assert operator.post("/api/v1/tenants", TENANT, headers=KEY).status_code == 500
    assert deeds(app, "tenant acme") == 0, "nothing was written"
    assert operator.post("/api/v1/tenants", TENANT, headers=KEY).status_code == 201
    assert deeds(app, "tenant acme") == 1


def test_two_at_once_do_it_once(app: App, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request waits until the first has committed, and is answered as that one was."""
    reserved, go_on = threading.Event(), threading.Event()
    keep = store.keep_answer

    def slow(session: Session, actor: str, key: str, status: int, body: str) -> None:
        reserved.set()
        assert go_on.wait(10)
        keep(session, actor, key, status, body)

    monkeypatch.setattr(store, "keep_answer", slow)
    answers: list[int] = []

    def ask() -> None:
        answers.append(operator.post("/api/v1/tenants", TENANT, headers=KEY).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert reserved.wait(10)
    threads[1].start()
    threads[1].join(0.3)
    assert answers == [], "the second one waits"
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert answers == [201, 201] and deeds(app, "tenant acme") == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "\x7f", "ü"])
def test_a_malformed_key_is_refused(operator: Client, key: str) -> None:
    answer = operator.post("/api/v1/tenants", TENANT, headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
