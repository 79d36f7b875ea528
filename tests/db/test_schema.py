"""The database refuses what the design says it refuses."""

from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import text

from billing.core.errors import Conflict, Unavailable
from billing.db import catalog, migrate
from billing.db.engine import Database
from billing.db.roles import Role
from billing.tenants import store as tenants
from billing.web.idempotency import Joined
from tests.factories import at, tenant

NOW = datetime(2026, 10, 1, tzinfo=UTC)


def test_migrations_make_exactly_the_schema_that_the_code_declares(database: Database) -> None:
    assert catalog.differences(database) == []
    assert migrate.current(database) == migrate.newest()


def test_a_missing_guard_is_named(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER append_only ON trail"))
        connection.execute(text("ALTER TABLE gpu ADD COLUMN colour text"))
    assert catalog.differences(database) == [
        "missing: trigger trail.append_only",
        "unexpected: column gpu.colour",
    ]


def test_a_trial_keeps_nothing(database: Database) -> None:
    for trial, kept in ((True, 0), (False, 1)):
        with database.transaction(trial=trial) as session:
            tenants.add(session, tenant("acme"), at(0))
        with database.transaction() as session:
            assert session.execute(text("SELECT count(*) FROM tenant")).scalar_one() == kept
    with database.transaction() as session:
        with Joined(session).transaction(trial=True):
            tenants.add(session, tenant("beta"), at(0))
        assert session.execute(text("SELECT count(*) FROM tenant")).scalar_one() == 1


def test_an_unreachable_database_is_unavailable_not_a_traceback() -> None:
    database = Database("postgresql://127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="cannot be reached"), database.transaction() as session:
        session.execute(text("SELECT 1"))


def usage(session: object, device: int, seat: str, during: str) -> None:
    session.execute(  # type: ignore[attr-defined]
        text(
            "INSERT INTO usage (tenant_id, device_id, seat, during, basis, recorded_at)"
            " VALUES (1, :device, CAST(:seat AS int8range), CAST(:during AS tstzrange), 'observed', now())"
        ),
        {"device": device, "seat": seat, "during": during},
    )


@pytest.fixture
def fleet(database: Database) -> Database:
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant (slug, name, legal_name, country, email, attribution, tolerance_units, terms_days, created_at)"
                " VALUES ('a', 'A', '', '', '', 'observed', 1, 14, now());"
                "INSERT INTO gpu (uuid, model, host, instance, source, in_service, last_seen_at)"
                " VALUES ('GPU-1', 'H100', 'n1', 'n1:9400', 's', tstzrange(now(), '9999-01-01'), now());"
                "INSERT INTO device (gpu_id, gpu_i_id, profile, seat, first_seen_at, last_seen_at)"
                " VALUES (1, '', '', '[840,1680)', now(), now()), (1, '7', '1g.10gb', '[840,945)', now(), now());"
            )
        )
    return database


OCTOBER = "[2026-10-01T00:00Z,2026-11-01T00:00Z)"
LATE_OCTOBER = "[2026-10-31T23:00Z,2026-11-02T00:00Z)"


def test_one_gpu_one_moment_one_payer(fleet: Database) -> None:
    with fleet.transaction() as session:
        usage(session, 1, "[840,1680)", OCTOBER)
    with pytest.raises(Conflict, match="ex_usage_one_payer"), fleet.transaction() as session:
        usage(session, 1, "[840,1680)", LATE_OCTOBER)


def test_a_mig_instance_cannot_be_billed_beside_its_whole_gpu(fleet: Database) -> None:
    with fleet.transaction() as session:
        usage(session, 1, "[840,1680)", OCTOBER)
    with pytest.raises(Conflict, match="ex_usage_one_payer"), fleet.transaction() as session:
        usage(session, 2, "[840,945)", LATE_OCTOBER)


def test_a_corrected_run_is_superseded_not_deleted(fleet: Database) -> None:
    with fleet.transaction() as session:
        usage(session, 1, "[840,1680)", OCTOBER)
    with pytest.raises(Conflict, match="never deleted"), fleet.transaction() as session:
        session.execute(text("DELETE FROM usage"))
    with pytest.raises(Conflict, match="frozen but for"), fleet.transaction() as session:
        session.execute(text("UPDATE usage SET tenant_id = 2"))
    with pytest.raises(Conflict, match="only grows at its end"), fleet.transaction() as session:
        session.execute(text("UPDATE usage SET during = tstzrange(lower(during), upper(during) - interval '1 s')"))
    with fleet.transaction() as session:
        session.execute(text("UPDATE usage SET superseded_at = now()"))
        usage(session, 1, "[840,1680)", LATE_OCTOBER)


@pytest.mark.parametrize(
    "table", ["trail", "entry", "posting", "charge", "invoice_line", "invoice", "usage", "transfer"]
)
def test_history_cannot_be_truncated(database: Database, table: str) -> None:
    with pytest.raises(Conflict, match="append only"), database.transaction() as session:
        session.execute(text(f"TRUNCATE {table} CASCADE"))


@pytest.mark.parametrize(
    "postings", ["", "(1, 'a', 'USD', 5), (1, 'b', 'USD', -4)", "(1, 'a', 'USD', 5), (1, 'b', '1:USDC', -5)"]
)
def test_an_entry_that_does_not_balance_per_asset_cannot_be_committed(database: Database, postings: str) -> None:
    with pytest.raises(Conflict, match=r"no postings|does not balance"), database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO entry (kind, booked_on, happened_at, memo, created_at) VALUES ('x', now(), now(), '', now())"
            )
        )
        if postings:
            session.execute(text(f"INSERT INTO posting (entry_id, account, asset, units) VALUES {postings}"))


def test_a_role_has_one_holder_and_an_old_holder_is_fenced(database: Database, database_url: str) -> None:
    other = Database(database_url)
    first, second = Role(database, "collector", "a"), Role(other, "collector", "b")
    assert first.acquire(NOW) and first.acquire(NOW) and not second.acquire(NOW)
    with database.transaction() as session:
        first.check(session)
    _cut_off(database_url)
    assert second.acquire(NOW)
    with other.transaction() as session:
        second.check(session)
    with pytest.raises(Conflict, match="taken over"), database.transaction() as session:
        first.check(session)
    second.release()
    other.close()


def _cut_off(database_url: str) -> None:
    """Kill every other connection, as a network cut would."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
