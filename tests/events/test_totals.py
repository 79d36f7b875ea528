"""What meters come to: whose events, at which price, whatever the order of arrival."""

import hashlib
import json
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.clock import ManualClock
from billing.core.errors import Invalid
from billing.core.period import Span, month
from billing.core.quantity import total
from billing.db.engine import Database
from billing.events import store
from billing.events.event import Form, decode
from billing.events.ingester import Ingester
from billing.events.meter import Meter
from billing.events.reporter import EventReporter
from billing.tenants import store as tenants
from billing.tenants.registrar import Registrar
from tests.events.pushed import CALLS, METERS, PEAK, STORED, TOKENS, body, event, meter
from tests.factories import add_tenants, at, tenant

OCTOBER = month(2026, 10)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(24, day=31))


@pytest.fixture
def ingester(database: Database, clock: ManualClock) -> Ingester:
    add_tenants(database, clock, "acme", "beta")
    return Ingester(database, clock, METERS)


def found(database: Database, *meters: Meter, cuts: list[Span] | None = None) -> dict[tuple[str, str], list[Decimal]]:
    """{(tenant, meter): quantities by span, what lies in none last}."""
    spans = {meter.name: cuts or [OCTOBER] for meter in METERS}
    with database.transaction() as session:
        names = {one.id: one.slug for one in tenants.listed(session)}
        result: dict[tuple[str, str], list[Decimal]] = {}
        for one in store.totals(session, meters or METERS, OCTOBER, spans):
            result.setdefault((names[one.tenant_id], one.meter), []).append(one.quantity)
        return result


def digests(database: Database) -> list[Any]:
    with database.transaction() as session:
        return store.totals(session, METERS, OCTOBER, {meter.name: [OCTOBER] for meter in METERS})


def when(hours: int) -> str:
    return at(hours).isoformat()


def test_a_sum_keeps_every_digit(database: Database, ingester: Ingester) -> None:
    big, small = "12345678901234567890123456789012345678", "0.000000000000000001"
    ingester.ingest(body(event("1", {"tokens": big}), event("2", {"tokens": small}), event("3", {"tokens": 2**53 + 1})),
                    Form.BATCH)  # fmt: skip
    (whole,) = found(database, TOKENS)["acme", "tokens"]
    assert str(whole) == f"{int(big) + 2**53 + 1}.000000000000000001"


def test_max_and_latest_are_of_each_subject_and_subjects_add_up(
    database: Database, ingester: Ingester, clock: ManualClock
) -> None:
    Registrar(database, clock).add(tenant("gamma"), ["events:disk-1", "events:disk-2"], actor="test")
    storage = [("disk-1", 0, 50), ("disk-1", 1, 80), ("disk-1", 2, 30), ("disk-2", 0, 7), ("acme", 5, 1)]
    ingester.ingest(
        body(
            *(
                event(str(n), {"gb": gb}, type="storage", subject=subject, time=when(hour))
                for n, (subject, hour, gb) in enumerate(storage)
            )
        ),
        Form.BATCH,
    )
    assert found(database, PEAK) == {("gamma", "peak"): [87], ("acme", "peak"): [1]}
    assert found(database, STORED) == {("gamma", "stored"): [37], ("acme", "stored"): [1]}


def test_a_price_date_cuts_a_sum_exactly_and_never_counts_a_maximum_twice(
    database: Database, ingester: Ingester
) -> None:
    cuts = [Span(OCTOBER.start, at(36)), Span(at(36), OCTOBER.end)]
    edge = at(36)
    moments = [edge - timedelta(microseconds=1), edge, edge + timedelta(hours=5)]
    events = [event(str(n), {"tokens": 10**n}, time=one.isoformat()) for n, one in enumerate(moments)]
    gauges = [event(f"g{n}", {"gb": 5 - n}, type="storage", time=one.isoformat()) for n, one in enumerate(moments)]
    ingester.ingest(body(*events, *gauges), Form.BATCH)
    assert found(database, cuts=cuts) == {
        ("acme", "tokens"): [1, 110],
        ("acme", "calls"): [1, 2],
        ("acme", "peak"): [5],
        ("acme", "stored"): [3],
    }


