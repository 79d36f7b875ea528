"""Leases from a file: all of them, or none."""

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Invalid
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing import store
from billing.leasing.importer import LeaseImporter
from billing.leasing.lease import Lease
from billing.tenants.registrar import Registrar
from tests.factories import ScriptedSource, at, collector, tenant

HEADER = "tenant,host,gpu,from,to,reference\n"


@pytest.fixture
def importer(database: Database) -> LeaseImporter:
    """Two tenants, and four GPUs on n1."""
    clock = ManualClock(at(1.1))
    for name in ("acme", "beta"):
        Registrar(database, clock).add(tenant(name, "lease"), [], actor="test")
    source = ScriptedSource({DeviceKey(f"GPU-{n}"): [(0, 10**10, "")] for n in range(4)}, up=[(0, 10**10)])
    collector(database, clock, source).tick()
    return LeaseImporter(database, clock)


def leases(database: Database) -> list[Lease]:
    with database.transaction() as session:
        return store.listed(session)


def test_a_file_is_let_in_one_go(importer: LeaseImporter, database: Database) -> None:
    content = (
        "\ufeffReference,To,From,GPU,Tenant,Host\r\n"
        "C-1,,2026-10-01,GPU-0,acme,n1\r\n"
        "C-1,,2026-10-01,GPU-1,acme,\r\n"
        "C-2,2026-10-03T00:00:00Z,2026-10-02T00:00:00Z,GPU-2,beta,\r\n"
        ",2026-10-05T00:00:00Z,2026-10-04T00:00:00Z,GPU-2,beta,\r\n"
    ).encode()
    assert importer.read(content, dry_run=True, actor="test").gpus == 4
    assert leases(database) == []
    done = importer.read(content, actor="test")
    assert (done.leases, done.gpus) == (3, 4)
    found = {(one.reference, one.uuid, one.tenant) for one in leases(database)}
    assert found == {
        ("C-1", "GPU-0", "acme"), ("C-1", "GPU-1", "acme"), ("C-2", "GPU-2", "beta"),
        ("beta-20261004-000000-GPU-2", "GPU-2", "beta"),
    }  # fmt: skip
    with database.transaction() as session:
        deeds = session.execute(text("SELECT action, count(*) FROM trail GROUP BY action ORDER BY action")).all()
    assert dict(tuple(row) for row in deeds).items() >= {"lease.add": 3, "lease.import": 1}.items()
    with pytest.raises(Invalid, match="line 2: lease C-1 exists already"):
        importer.read(content, actor="test")


def test_a_host_is_let_with_all_its_gpus(importer: LeaseImporter, database: Database) -> None:
    assert importer.read((HEADER + "acme,n1,,2026-10-01,,C-1\n").encode(), actor="test").gpus == 4
    assert {one.uuid for one in leases(database)} == {"GPU-0", "GPU-1", "GPU-2", "GPU-3"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["nobody,,GPU-0,2026-10-01,,"], ["line 2: ", "nobody"]),
        (["acme,,GPU-9,2026-10-01,,"], ["line 2: no GPU is known on or as GPU-9"]),
        (["acme,n9,,2026-10-01,,"], ["line 2: no GPU is known on or as n9"]),
        (["acme,,,2026-10-01,,"], ["line 2: a lease needs a host or a gpu"]),
        ([",,GPU-0,2026-10-01,,"], ["line 2: no tenant"]),
        (["acme,,GPU-0,2026-10-02,2026-10-01,"], ["line 2: ", "empty or reversed"]),
        (["acme,,GPU-0,1e9,,"], ["line 2: '1e9' is not a time"]),
        (["acme,,GPU-0,2026-10-01T00:00:00,,"], ["line 2: ", "no offset from UTC"]),
        (["acme,,GPU-0,2026-10-01,,C", "beta,,GPU-1,2026-10-01,,C"], ["line 3: C has another tenant or another period on line 2"]),
        (["acme,,GPU-0,2026-10-01,,C", "acme,,GPU-0,2026-10-01,,C"], ["line 3: C names GPU-0 twice"]),
        (["acme,,GPU-0,2026-10-01,,C", "beta,,GPU-0,2026-10-03,,D"], ["line 3: GPU GPU-0 on n1 is let to acme (C)"]),
        (["acme,n1,,2026-10-01,,C", "beta,,GPU-3,2026-10-03,,D"], ["line 3: ", "let to acme"]),
        (["acme,,GPU-0,2026-10-01,,C", "x", "acme,,GPU-9,2026-10-01,,E"], ["line 3: 1 fields under 6"]),
        ([], ["a header and no leases"]),
    ],
)  # fmt: skip
def test_one_wrong_line_lets_nothing(
    importer: LeaseImporter, database: Database, rows: list[str], words: list[str]
) -> None:
    good = "acme,,GPU-2,2026-11-01,,GOOD\n" if rows else ""
    content = HEADER + "".join(row + "\n" for row in rows) + good
    for dry_run in (True, False):
        with pytest.raises(Invalid) as caught:
            importer.read(content.encode(), dry_run=dry_run, actor="test")
        assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    assert leases(database) == []


def test_every_wrong_line_is_named(importer: LeaseImporter) -> None:
    content = HEADER + "".join(f"acme,,GPU-{n},2026-10-01,,\n" for n in range(4, 11))
    with pytest.raises(Invalid, match=r"^line 2: .*; line 3: .*; line 6: .*; and 2 more$"):
        importer.read(content.encode(), actor="test")
