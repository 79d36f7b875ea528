"""However events arrive, meters come to the same: any order, any batches, any repetition."""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.clock import ManualClock
from billing.core.period import month
from billing.db.engine import Database
from billing.events import store
from billing.events.event import Form, decode
from billing.events.meter import Total
from billing.tenants import store as tenants
from tests.events.pushed import METERS, body, event
from tests.factories import add_tenants, at

OCTOBER = month(2026, 10)
NOW = at(24, day=31)
SUBJECTS = ("acme", "beta", "nobody")


@dataclass(frozen=True)
class Pushes:
    """`batches` are positions in `events`; every event is pushed at least once."""

    events: list[dict[str, Any]]
    batches: list[list[int]]


values = st.integers(0, 2**70) | st.decimals(0, 10**20, places=9).map(lambda one: format(one, "f"))


@st.composite
def pushes(draw: st.DrawFn) -> Pushes:
    """Few subjects, hours and values, so that keys, times and maxima often meet."""
    count = draw(st.integers(1, 12))
    events = []
    for number in range(count):
        kind = draw(st.sampled_from(["inference", "storage", "unknown"]))
        value = draw(st.sampled_from([0, 1, 2**53 + 1]) | values)
        moment = at(draw(st.sampled_from([0, 1, 700]))) + timedelta(microseconds=draw(st.integers(-1, 1)))
        one = event(
            str(number // 2), {"tokens" if kind == "inference" else "gb": value},
            source=f"//gateway-{number % 2}", type=kind, subject=draw(st.sampled_from(SUBJECTS)), time=moment.isoformat(),
        )  # fmt: skip
        events.append(one)
    repeated = draw(st.lists(st.integers(0, count - 1), max_size=8))
    order = draw(st.permutations([*range(count), *repeated]))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=5)) | {0, len(order)})
    return Pushes(events, [list(order[a:b]) for a, b in pairwise(cuts)])


class _Undo(Exception):
    pass


def arrived(database: Database, pushed: list[list[dict[str, Any]]]) -> list[Total]:
    """What meters come to when batches arrive in this order, in a transaction that is rolled back."""
    found: list[Total] = []
    with pytest.raises(_Undo), database.transaction() as session:
        for one in pushed:
            batch = decode(body(*one), Form.BATCH, NOW)
            store.add(session, batch, NOW)
            assert store.differing(session, batch, NOW) == []
        found = store.totals(session, METERS, OCTOBER, {meter.name: [OCTOBER] for meter in METERS})
        raise _Undo
    return found


def truth(events: list[dict[str, Any]]) -> dict[tuple[str, str], Fraction]:
    """{(tenant, meter): quantity} by the definition of each aggregation, without a database. Fractions round nothing."""
    found: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    newest: dict[str, tuple[Any, Fraction]] = {}
    largest: dict[str, Fraction] = {}
    for one in events:
        subject = one["subject"]
        if subject == "nobody" or one["type"] == "unknown" or not OCTOBER.start.isoformat() <= one["time"]:
            continue
        if one["type"] == "inference":
            found[subject, "tokens"] += Fraction(one["data"]["tokens"])
            found[subject, "calls"] += 1
        else:
            value, rank = Fraction(one["data"]["gb"]), (one["time"], one["source"], one["id"])
            newest[subject] = max(newest.get(subject, (rank, value)), (rank, value))
            largest[subject] = max(largest.get(subject, value), value)
    return {
        **found,
        **{(subject, "stored"): value for subject, (_, value) in newest.items()},
        **{(subject, "peak"): value for subject, value in largest.items()},
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pushes())
def test_any_order_batching_and_repetition_of_the_same_events_comes_to_the_same(
    database: Database, made: Pushes
) -> None:
    """Digests too; and to what the definitions say."""
    with database.transaction() as session:
        known = bool(tenants.listed(session))
    if not known:
        add_tenants(database, ManualClock(NOW), "acme", "beta")
    found = arrived(database, [[made.events[n] for n in one] for one in made.batches])
    assert found == arrived(database, [made.events]), json.dumps(made.events)
    with database.transaction() as session:
        slugs = {one.id: one.slug for one in tenants.listed(session)}
    assert {(slugs[one.tenant_id], one.meter): Fraction(one.quantity) for one in found} == truth(made.events)
