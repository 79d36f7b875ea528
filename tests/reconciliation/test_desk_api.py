"""The finance desk over HTTP: suggestions, decisions, and what is refused."""

from billing.tenants.keys import KeyRole
from tests.reconciliation.desk import Desk


def test_a_suggestion_is_told_and_followed_once(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    first, second = desk.stray(october, 20), desk.stray(november, 45)
    client = desk.client(KeyRole.FINANCE)
    found = client.json(f"/api/v1/exceptions/{first}")
    best = found["suggestions"][0]
    assert (best["action"], best["to"]) == ("apply", [{"invoice": october.number, "amount": "20.00"}])
    assert best["reason"] == "it came in for it, and it owes exactly this"
    listed = client.json("/api/v1/exceptions")["items"]
    assert [one["id"] for one in listed] == [first, second] and listed[0] == found
    body = {"as": "apply", "reason": "as suggested", "to": best["to"]}
    headers = {"Idempotency-Key": "one"}
    done = client.post(f"/api/v1/exceptions/{first}/resolve", body, headers=headers)
    assert done.status_code == 200, done.text
    told = done.json()
    assert (told["status"], told["resolution"], told["suggestions"]) == ("resolved", "apply", [])
    assert told["booked"] == f"20.00 USD on {october.number}" and told["resolved_by"].startswith("api:")
    again = client.post(f"/api/v1/exceptions/{first}/resolve", body, headers=headers)
    assert again.json() == told and again.headers["Idempotent-Replayed"] == "true"
    late = client.post(f"/api/v1/exceptions/{first}/resolve", body)
    assert late.status_code == 409 and "was resolved by api:" in late.json()["detail"]
    assert desk.findings() == []


def test_several_are_resolved_in_one_request(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    first, second = desk.stray(october, 14), desk.stray(october, 16)
    client = desk.client(KeyRole.OPERATOR)
    found = client.json(f"/api/v1/exceptions/{first}")["suggestions"][0]
    assert (found["to"], found["together"]) == ([{"invoice": november.number, "amount": "30.00"}], [second])
    body = {"as": "apply", "reason": "in two parts", "to": found["to"], "together": found["together"]}
    assert client.post(f"/api/v1/exceptions/{first}/resolve", body).status_code == 200
    assert client.json("/api/v1/exceptions")["items"] == [] and desk.again(november).status == "paid"


def test_bad_decisions_are_told_as_problems_and_change_nothing(desk: Desk) -> None:
    october, *_ = desk.invoices
    asked = desk.stray(october, 25)
    client = desk.client(KeyRole.FINANCE)
    path, to = f"/api/v1/exceptions/{asked}/resolve", [{"invoice": october.number}]
    apply = {"as": "apply", "reason": "theirs", "to": to}
    for body, status in (
        ({**apply, "to": []}, 400),
        ({**apply, "reason": ""}, 422),
        ({**apply, "reason": "  "}, 400),
        ({**apply, "to": [{"invoice": october.number, "amount": "-1"}]}, 422),
        ({**apply, "to": [{"invoice": october.number, "amount": 20}]}, 422),
        ({**apply, "to": [{"invoice": october.number, "amount": "20.01"}]}, 400),
        ({**apply, "to": [{"invoice": "INV-9"}]}, 404),
        ({**apply, "to": to * 51}, 422),
        ({**apply, "rate": "0"}, 400),
        ({**apply, "together": [asked]}, 400),
        ({**apply, "together": [999]}, 404),
        ({**apply, "as": "steal"}, 422),
        ({**apply, "as": "refund"}, 400),
        ({**apply, "extra": 1}, 422),
    ):
        answer = client.post(path, body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.post("/api/v1/exceptions/999/resolve", apply).status_code == 404
    assert client.get("/api/v1/exceptions/0").status_code == 422
    for role in (KeyRole.AUDITOR, KeyRole.TENANT):
        other = desk.client(role, "acme" if role is KeyRole.TENANT else "")
        assert other.post(path, apply).status_code == 403
    assert [one["id"] for one in desk.questions()] == [asked] and desk.findings() == []
