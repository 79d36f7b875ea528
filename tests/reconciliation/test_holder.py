"""What a person may do with held money, and what it becomes then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.invoicing.lifecycle import InvoiceStatus
from billing.ledger import store as ledger
from billing.reconciliation import store
from billing.reconciliation.resolver import Resolution
from tests.factories import at
from tests.web.client import WATCHED, application
from tests.web.scene import SENDER, Scene


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """Everybody who pays is on a list."""
    (tmp_path / "sdn").write_text(SENDER)
    clock = ManualClock(at(24, day=31))
    app = application(database_url, tmp_path, clock, compliance={"lists": [{"name": "sdn", "path": tmp_path / "sdn"}]})
    yield Scene(app, clock)
    app.close()


def questions(app: App) -> list[dict[str, Any]]:
    with app.database.transaction() as session:
        return store.exceptions(session)


def balance(app: App, account: str, asset: str) -> int:
    with app.database.transaction() as session:
        return ledger.balance(session, account, asset)


def release(scene: Scene, number: int) -> None:
    scene.app.resolver.resolve(number, Resolution.RELEASE, reason="another person of that name", actor="officer")
    scene.app.reconciler.tick()


def test_what_is_let_through_and_pays_nothing_goes_where_it_would_have_gone(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 10**18, WATCHED)
    scene.mine(12)
    (held,) = questions(scene.app)
    assert held["kind"] == "held_sender" and balance(scene.app, "held:31337", "31337:OUSD") == -(10**18)
    release(scene, held["id"])
    (wrong,) = questions(scene.app)
    assert wrong["kind"] == "wrong_token"
    assert (
        balance(scene.app, "suspense", "31337:OUSD") == -(10**18)
        and balance(scene.app, "held:31337", "31337:OUSD") == 0
    )
    with pytest.raises(Invalid, match="nothing is held"):
        release(scene, wrong["id"])
    assert scene.app.auditor.run(chains=False).findings == []


def test_what_left_the_chain_is_not_let_through_any_more(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    (held,) = questions(scene.app)
    scene.orphan()
    assert questions(scene.app) == [] and balance(scene.app, "held:31337", "31337:USDC") == 0
    with pytest.raises(Conflict, match=r"was resolved by daemon \(obsolete\)"):
        release(scene, held["id"])
    assert scene.app.auditor.run(chains=False).findings == []


def test_a_release_before_the_chain_takes_it_back_is_taken_back_too(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    scene.app.resolver.resolve(questions(scene.app)[0]["id"], Resolution.RELEASE, reason="a mistake", actor="officer")
    scene.orphan()  # before the tick that would have matched it
    assert balance(scene.app, "held:31337", "31337:USDC") == balance(scene.app, "conversion", "31337:USDC") == 0
    assert scene.again(invoice).status is InvoiceStatus.OPEN and scene.app.auditor.run(chains=False).findings == []


def test_a_release_needs_a_reason(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    with pytest.raises(Invalid, match="needs a reason"):
        scene.app.resolver.resolve(questions(scene.app)[0]["id"], Resolution.RELEASE, reason=" ", actor="officer")
    assert [one["kind"] for one in questions(scene.app)] == ["held_sender"]
