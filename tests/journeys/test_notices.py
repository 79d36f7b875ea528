"""Who is told what, from issue to suspension and back: in the order in which it happened, and each thing once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.bootstrap import unfenced
from billing.core.clock import ManualClock
from billing.invoicing.dunner import Dunner, Steps
from billing.notices import store
from billing.notices.deliverer import Deliverer
from billing.notices.store import Wants
from billing.notices.webhook import WebhookReceiver
from tests.notices.receiver import SECRET, Inbox, listening
from tests.world import World, issued, usd, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as found:
        yield found


def told(made: World) -> list[dict[str, Any]]:
    """Everything that was told so far, to a receiver that verifies it. It is asked by today's clock, as the daemon does."""
    inbox = Inbox()
    with listening(inbox):
        receiver = WebhookReceiver("books", inbox.url, [SECRET])
        clock = ManualClock(datetime.now(UTC))
        done = Deliverer(made.app.database, clock, [receiver], {"books": Wants()}, unfenced).tick()
        receiver.close()
    assert done.failed == done.dead == 0
    return list(inbox.heard.values())


def dun(made: World) -> None:
    Dunner(made.app.database, made.clock, Steps([3], [1, 7], timedelta(days=10)), unfenced).tick()


def test_an_invoice_from_issue_to_payment_and_back(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    (first,) = told(made)
    assert first["type"] == "invoice.issued" and first["data"]["amount_due"] == "200.00"
    assert first["data"]["pay_url"] == f"{made.settings.public_url}/pay/{invoice.pay_token}"
    assert first["data"]["document_digest"] == invoice.digest
    made.node.transfer(made.usdc, invoice.address, usd("200"))
    made.follow()
    (seen,) = told(made)
    assert seen["type"] == "payment.seen" and seen["data"]["amount"] == "200.000000"
    assert made.invoice(invoice.number).status == "open", "seen is not paid"
    made.node.mine(3)
    made.follow()
    (paid,) = told(made)
    assert (paid["type"], paid["data"]["number"]) == ("invoice.paid", invoice.number)
    made.node.reorg(5)
    made.node.mine(6)
    made.follow()
    assert [one["type"] for one in told(made)] == ["invoice.reopened"]
    assert made.invoice(invoice.number).status == "open" and made.findings() == []


def test_a_void_is_told_with_its_credit_note(made: World) -> None:
    (invoice,) = issued(made, "acme")
    note = made.app.issuer.void(invoice.number, reason="wrong tenant", actor="test")
    types = {one["type"]: one["data"] for one in told(made)}
    assert set(types) == {"invoice.issued", "invoice.voided", "credit_note.issued"}
    assert types["credit_note.issued"] | {"document_digest": ""} == {
        "number": note, "invoice": invoice.number, "tenant": "acme", "currency": "USD", "total": "200.00",
        "effect": "void", "subtotal": "200.00", "reason": "wrong tenant", "issued_at": types["credit_note.issued"]["issued_at"], "document_digest": "",
    }  # fmt: skip


def test_who_does_not_pay_is_reminded_suspended_and_resumed(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None and [one["type"] for one in told(made)] == ["invoice.issued"]
    steps = []
    for days in (-4, -3, -1, 0, 1, 2, 9, 10, 20):
        made.clock.move_to(invoice.due_at + timedelta(days=days))
        dun(made)
        dun(made)
        steps.append((days, [(one["type"], one["data"].get("days")) for one in told(made)]))
    assert [one for one in steps if one[1]] == [
        (-3, [("invoice.reminder", 3)]),
        (1, [("invoice.overdue", 1)]),
        (9, [("invoice.overdue", 7)]),
        (10, [("tenant.suspended", None)]),
    ]
    made.node.transfer(made.usdc, invoice.address, usd("200"))
    made.follow()
    dun(made)
    resumed = next(one for one in told(made) if one["type"] == "tenant.resumed")
    assert resumed["data"]["standing"] == "overdue", "the payment is on its way: nobody is cut off meanwhile"
    made.settle()
    dun(made)
    assert [one["type"] for one in told(made)] == ["invoice.paid"]


def test_a_restored_database_tells_nobody_what_they_know(made: World) -> None:
    """Bringing documents back is not issuing them."""
    (invoice,) = issued(made, "acme")
    with made.app.database.transaction() as session:
        before = store.listed(session)
    made.app.restore(actor="test")
    with made.app.database.transaction() as session:
        assert store.listed(session) == before
        content = json.dumps(before, default=str)
    assert invoice.pay_token not in content, "a list does not show the payer's secret"
