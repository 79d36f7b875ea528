"""What once was seen stays seen; what changed while something else was running is not forgotten; nothing is billed out of
service. Each of these took money from somebody before it was tested."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Unavailable
from billing.core.period import FOREVER, Span, month
from billing.db.engine import Database
from billing.db.roles import Role
from billing.fleet import store as fleet
from billing.fleet.gpu import Device, DeviceKey, gpu_seat
from billing.invoicing.drafter import Drafter
from billing.leasing.leaser import Leaser
from billing.metering import coverage, deriver, recorder
from billing.metering.collector import Collector
from billing.metering.coverage import Seen, State
from billing.metering.exporters import LabelRules, exporter_named
from billing.metering.reading import Cadence
from billing.metering.sources.access import Access
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from billing.metering.store import readings
from billing.metering.store.scrapes import ScrapeLog
from billing.tenants.registrar import Registrar
from tests.factories import H100, OPERATOR, ScriptedSource, add_tenants, at, collector, second, tenant
from tests.metering.test_collector import GPU, GPU2, conserved, rows, usage
from tests.parts import http_server, prometheus

ALWAYS = (0, 10**10)
OCTOBER = month(2026, 10)


def drain(one: Collector) -> None:
    while one.tick(240).windows:
        pass


def leased(database: Database, clock: ManualClock, since: float = 0, uuid: str = "GPU-1") -> Leaser:
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    leaser = Leaser(database, clock)
    leaser.add("acme", Span(at(since), FOREVER), uuids=[uuid], reference="L", actor="test")
    return leaser


def test_a_server_that_lost_its_samples_takes_nothing_back(database: Database) -> None:
    clock = ManualClock(at(5.1))
    add_tenants(database, clock, "acme")
    source = ScriptedSource({GPU: [(*ALWAYS, "acme")]}, up=[ALWAYS])
    one = collector(database, clock, source)
    drain(one)
    source.up = []
    one.collect(Span(at(0), at(5)))
    assert usage(database) == [("acme", 0, 5 * 3600, "observed")] and conserved(database, 5) == {"billed": 5 * 3600}
    assert rows(database, "SELECT DISTINCT reason FROM reading WHERE superseded_at IS NULL") == [
        ("a later reading saw less than an earlier one: what was seen is kept",)
    ]


def test_a_later_reading_adds_and_relabels_and_keeps_the_rest(database: Database) -> None:
    clock = ManualClock(at(5.1))
    add_tenants(database, clock, "acme", "beta")
    first = {GPU: [(second(0), second(2), "acme")], GPU2: [(*ALWAYS, "")]}
    source = ScriptedSource(first, up=[ALWAYS])
    one = collector(database, clock, source)
    drain(one)
    source.devices = {GPU: [(second(1), second(4), "beta")], GPU2: [(*ALWAYS, "")]}
    one.collect(Span(at(0), at(5)))
    found = usage(database)
    assert [(slug, round(a / 3600), round(b / 3600)) for slug, a, b, _ in found] == [("acme", 0, 1), ("beta", 1, 4)]
    assert sum(conserved(database, 5).values()) == 10 * 3600


def test_a_lease_added_while_another_one_is_derived_is_derived_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(at(10.1))
    one = collector(database, clock, ScriptedSource({GPU: [(*ALWAYS, "")], GPU2: [(*ALWAYS, "")]}, up=[ALWAYS]))
    drain(one)
    leaser = leased(database, clock)
    derive = deriver.rederive

    def meanwhile(*given: Any) -> int:
        if not rows(database, "SELECT 1 FROM lease WHERE reference = 'M'"):
            leaser.add("acme", Span(at(0), FOREVER), uuids=["GPU-2"], reference="M", actor="test")
        return derive(*given)

    monkeypatch.setattr("billing.metering.collector.rederive", meanwhile)
    one.apply_changes()
    assert rows(database, "SELECT reference FROM lease WHERE changed IS NOT NULL") == [("M",)]
    one.apply_changes()
    assert usage(database) == [("acme", 0, 36_000, "lease")] * 2


def test_a_window_read_by_hand_waits_for_the_daemon_that_writes(database: Database) -> None:
    clock = ManualClock(at(4.1))
    add_tenants(database, clock, "acme")
    one = collector(database, clock, ScriptedSource({GPU: [(*ALWAYS, "acme")]}, up=[ALWAYS]))
    drain(one)
    done = threading.Event()

    def by_hand() -> None:
        one.collect(Span(at(1), at(2)))
        done.set()

    with database.transaction() as session:
        readings.lock(session)
        hand = threading.Thread(target=by_hand)
        hand.start()
        assert not done.wait(0.5)
    hand.join(20)
    assert done.is_set() and usage(database) == [("acme", 0, 4 * 3600, "observed")]


def test_an_exclusion_is_measured_whole_across_the_end_of_a_month(database: Database) -> None:
    end = 744
    gap = (second(end) - 600, second(end) + 600)
    clock = ManualClock(at(end + 3.2))
    devices = {GPU: [(0, gap[0], ""), (gap[1], ALWAYS[1], "")], GPU2: [(*ALWAYS, "")]}
    one = collector(database, clock, ScriptedSource(devices, up=[ALWAYS]), rule=OPERATOR, since=at(end - 3))
    drain(one)
    leased(database, clock, since=end - 2)
    one.tick()
    ((seconds,),) = rows(
        database,
        "SELECT sum(extract(epoch FROM upper(during) - lower(during)))::int FROM exclusion WHERE superseded_at IS NULL",
    )
    assert 1080 <= seconds <= 1260


def test_an_exclusion_that_late_samples_made_too_short_is_taken_back_whole(database: Database) -> None:
    gap = (second(2) - 600, second(2) + 1200)
    clock = ManualClock(at(3.2))
    source = ScriptedSource({GPU: [(0, gap[0], ""), (gap[1], ALWAYS[1], "")], GPU2: [(*ALWAYS, "")]}, up=[ALWAYS])
    one = collector(database, clock, source, rule=OPERATOR)
    drain(one)
    leased(database, clock)
    one.tick()
    assert len(usage(database)) == 2
    source.devices = {GPU: [(0, gap[0], ""), (second(2) + 7, ALWAYS[1], "")], GPU2: [(*ALWAYS, "")]}
    one.collect(Span(at(2), at(3)))
    assert rows(database, "SELECT count(*) FROM exclusion WHERE superseded_at IS NULL") == [(0,)]
    assert usage(database) == [("acme", 0, 3 * 3600, "lease")]


def test_a_retired_gpu_is_not_billed_and_its_exclusions_stay(database: Database) -> None:
    clock = ManualClock(at(2.2))
    source = ScriptedSource({GPU: [(0, second(3), "")], GPU2: [(*ALWAYS, "")]}, up=[ALWAYS])
    one = collector(database, clock, source, rule=OPERATOR)
    drain(one)
    leased(database, clock)
    clock.move_to(at(10.2))
    drain(one)
    with database.transaction() as session:
        fleet.retire(session, "GPU-1", at(6))
    one.apply_changes(at(6))
    for hour in (12, 20, 40):
        clock.move_to(at(hour + 0.2))
        drain(one)
    ((slug, start, end, basis),) = usage(database)
    assert (slug, start, basis) == ("acme", 0, "lease") and abs(end - 3 * 3600) <= 60
    found = conserved(database, 40)
    assert found["excluded"] == 6 * 3600 - end and found["billed"] == end
    assert found["idle"] == 40 * 3600


def test_a_retired_gpu_that_is_seen_again_is_reported(database: Database) -> None:
    clock = ManualClock(at(2.2))
    one = collector(database, clock, ScriptedSource({GPU: [(*ALWAYS, "")]}, up=[ALWAYS]))
    drain(one)
    with database.transaction() as session:
        fleet.retire(session, "GPU-1", at(1))
    clock.move_to(at(3.2))
    drain(one)
    assert any("was retired at" in reason for (reason,) in rows(database, "SELECT reason FROM reading"))


def drafter_refuses(database: Database, now: ManualClock, words: str) -> None:
    with database.transaction() as session, pytest.raises(Conflict, match=words):
        Drafter(database, ["script"]).require_complete(session, OCTOBER, now.now())


def test_a_period_is_not_complete_while_leases_and_labels_wait_to_be_derived(database: Database) -> None:
    clock = ManualClock(at(5))
    one = collector(database, clock, ScriptedSource({GPU: [(*ALWAYS, "")]}, up=[ALWAYS], interval=3600))
    one.tick()
    leaser = leased(database, clock)
    clock.move_to(at(30, day=31) + timedelta(days=1))
    drain(one)
    leaser.end("L", at(100), actor="test")
    drafter_refuses(database, clock, "usage does not reflect it yet")
    one.tick()
    with database.transaction() as session:
        Drafter(database, ["script"]).require_complete(session, OCTOBER, clock.now())


def test_a_period_is_not_complete_with_leased_time_from_before_its_source_was_read(database: Database) -> None:
    clock = ManualClock(at(250))
    source = ScriptedSource({GPU: [(*ALWAYS, "")]}, up=[ALWAYS], interval=3600)
    one = collector(database, clock, source, since=at(240))
    drain(one)
    leased(database, clock)
    clock.move_to(at(30, day=31) + timedelta(days=1))
    drain(one)
    drafter_refuses(database, clock, "is leased from 2026-10-01T00:00:00Z, before script was read; set since")


def test_a_period_is_not_complete_before_its_last_windows_were_read_once_more(database: Database) -> None:
    end = OCTOBER.end
    clock = ManualClock(end + timedelta(hours=0.2))
    add_tenants(database, clock, "acme")
    source = ScriptedSource({GPU: [(*ALWAYS, "acme")]}, up=[ALWAYS])
    one = collector(database, clock, source, since=end - timedelta(hours=5))
    drain(one)
    clock.move_to(end + timedelta(hours=24, seconds=5))
    drafter_refuses(database, clock, "must be read once more from")
    drain(one)
    with database.transaction() as session:
        Drafter(database, ["script"]).require_complete(session, OCTOBER, clock.now())


def test_a_source_without_a_single_device_is_empty_and_says_so(database: Database) -> None:
    clock = ManualClock(at(2.2))
    drain(collector(database, clock, ScriptedSource({}, up=[ALWAYS])))
    assert rows(database, "SELECT DISTINCT status, reason FROM reading") == [
        ("empty", "the source answered without a single device")
    ]


def test_a_refusal_in_a_copy_is_a_conflict_and_holds_up_no_other_source(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme")
    broken = ScriptedSource({GPU: [(*ALWAYS, "acme")]}, up=[ALWAYS], name="broken")
    sound = ScriptedSource({GPU2: [(*ALWAYS, "acme")]}, up=[ALWAYS], name="sound")
    one = collector(database, clock, broken, sound)
    record = recorder.record

    def refused(session: Any, terms: Any, *given: Any) -> int:
        if terms.name == "broken":
            session.connection().connection.cursor().execute("INSERT INTO source (name, type, since, failure)"
                                                             " VALUES ('sound', 'x', now(), ''), ('sound', 'x', now(), '')")  # fmt: skip
        return record(session, terms, *given)

    monkeypatch.setattr("billing.metering.collector.record", refused)
    assert one.tick().failures == 1
    assert [row[1:] for row in usage(database)] == [(0, 3 * 3600, "observed")]


@pytest.mark.parametrize("own", ["my-gpu-exporter", "nvidia-exporter", "dcgm-exporter"])
def test_a_tenant_does_not_escape_by_naming_its_container_like_the_exporter(own: str) -> None:
    rules = LabelRules(exporter_named("dcgm"))
    scraper = {"namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x", "container": "nvidia-dcgm-exporter"}
    scoped = {"UUID": "GPU-1", "exported_namespace": "acme", "exported_pod": "train-0", "exported_container": own}
    sample = rules.sample({**scoped, **scraper}, "n:1")
    honoured = rules.sample({"UUID": "GPU-1", "namespace": "acme", "pod": "train-0", "container": own}, "n:1")
    assert sample is not None and honoured is not None and sample.label == honoured.label == "acme"


@pytest.mark.parametrize("container", ["exporter", "nvidia-dcgm-exporter", ""])
def test_the_exporters_own_pod_holds_nothing(container: str) -> None:
    labels = {"UUID": "GPU-1", "namespace": "monitoring", "pod": "dcgm-exporter-abcde", "container": container}
    sample = LabelRules(exporter_named("dcgm")).sample(labels, "n:1")
    assert sample is not None and sample.label == ""


def test_a_restarted_daemon_still_tells_missing_from_blind(tmp_path: Path) -> None:
    lines, up = ["# TYPE DCGM_FI_DEV_GPU_TEMP gauge"], ["# TYPE up gauge"]
    for t in range(second(0), second(4), 60):
        up.append(f'up{{job="gpu (east)",instance="n1:9400"}} 1 {t}')
        if t < second(2):
            lines.append(
                f'DCGM_FI_DEV_GPU_TEMP{{job="gpu (east)",instance="n1:9400",Hostname="n1",modelName="{H100}",UUID="GPU-a"}} 30 {t}'
            )
    with prometheus(tmp_path / "p", "\n".join([*lines, *up, "# EOF", ""])) as url:
        settings = PrometheusSettings(name="p", access=Access(url), cadence=Cadence(60_000, 150_000))
        same, again = PrometheusSource(settings), PrometheusSource(settings)
        same.read((second(1), second(2)))
        wanted = same.read((second(3), second(4))).answering
        assert wanted and again.read((second(3), second(4))).answering == wanted
        same.close()
        again.close()


PAGE = f'DCGM_FI_DEV_GPU_TEMP{{gpu="0",UUID="GPU-1",modelName="{H100}",Hostname="n1"}} 30\n'.encode()


def scraper(database: Database, *targets: str, timeout: int = 5) -> DcgmSource:
    settings = DcgmSettings(name="pages", targets=targets, cadence=Cadence(15_000, 40_000), timeout_seconds=timeout)
    return DcgmSource(settings, ScrapeLog(database))


def test_scrapes_whose_commit_failed_are_written_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(lambda path, body: (200, PAGE)) as url:
        source = scraper(database, url + "/metrics")
        source.scrape(second(1) * 1000)
        transaction = database.transaction

        @contextmanager
        def failing() -> Iterator[Any]:
            with transaction() as session:
                yield session
                session.connection().connection.driver_connection.close()  # type: ignore[union-attr]

        monkeypatch.setattr(database, "transaction", failing)
        with pytest.raises(Unavailable):
            source.flush()
        monkeypatch.setattr(database, "transaction", transaction)
        source.scrape(second(1) * 1000 + 15_000)
        source.flush()
        assert rows(database, "SELECT uuid, samples FROM scrape_run ORDER BY uuid") == [("", 2), ("GPU-1", 2)]
        source.close()


def test_a_page_that_drips_for_ever_is_given_up(database: Database) -> None:
    server, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
            while not stop.wait(0.2):
                try:
                    connection.sendall(b"#")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    target = f"http://127.0.0.1:{server.getsockname()[1]}/metrics"
    source = scraper(database, target, timeout=1)
    found = source.scrape(second(1) * 1000)
    stop.set()
    thread.join()
    server.close()
    source.close()
    assert found.failed == {target: "page did not end in time"}


def test_a_role_whose_taking_failed_can_be_taken_by_another(database: Database, database_url: str) -> None:
    with database.transaction() as session:
        session.execute(text("ALTER TABLE role RENAME TO away"))
    mine = Role(Database(database_url), "collector", "me")
    with pytest.raises(Unavailable):
        mine.acquire(at(0))
    with database.transaction() as session:
        session.execute(text("ALTER TABLE away RENAME TO role"))
    other = Role(Database(database_url), "collector", "other")
    assert other.acquire(at(1))
    other.release()


def test_a_model_that_is_not_named_once_does_not_unname_a_gpu(database: Database) -> None:
    clock = ManualClock(at(2.2))
    source = ScriptedSource({GPU: [(*ALWAYS, "")]}, up=[ALWAYS])
    one = collector(database, clock, source)
    drain(one)
    read = source.read

    def nameless(window: Any) -> Any:
        reading = read(window)
        for device in reading.devices.values():
            device.model = "unknown"
        return reading

    source.read = nameless  # type: ignore[method-assign]
    clock.move_to(at(3.2))
    drain(one)
    assert rows(database, "SELECT model FROM gpu") == [(H100,)]


def test_reused_instance_ids_are_billed_on_the_slots_that_were_free(database: Database) -> None:
    """Five layouts one after the other (1g, 4g, 1g + 4g, 4g + 3g, 1g + 3g): everybody who was there is billed."""
    add_tenants(database, ManualClock(at(0)), "xx", "yy", "zz")
    one, four, three = (
        DeviceKey("GPU-1", number, profile)
        for number, profile in (("1", "1g.10gb"), ("2", "4g.40gb"), ("3", "3g.40gb"))
    )

    def hours(start: int, end: int, label: str) -> tuple[int, int, str]:
        return second(start), second(end), label

    script = {
        one: [hours(0, 1, "xx"), hours(2, 3, "xx"), hours(4, 6, "xx")],
        four: [hours(1, 2, "yy"), hours(2, 3, "yy"), hours(3, 4, "yy")],
        three: [hours(3, 4, "zz"), hours(4, 6, "zz")],
    }
    source = ScriptedSource(script, up=[ALWAYS])
    for hour in range(1, 7):
        collector(database, ManualClock(at(hour + 0.2)), source).tick(1)
    billed = dict(
        rows(
            database,
            "SELECT t.slug, sum(extract(epoch FROM upper(during) - lower(during)))::int FROM usage u"
            " JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL GROUP BY 1",
        )
    )
    assert {slug: round(seconds / 3600) for slug, seconds in billed.items()} == {"xx": 4, "yy": 3, "zz": 3}
    conserved(database, 6)


def test_an_instance_that_is_seen_on_another_seat_now_was_there_once() -> None:
    """Its earlier presence is not kept beside the new one: it would be billed twice."""
    key, service = DeviceKey("G", "8", "1g.10gb"), (0, 10**9)
    whole = Device(1, DeviceKey("G"), 1, gpu_seat(1), H100, "n1", "i", "s", service)
    before, now = (
        Device(number, key, 1, (840 + number * 105, 945 + number * 105), H100, "n1", "i", "s", service)
        for number in (2, 3)
    )
    seen = (0, 3600, Seen(State.PRESENT, ("acme",)))
    observed = {now.id: [seen]}
    assert coverage.keep(observed, {before.id: [seen]}, [whole, before, now], (0, 3600)) is False
    assert observed == {now.id: [seen]}
