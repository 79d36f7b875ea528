"""Deposit addresses: one that is shown for each tenant, whoever asks at the same time, and a new one for a new wallet."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable
from billing.invoicing.depositor import Wanted
from billing.invoicing.store import deposits
from tests.factories import at, tenant
from tests.web.client import application
from tests.web.scene import Scene
from tests.world import BOOK

OTHER_TREASURY = "0x" + "7e" * 20


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    clock = ManualClock(at(24, day=31))
    app = application(database_url, tmp_path, clock)
    app.registrar.add(tenant("acme"), [], actor="test")
    app.rater.apply(BOOK, actor="test")
    yield Scene(app, clock)
    app.close()


def test_two_at_once_are_given_the_same_address(scene: Scene, database_url: str, tmp_path: Path) -> None:
    scene.accept()
    apps = [application(database_url, tmp_path, scene.clock) for _ in range(4)]
    given, barrier = list[str](), threading.Barrier(len(apps))

    def ask(app: App) -> None:
        barrier.wait()
        given.append(app.depositor.give(Wanted("acme"), actor="test").deposit.number)

    threads = [threading.Thread(target=ask, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for app in apps:
        app.close()
    assert given == ["INV-DEP-000001"] * 4 and len(scene.app.archive.read()) == 1


def test_a_new_wallet_makes_a_new_address_when_somebody_asks(scene: Scene, database_url: str, tmp_path: Path) -> None:
    old = scene.deposit("acme")
    wallet = {"treasury": OTHER_TREASURY, "treasury_kind": "eoa", "archive": [str(tmp_path / "archive")]}
    app = application(database_url, tmp_path, scene.clock, wallet=wallet)
    new = Scene(app, scene.clock).deposit("acme")
    assert (new.number, new.replaces, new.document.wallet.mode) == ("INV-DEP-000002", old.number, "forwarder")
    assert new.generation_id != old.generation_id
    with app.database.transaction() as session:
        assert [one.address for one in deposits.of_tenant(session, new.tenant_id)] == [old.address, new.address]
    assert app.auditor.run(chains=False).findings == []
    app.close()


def test_other_terms_make_no_new_address_by_themselves_but_are_told(
    scene: Scene, database_url: str, tmp_path: Path
) -> None:
    old = scene.deposit("acme")
    app = application(database_url, tmp_path, scene.clock, issuer={"name": "Renamed GPU Pty Ltd"})
    shown = app.depositor.give(Wanted("acme"), actor="test")
    assert shown.deposit == old and shown.outdated == ["who issues"]
    app.close()


def test_an_address_is_shown_although_no_wallet_is_configured_any_more(
    scene: Scene, database_url: str, tmp_path: Path
) -> None:
    old = scene.deposit("acme")
    app = application(database_url, tmp_path, scene.clock, wallet={"archive": [str(tmp_path / "archive")]})
    assert app.depositor.give(Wanted("acme"), actor="test").deposit == old
    with pytest.raises(Conflict, match="no wallet is configured"):
        app.depositor.give(Wanted("acme", renew=True, reason="x"), actor="test")
    app.close()


def test_before_a_chain_accepts_the_wallet_nothing_is_given_and_no_number_is_used(scene: Scene) -> None:
    with pytest.raises(Unavailable, match="no chain accepts USD"):
        scene.app.depositor.give(Wanted("acme"), actor="test")
    assert scene.deposit("acme").number == "INV-DEP-000001"


def test_the_database_keeps_one_chain_of_documents_that_only_grows(scene: Scene) -> None:
    scene.deposit("acme")
    copy = (
        "INSERT INTO deposit_document (number, series, tenant_id, currency, exponent, document, digest, replaces_id, issued_at)"
        " SELECT 'X', series, tenant_id, currency, exponent, document, 'x', NULL, issued_at FROM deposit_document"
    )
    for wrong in (copy, "UPDATE deposit_document SET number = 'X'", "DELETE FROM deposit_document"):
        with pytest.raises(Conflict), scene.app.database.transaction() as session:
            session.execute(text(wrong))