def test_the_ends_of_a_period_are_half_open(database: Database, ingester: Ingester) -> None:
    before = OCTOBER.start - timedelta(microseconds=1)
    times = [before, OCTOBER.start, OCTOBER.end - timedelta(microseconds=1), OCTOBER.end]
    ingester.ingest(body(*(event(str(n), time=one.isoformat()) for n, one in enumerate(times))), Form.BATCH)
    assert found(database, CALLS) == {("acme", "calls"): [2]}


def test_what_lies_in_no_span_is_told_apart(database: Database, ingester: Ingester) -> None:
    ingester.ingest(body(event("1", time=when(1)), event("2", time=when(40))), Form.BATCH)
    assert found(database, CALLS, cuts=[Span(at(36), OCTOBER.end)]) == {("acme", "calls"): [1, 1]}
    with database.transaction() as session:
        totals = store.totals(session, [CALLS], OCTOBER, {})
    assert [(one.span, one.first) for one in totals] == [(None, at(1))]


def test_a_claim_for_events_beats_one_for_every_source_and_both_beat_a_name(
    database: Database, ingester: Ingester, clock: ManualClock
) -> None:
    """Before a claim begins, a tenant's own name means the tenant."""
    registrar = Registrar(database, clock)
    registrar.add(tenant("gamma"), ["delta"], since=at(10), actor="test")
    registrar.add(tenant("delta"), [], actor="test")
    registrar.add(tenant("other"), ["events:delta"], since=at(20), actor="test")
    ingester.ingest(body(*(event(str(n), subject="delta", time=when(n)) for n in (0, 9, 10, 19, 20, 21))), Form.BATCH)
    assert {name: total for (name, _), total in found(database, CALLS).items()} == {
        "delta": [2],
        "gamma": [2],
        "other": [2],
    }


def test_a_claim_for_another_source_means_nothing_here(
    database: Database, ingester: Ingester, clock: ManualClock
) -> None:
    Registrar(database, clock).add(tenant("gamma"), ["brisbane:team"], actor="test")
    ingester.ingest(body(event("1", subject="team")), Form.BATCH)
    assert found(database) == {}


def test_events_count_once_their_tenant_or_their_meter_appears(
    database: Database, ingester: Ingester, clock: ManualClock
) -> None:
    early = Ingester(database, clock, [])
    early.ingest(body(event("1"), event("2", subject="late"), event("3", {"no": 1}), event("4", {"tokens": -5})),
                 Form.BATCH)  # fmt: skip
    assert found(database, TOKENS) == {("acme", "tokens"): [1]}, "what has no value is not counted as zero or less"
    add_tenants(database, clock, "late")
    assert found(database, TOKENS) == {("acme", "tokens"): [1], ("late", "tokens"): [1]}


def shuffled(seed: int) -> list[list[dict[str, Any]]]:
    """The same events in batches of any size and order, some of them more than once."""
    dice = random.Random(seed)
    events: list[dict[str, Any]] = []
    truth = random.Random(7)
    for n in range(120):
        kind, data = truth.choice([("inference", {"tokens": truth.choice([1, 2**60, "0.25"])}), ("storage", {"gb": 5})])
        moment = at(truth.choice([0, 1, 1, 36, 700]), day=1) + timedelta(microseconds=truth.randrange(3))
        events.append(event(str(n), data, type=kind, subject=truth.choice(["acme", "beta"]), time=moment.isoformat()))
    pushed = events + dice.sample(events, 40)
    dice.shuffle(pushed)
    batches = []
    while pushed:
        size = dice.randrange(1, 40)
        batches.append(pushed[:size])
        pushed = pushed[size:]
    return batches


def test_any_interleaving_of_duplicate_late_and_reordered_batches_comes_to_the_same(
    database: Database, ingester: Ingester
) -> None:
    """Digests too: they are of what counts, and gauges with equal times and values have one winner. Each order of arrival
    fills the table anew, in a transaction that is rolled back."""
    results = []

    class Undo(Exception):
        pass

    for seed in range(12):
        batches = shuffled(seed)
        with pytest.raises(Undo), database.transaction() as session:
            for one in batches:
                batch = decode(body(*one), Form.BATCH, at(24, day=31))
                store.add(session, batch, at(24, day=31))
                assert store.differing(session, batch, at(24, day=31)) == []
            results.append(store.totals(session, METERS, OCTOBER, {meter.name: [OCTOBER] for meter in METERS}))
            raise Undo
    assert len(results[0]) == 8 and all(one == results[0] for one in results)
    tokens = sum(Decimal(one["data"]["tokens"]) for one in {e["id"]: e for b in shuffled(0) for e in b}.values()
                 if one["type"] == "inference")  # fmt: skip
    assert sum(one.quantity for one in results[0] if one.meter == "tokens") == tokens


