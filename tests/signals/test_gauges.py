"""Gauges say how things are. One that nobody reads would be an alarm that never rings."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from billing.telemetry.metrics import GAUGES
from billing.tenants.keys import KeyRole
from tests.signals.filled import filled
from tests.web.scene import Scene


def readings(scene: Scene) -> dict[str, dict[tuple[str, ...], int]]:
    return {gauge.name.removeprefix("stablemeter_"): dict(rows) for gauge, rows in scene.app.gauger.read().items()}


def run(scene: Scene, sql: str, **values: Any) -> None:
    with scene.app.database.transaction() as session:
        session.execute(text(sql), values)


def test_every_gauge_is_filled(scene: Scene) -> None:
    filled(scene)
    found = scene.app.gauger.read()
    assert set(found) == set(GAUGES)
    assert [gauge.name for gauge, rows in found.items() if not list(rows)] == []


def test_a_fresh_database_has_gauges_too(scene: Scene) -> None:
    found = readings(scene)
    assert found["invoices_overdue"] == {(): 0} and found["transfers_unsettled_age_seconds"] == {(): 0}
    assert found["prepaid_tenants"] == {("good",): 0, ("low",): 0, ("exhausted",): 0}
    assert found["audit_age_seconds"] == found["conserved_age_seconds"] == {}, "nothing is known, which is not zero"


def test_money_is_told_in_whole_units_open_overdue_issued_and_received(scene: Scene) -> None:
    first, _ = scene.invoiced("acme", "beta")  # 20.00 USD each
    scene.pay(first, 12_500_000)
    scene.mine(3)
    found = readings(scene)
    assert found["issued_amount"] == {("USD",): 40}
    assert found["received_amount"] == {("USD",): 12}
    assert (found["open_amount"], found["overdue_amount"]) == ({("USD",): 27}, {("USD",): 0})
    assert found["invoices_overdue"] == {(): 0}
    scene.clock.advance(timedelta(days=15))
    late = readings(scene)
    assert (late["open_amount"], late["overdue_amount"]) == ({("USD",): 27}, {("USD",): 27})
    assert late["invoices_overdue"] == {(): 2}


def test_what_waits_has_an_age(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="x", actor="test")
    scene.pay(invoice, 1)
    scene.mine(3)
    scene.app.auditor.run(chains=False)
    before = readings(scene)
    assert before["exceptions_open"] == {("after_void",): 1}
    scene.clock.advance(timedelta(hours=5))
    after = readings(scene)
    for name, key in (
        ("exception_age_seconds", ("after_void",)),
        ("audit_age_seconds", ()),
        ("source_read_age_seconds", ("script",)),
        ("source_lag_seconds", ("script",)),
    ):
        assert after[name][key] - before[name][key] == 5 * 3600, name


def test_receivers_have_a_queue_and_what_was_given_up_counts_for_a_week(scene: Scene) -> None:
    scene.invoiced("acme")
    now = scene.clock.now()
    run(
        scene,
        "INSERT INTO delivery (notice_id, receiver, state, attempts, due_at, answer, done_at)"
        " SELECT id, r.name, r.state, 1, :now, '', CASE WHEN r.state = 'dead' THEN CAST(:now AS timestamptz) END FROM notice,"
        " (VALUES ('books', 'waiting'), ('gone', 'dead')) AS r (name, state) WHERE notice.id = (SELECT min(id) FROM notice)",
        now=now,
    )
    scene.clock.advance(timedelta(hours=1))
    found = readings(scene)
    assert found["deliveries_waiting"] == {("books",): 1, ("gone",): 0}
    assert found["deliveries_dead"] == {("books",): 0, ("gone",): 1}
    assert list(found["delivery_age_seconds"]) == [("books",)]
    scene.clock.advance(timedelta(days=8))
    assert readings(scene)["deliveries_dead"] == {("books",): 0}


def test_an_archive_that_cannot_be_written_is_told(scene: Scene) -> None:
    scene.app.archive.check()
    assert readings(scene)["archive_writable"] == {("archive 1",): 1}
    (directory,) = scene.app.archive.directories
    directory.rename(directory.with_name("elsewhere"))
    found = readings(scene)
    assert found["archive_writable"] == {("archive 1",): 0}
    assert set(found["disk_free_bytes"]) == {("data",)}, "the room of a directory that is not there is unknown"


def test_the_page_shows_them_and_no_path(scene: Scene) -> None:
    page = scene.client(KeyRole.OPERATOR).get("/metrics").text
    assert 'stablemeter_disk_free_bytes{place="data"}' in page and "stablemeter_info{version=" in page
    assert str(scene.app.settings.data_dir) not in page


def test_names_end_in_their_unit() -> None:
    assert all(one.name.startswith("stablemeter_") for one in GAUGES)
    assert not [one.name for one in GAUGES if one.name.endswith("_total")], "that ending is for counters"
