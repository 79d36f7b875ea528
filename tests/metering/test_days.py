"""Conservation is stored by day and GPU, and again when a day changes."""

from datetime import timedelta

import pytest

from billing.core.clock import ManualClock
from billing.core.errors import Invalid
from billing.core.period import Span
from billing.db.engine import Database
from billing.leasing.leaser import Leaser
from billing.metering.conserver import Conserver
from billing.metering.reporter import MeterReporter, suggested
from billing.metering.store.days import By
from billing.tenants.registrar import Registrar
from tests.factories import ScriptedSource, add_tenants, at, collector, no_fence, second, tenant
from tests.metering.test_collector import GPU, GPU2

FIRST = Span(at(0), at(24))


def stored(database: Database, by: By = By.DAY, span: Span = FIRST) -> list[dict[str, object]]:
    return MeterReporter(database).days(span, by)


def test_a_day_is_stored_when_it_is_over_and_again_when_it_changes(database: Database) -> None:
    clock = ManualClock(at(20.1))
    add_tenants(database, clock, "acme")
    script = {GPU: [(0, 10**10, "acme")], GPU2: [(0, second(12), "who"), (second(13), 10**10, "")]}
    collecting = collector(database, clock, ScriptedSource(script, up=[(0, 10**10)]))
    conserver = Conserver(database, clock, no_fence)
    collecting.tick()
    assert conserver.tick() is False and stored(database) == [], "the day is not over"
    clock.advance(timedelta(hours=5))
    collecting.tick()
    assert (conserver.tick(), conserver.tick()) == (True, False)
    (day,) = stored(database)
    assert day["key"] == "2026-10-01" and day["gpus"] == 2 and day["whole"] == 2 * 86400
    assert day["billed"] == 86400 and abs(int(str(day["unattributed"])) - 12 * 3600) <= 60
    parts = ("billed", "excluded", "disputed", "idle", "unattributed", "missing", "blind", "unread")
    assert sum(int(str(day[name])) for name in parts) == day["whole"] and day["unread"] == 0
    live = MeterReporter(database).conserved(FIRST)
    assert {name.value: amount for name, amount in live.gpu_seconds.items()} == {name: day[name] for name in parts}
    assert [row["key"] for row in stored(database, By.GPU)] == ["GPU-1", "GPU-2"]
    assert [(row["key"], row["whole"]) for row in stored(database, By.HOST)] == [("n1", 2 * 86400)]
    Registrar(database, clock).add(tenant("beta", "lease"), [], actor="test")
    Leaser(database, clock).add("beta", Span(at(0), at(24)), uuids=["GPU-2"], reference="L", actor="test")
    collecting.apply_changes()
    assert conserver.tick() is True
    assert stored(database)[0]["billed"] == 2 * 86400
    with pytest.raises(Invalid, match="whole days"):
        stored(database, span=Span(at(1), at(24)))


def test_the_day_of_a_gpu_names_the_host_that_it_was_on_then(database: Database) -> None:
    clock = ManualClock(at(25.1))
    first = ScriptedSource({GPU: [(0, second(25), "")]}, up=[(0, 10**10)])
    collector(database, clock, first).tick()
    collector(database, clock, first).tick()
    with database.transaction() as session:
        from sqlalchemy import text

        session.execute(text("UPDATE gpu SET host = 'elsewhere'"))
    assert Conserver(database, clock, no_fence).tick() is True
    assert [row["key"] for row in stored(database, By.HOST)] == ["n1"]


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("acme-prod", "stablemeter tenant label acme west:acme-prod"),
        ("acme_prod", "stablemeter tenant label acme west:acme_prod"),
        ("zeppelin", "stablemeter tenant add zeppelin --label west:zeppelin"),
        ("a b; rm -rf /", "stablemeter tenant add a-b-rm-rf --label 'west:a b; rm -rf /'"),
        ("***", "stablemeter tenant add NAME --label 'west:***'"),
    ],
)
def test_an_unknown_label_comes_with_what_to_type(label: str, wanted: str) -> None:
    assert suggested("west", label, {"acme-production": "acme", "beta": "beta", "acme": "acme"}) == wanted


def test_the_status_of_a_source_that_fell_silent_says_since_when(database: Database) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme")
    script = {GPU: [(0, 10**10, "acme")], GPU2: [(0, 10**10, "acme-prod")]}
    collector(database, clock, ScriptedSource(script, up=[(0, 10**10)])).tick()
    (row,) = MeterReporter(database).status(clock.now())["sources"]
    assert (row["read_until"], row["lag_seconds"], row["gpus"], row["unattributed_gpus"]) == (at(2), 360, 2, 1)
    (unknown,) = MeterReporter(database).status(clock.now())["unknown_labels"]
    assert unknown["suggestion"] == "stablemeter tenant label acme script:acme-prod"
    clock.advance(timedelta(days=60))
    (row,) = MeterReporter(database).status(clock.now())["sources"]
    assert (row["read_until"], row["windows"]) == (at(2), 0)