def test_hours_add_up_to_the_total_and_its_digest(database: Database, ingester: Ingester) -> None:
    ingester.ingest(body(*(event(str(n), {"tokens": n}, time=when(n % 5)) for n in range(20))), Form.BATCH)
    whole = next(one for one in digests(database) if one.meter == "tokens")
    with database.transaction() as session:
        rows = store.hours(session, TOKENS, whole.tenant_id, OCTOBER, OCTOBER)
    assert sum(Decimal(row["quantity"]) for row in rows) == whole.quantity == 190
    assert sum(row["events"] for row in rows) == whole.events == 20
    lines = "\n".join(f"{row['epoch']} {row['digest']}" for row in rows)
    assert hashlib.sha256(lines.encode()).hexdigest() == whole.digest
    first = sorted(str(n) for n in range(0, 20, 5))
    micros = int(datetime.fromisoformat(when(0)).timestamp()) * 1_000_000
    content = "\n".join(f"//gateway\t{n}\t{micros}\t{n}" for n in first)
    assert hashlib.sha256(content.encode()).hexdigest() == rows[0]["digest"], "as docs/document.md says"


def test_what_nothing_bills_yet_is_listed(database: Database, ingester: Ingester, clock: ManualClock) -> None:
    """Until its meter or its tenant appears; then it is gone from the list and counted."""
    blind = Ingester(database, clock, [])
    blind.ingest(
        body(
            event("1", type="new.kind"),
            event("2", subject="acme-prod", data={"tokens": 3}),
            event("3", data={"tokens": "none"}),
            event("4"),
            event("5", data={"tokens": 1.5}, type="old", time=at(1).isoformat()),
        ),
        Form.BATCH,
    )
    status = EventReporter(database, METERS).status(at(24, day=31))
    assert {one["name"]: (one["events"], one["unusable"]) for one in status["meters"]} == {
        "calls": (3, 0),
        "peak": (0, 0),
        "stored": (0, 0),
        "tokens": (3, 1),
    }
    assert [(one["type"], one["events"]) for one in status["unknown_types"]] == [("new.kind", 1), ("old", 1)]
    assert [(one["subject"], one["events"], one["suggestion"]) for one in status["unknown_subjects"]] == [
        ("acme-prod", 1, "acme")
    ]
    Registrar(database, clock).add(tenant("gamma"), ["events:acme-prod"], actor="test")
    assert EventReporter(database, METERS).status(at(24, day=31))["unknown_subjects"] == []
    assert EventReporter(database, [meter("$.tokens")]).status(at(24, day=31))["unknown_types"] != []


numbers = (
    st.integers(-5, 10**40)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-9, max_value=10**20).map(float)
    | st.from_regex(r"\A-?[0-9]{1,40}(\.[0-9]{0,20})?\Z")
    | st.floats(1e-30, 1e45)
    | st.text(max_size=5)
    | st.none()
    | st.booleans()
    | st.lists(st.integers(), max_size=1)
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(numbers, min_size=1, max_size=30))
def test_postgresql_counts_exactly_what_python_accepts_and_to_the_same_digit(
    database: Database, values: list[Any]
) -> None:
    """The one rule is written twice, in Python for what is pushed and in SQL for what is stored."""
    raw = [json.dumps(value) for value in values if "\x00" not in str(value)]
    content = (
        "["
        + ",".join(json.dumps(event(str(n), {"tokens": "X"})).replace('"X"', one) for n, one in enumerate(raw))
        + "]"
    )
    try:
        batch = decode(content.encode(), Form.BATCH, at(24, day=31))
    except Invalid:
        return
    accepted = []
    for one in batch.events:
        try:
            accepted.append(TOKENS.value_of(one.data))
        except Invalid:
            continue

    class Undo(Exception):
        pass

    with pytest.raises(Undo), database.transaction() as session:
        if tenants.listed(session) == []:
            tenants.add(session, tenant("acme"), at(0))
        store.add(session, batch, at(24, day=31))
        found = store.totals(session, [TOKENS], OCTOBER, {"tokens": [OCTOBER]})
        assert [(one.quantity, one.events) for one in found] == ([(total(accepted), len(accepted))] if accepted else [])
        raise Undo
