"""Pushing events over HTTP, as OpenMeter's clients do, and as nobody should."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.tenants.keys import KeyRole
from tests.events.pushed import body, event
from tests.web.client import Client, application, chunks, client

METER = {"name": "tokens", "event_type": "inference", "value": "$.tokens", "aggregation": "sum", "unit": "token"}


@pytest.fixture
def app(database_url: str, tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    made = application(database_url, tmp_path, clock, metering={"meters": [METER]})
    yield made
    made.close()


@pytest.fixture
def operator(app: App) -> Client:
    return client(app, KeyRole.OPERATOR)


def push(one: Client, content: Any, kind: str = "application/cloudevents-batch+json") -> Any:
    return one.ask("POST", "/api/v1/events", content=content, headers={"Content-Type": kind})


def stored(app: App) -> int:
    with app.database.transaction() as session:
        found: int = session.execute(text("SELECT count(*) FROM event")).scalar_one()
        return found


SINGLE = json.dumps(event("1")).encode()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/cloudevents+json", SINGLE),
        ("application/cloudevents+json; charset=utf-8", SINGLE),
        ("application/cloudevents+json;charset=UTF-8", SINGLE),
        ("application/cloudevents-batch+json", body(event("1"))),
        ('Application/CloudEvents-Batch+JSON; charset="utf-8"', body(event("1"))),
        ("application/json", SINGLE),
        ("application/json; charset=UTF-8", body(event("1"))),
    ],
)
def test_every_content_type_of_the_wire_is_taken(app: App, operator: Client, kind: str, content: bytes) -> None:
    for _ in range(2):
        answer = push(operator, content, kind)
        assert (answer.status_code, answer.content) == (204, b"")
    assert stored(app) == 1


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json; charset=utf-16", "application/x-json", "json"])
def test_another_content_type_is_415(app: App, operator: Client, kind: str) -> None:
    answer = push(operator, SINGLE, kind)
    assert answer.status_code == 415 and answer.headers["Content-Type"] == "application/problem+json"
    assert stored(app) == 0


def test_a_conflict_names_the_keys_and_stores_nothing(app: App, operator: Client) -> None:
    assert push(operator, body(event("1"))).status_code == 204
    answer = push(operator, body(event("2"), event("1", {"tokens": 5})))
    assert answer.status_code == 409 and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["conflicts"] == [{"source": "//gateway", "id": "1"}]
    assert stored(app) == 1
    page = operator.get("/metrics").text
    assert 'stablemeter_events_total{outcome="conflict"}' in page
    assert 'stablemeter_events_unknown_total{what="subject"}' in page


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "half": SINGLE[:40],
    "binary": bytes(range(256)),
    "bomb": b"[" * 500_000,
    "object bomb": b'{"data":' * 100_000,
    "deep": SINGLE.replace(b'{"tokens": 1}', b"[" * 1_000 + b"]" * 1_000),
    "duplicate key": SINGLE.replace(b'"id"', b'"id": "0", "id"', 1),
    "NaN": SINGLE.replace(b'{"tokens": 1}', b'{"tokens": NaN}'),
    "1e400": SINGLE.replace(b'{"tokens": 1}', b'{"tokens": 1e400}'),
    "negative": SINGLE.replace(b'{"tokens": 1}', b'{"tokens": -1}'),
    "no value": SINGLE.replace(b'{"tokens": 1}', b'{"tokens": {}}'),
    "surrogate": SINGLE.replace(b"acme", b"\\udfff"),
    "NUL": SINGLE.replace(b"acme", b"a\\u0000"),
    "long line": SINGLE.replace(b"acme", b"x" * 7_000_000),
    "too many": body(*(event(str(n)) for n in range(1001))),
    "one wrong of many": body(*(event(str(n)) for n in range(500)), {}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_400_on_one_line_and_nothing_is_stored(app: App, operator: Client, name: str) -> None:
    answer = push(operator, BROKEN[name], "application/json")
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert detail and "\n" not in detail and "Traceback" not in detail
    assert stored(app) == 0


def test_a_body_may_be_larger_than_elsewhere_and_not_without_end(app: App, operator: Client) -> None:
    big = body(*(event(str(n), {"tokens": 1, "note": "x" * 3000}) for n in range(1000)))
    assert len(big) > 3_000_000 and push(operator, big).status_code == 204
    assert push(operator, b"[" + b" " * (9 << 20) + b"]").status_code == 413
    answer = operator.ask(
        "POST",
        "/api/v1/events",
        content=chunks(b"[" + b" " * (9 << 20) + b"]", 1 << 20),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 413
    assert stored(app) == 1000
