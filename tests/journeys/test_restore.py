"""An old database backup beside a newer archive: the newer invoices come back, are paid and flushed; nothing is lost, no
number or address is given twice."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from billing.core.errors import Conflict
from billing.invoicing.lifecycle import InvoiceStatus
from billing.wallets.forwarder import flush_calldata
from tests.world import PERIOD, World, metered, usd, world

XPUB = "xpub6DUnyzcsyXMq8x9Gamn1KRza9cjuogQBHeaK2gC2V5M4J9tfpu4UKAJ9rG12FFFuKGq4A2kerhD4Yv7NgYXcNZtAqdUs1jTKVE2bvLnGxqx"
"""An account that nothing else on the node uses."""


@pytest.fixture(params=["forwarder", "xpub"])
def made(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path, xpub=XPUB if request.param == "xpub" else "") as one:
        yield one


class Backup:
    """A copy of the database, taken and put back by PostgreSQL itself."""

    def __init__(self, made: World) -> None:
        self._made = made
        self._url = make_url(made.settings.database.url.get_secret_value())
        self._copy = f"{self._url.database}_backup"
        made.app.close()
        self._sql(f"CREATE DATABASE {self._copy} TEMPLATE {self._url.database} STRATEGY FILE_COPY")
        made.again()

    def put_back(self) -> None:
        self._made.app.close()
        self._sql(f"DROP DATABASE {self._url.database} WITH (FORCE)")
        self._sql(f"ALTER DATABASE {self._copy} RENAME TO {self._url.database}")
        self._made.again()

    def _sql(self, statement: str) -> None:
        server = self._url.set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(statement)


def test_invoices_issued_after_the_backup_come_back_and_are_paid(made: World) -> None:
    metered(made, "acme", "beta", "gamma")
    made.app.check_chain(31337)
    (first,) = made.app.issuer.run(PERIOD, "acme")
    made.follow()
    backup = Backup(made)
    later = [made.app.issuer.run(PERIOD, slug)[0] for slug in ("beta", "gamma")]
    assert [invoice.number for invoice in later] == ["INV-000002", "INV-000003"]
    made.app.issuer.void("INV-000003", reason="a mistake", actor="test")
    (replacement,) = made.app.issuer.run(PERIOD, "gamma")
    backup.put_back()

    with pytest.raises(Conflict, match="INV-000002 first; was an older backup restored"):
        made.app.issuer.run(PERIOD, "beta")
    assert later[0].address is not None and first.address is not None and replacement.address is not None
    made.node.transfer(made.usdc, later[0].address, usd("200.00"))
    made.settle()  # the chain is read on before anybody remembers the newer invoices
    restored = made.app.restore(actor="test")
    assert restored.invoices == ["INV-000002", "INV-000003", "INV-000004"] and restored.credit_notes == [
        "INV-CN-000001"
    ]
    assert made.app.restore(actor="test").invoices == [], "twice is once"

    made.follow()
    assert made.invoice("INV-000002").status is InvoiceStatus.PAID, (
        "paid while nobody watched it, and found all the same"
    )
    assert made.invoice("INV-000003").status is InvoiceStatus.VOID
    assert made.invoice("INV-000004").address == replacement.address
    made.node.transfer(made.usdc, replacement.address, usd("200.00"))
    made.node.transfer(made.usdc, first.address, usd("200.00"))
    made.settle()
    assert {made.invoice(f"INV-00000{n}").status for n in (1, 2, 4)} == {InvoiceStatus.PAID}
    assert made.app.issuer.run(PERIOD) == [], "their usage counts as charged"
    if made.settings.wallet.mode == "forwarder":
        salts = [made.invoice(f"INV-00000{n}").digest for n in (1, 2, 4)]
        made.node.send(made.app.wallet.factory, flush_calldata(salts, made.usdc))  # type: ignore[union-attr]
        made.settle()
        assert made.node.balance(made.usdc, made.treasury) == usd("600.00")
    assert made.findings() == []

    _issue_another(made)
    assert made.findings() == []


def _issue_another(made: World) -> None:
    """The next number and address are new ones."""
    metered(made, "delta")
    (invoice,) = made.app.issuer.run(PERIOD, "delta")
    assert invoice.number == "INV-000005"
    others = {made.invoice(f"INV-00000{n}").address for n in range(1, 5)}
    assert invoice.address not in others


def test_an_archive_on_two_disks_survives_the_loss_of_one(database_url: str, tmp_path: Path) -> None:
    disks = [str(tmp_path / "one"), str(tmp_path / "two")]
    with world(database_url, tmp_path, archive=disks) as made:
        metered(made, "acme")
        made.app.check_chain(31337)
        backup = Backup(made)
        (invoice,) = made.app.issuer.run(PERIOD)
        backup.put_back()
        shutil.rmtree(disks[0])
        assert made.app.restore(actor="test").invoices == [invoice.number]
        assert made.invoice(invoice.number).address == invoice.address
        assert any("not in" in finding for finding in made.findings()), "the audit says that a disk lacks documents"
        subprocess.run(["cp", "-r", f"{disks[1]}/.", disks[0]], check=True)
        assert made.findings() == []
