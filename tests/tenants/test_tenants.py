"""Tenants, their labels and API keys."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.db.engine import Database
from billing.tenants import store
from billing.tenants.keys import KeyRole, digest_of
from billing.tenants.registrar import Registrar, TaxChange
from billing.tenants.tax import TaxKind, TaxRule
from billing.tenants.tenant import Attribution, Tenant
from tests.factories import at, tenant


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(0))


@pytest.fixture
def registrar(database: Database, clock: ManualClock) -> Registrar:
    return Registrar(database, clock)


WRONG: list[dict[str, Any]] = [
    {"slug": ""}, {"slug": "-a"}, {"slug": "a-"}, {"slug": "A"}, {"slug": "a b"}, {"slug": "a" * 41}, {"slug": "a\n"},
    {"name": ""}, {"name": "x" * 201}, {"name": "a\x00b"}, {"legal_name": "x" * 201}, {"legal_name": "a\nb"},
    {"country": "de"}, {"country": "DEU"}, {"country": "1A"}, {"email": "nobody"}, {"email": "a b@c"}, {"email": "a@" + "b" * 300},
    {"terms_days": -1}, {"terms_days": 4000}, {"tolerance_units": -1}, {"reseller": "fine"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_tenant_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"slug": "fine", "name": "Fine", "attribution": Attribution.OBSERVED}
    Tenant(**right, legal_name="Fine Ltd", country="AU", email="a@b.example", terms_days=0)
    with pytest.raises(Invalid):
        Tenant(**{**right, **wrong})


def test_a_label_means_one_tenant_in_a_source_at_a_moment(registrar: Registrar, database: Database) -> None:
    registrar.add(tenant("acme"), ["train", "berlin:serve"], actor="ops")
    with pytest.raises(Conflict, match="label train means another tenant"):
        registrar.add(tenant("beta"), ["other", "train"], actor="ops")
    with database.transaction() as session:
        with pytest.raises(NotFound):
            store.by_slug(session, "beta")
        assert len(store.claims(session)) == 2, "beta's first label was not kept either"
    registrar.add(tenant("beta"), ["paris:serve"], actor="ops")
    with database.transaction() as session:
        assert store.labels_of(session, store.by_slug(session, "acme").id) == ["berlin:serve", "train"]


def test_the_database_refuses_a_second_meaning_by_itself(registrar: Registrar, database: Database) -> None:
    registrar.add(tenant("acme"), ["train"], actor="ops")
    registrar.add(tenant("beta"), [], actor="ops")
    with pytest.raises(Conflict, match="the database refused"), database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant_claim (tenant_id, source, label, during)"
                " SELECT (SELECT id FROM tenant WHERE slug = 'beta'), source, label, tstzrange(now(), '9999-01-01')"
                " FROM tenant_claim"
            )
        )


def test_resellers_are_one_level_deep(registrar: Registrar) -> None:
    registrar.add(tenant("orbit"), [], actor="ops")
    registrar.add(tenant("delta", reseller="orbit"), [], actor="ops")
    with pytest.raises(Invalid, match="one level deep"):
        registrar.add(tenant("gamma", reseller="delta"), [], actor="ops")
    with pytest.raises(NotFound, match="no tenant nobody"):
        registrar.add(tenant("gamma", reseller="nobody"), [], actor="ops")
    with pytest.raises(Conflict, match="exists already"):
        registrar.add(tenant("orbit"), [], actor="ops")


def test_a_key_is_kept_as_its_digest_alone_and_ends_when_revoked(
    registrar: Registrar, database: Database, clock: ManualClock
) -> None:
    registrar.add(tenant("acme"), [], actor="ops")
    plain = registrar.create_key(name="acme's portal", role=KeyRole.TENANT, tenant="acme", actor="ops")
    with database.transaction() as session:
        rows = session.execute(
            text("SELECT api_key::text FROM api_key UNION ALL SELECT trail::text FROM trail")
        ).scalars()
        kept = " ".join(rows)
        assert digest_of(plain) in kept and plain not in kept and plain.rpartition("_")[2] not in kept
    bearer = registrar.authenticate(plain)
    assert bearer is not None and (bearer.role, bearer.tenant) == (KeyRole.TENANT, "acme")
    assert registrar.authenticate(plain + "x") is None and registrar.authenticate("") is None
    clock.move_to(at(5))
    registrar.revoke_key(plain.split("_")[1], actor="ops")
    assert registrar.authenticate(plain) is None
    clock.move_to(at(9))
    registrar.revoke_key(plain.split("_")[1], actor="ops")
    with database.transaction() as session:
        (row,) = store.keys(session)
    assert row["revoked_at"] == at(5), "revoking twice changes nothing"


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines"])
def test_a_key_without_a_proper_name_is_refused(registrar: Registrar, name: str) -> None:
    with pytest.raises(Invalid, match="printable name"):
        registrar.create_key(name=name, role=KeyRole.FINANCE, tenant="", actor="ops")


def test_the_tax_of_many_is_the_tax_of_each(registrar: Registrar, database: Database) -> None:
    for slug in ("acme", "beta", "untaxed"):
        registrar.add(tenant(slug), [], actor="ops")
    for day, slug, rate in ((1, "acme", "0.19"), (2, "beta", "0.20"), (3, "acme", "0.07")):
        rule = TaxRule(TaxKind.STANDARD, "VAT", Decimal(rate))
        registrar.set_tax(slug, TaxChange(rule, at(0, day=day), "contract"), actor="ops")
    wanted = {1: {"acme": "0.19"}, 2: {"acme": "0.19", "beta": "0.2"}, 3: {"acme": "0.07", "beta": "0.2"}}
    with database.transaction() as session:
        everybody = {one.id: one.slug for one in store.listed(session)}
        for day, rates in wanted.items():
            found = store.taxes_of(session, everybody, at(1, day=day))
            assert {everybody[one]: str(rule.rate) for one, rule in found.items()} == rates
            assert all(store.tax_of(session, one, at(1, day=day)) == found.get(one) for one in everybody)
        assert store.taxes_of(session, [], at(0)) == {}
