"""The inventory: what a source saw becomes GPUs and devices, once; where they were when is remembered."""

import pytest

from billing.core.errors import Invalid, NotFound
from billing.core.period import FOREVER, Span, at_second
from billing.db.engine import Database, Session
from billing.fleet import store
from billing.fleet.gpu import DeviceKey, Sighting
from billing.fleet.store import places
from tests.factories import H100, at, second

HOUR = 3600
T0 = second(0)


def sighting(uuid: str, first: int, last: int, *, host: str = "n1", mig: tuple[str, ...] = ()) -> Sighting:
    keys = [DeviceKey(uuid, str(number), profile) for number, profile in enumerate(mig, 7)] or [DeviceKey(uuid)]
    return Sighting(uuid, H100, host, f"{host}:9400", {key: [(T0 + first, T0 + last)] for key in keys})


def test_what_is_seen_twice_is_there_once(database: Database) -> None:
    for _ in range(2):
        with database.transaction() as session:
            problems, _ = store.register(session, "a", [sighting("GPU-1", 0, HOUR)])
            assert problems == []
    with database.transaction() as session:
        (device,) = store.devices(session)
    assert device.key == DeviceKey("GPU-1") and device.in_service == (T0, Span(at(0), FOREVER).seconds[1])


def test_a_mig_gpu_has_its_whole_device_too_and_instances_in_its_seat(database: Database) -> None:
    with database.transaction() as session:
        problems, _ = store.register(session, "a", [sighting("GPU-1", 0, HOUR, mig=("3g.40gb", "3g.40gb"))])
        devices = store.devices(session)
    whole, *parts = devices
    assert problems == [] and whole.key.is_whole and len(parts) == 2
    assert all(whole.seat[0] <= part.seat[0] and part.seat[1] <= whole.seat[1] for part in parts)
    assert parts[0].seat[1] <= parts[1].seat[0] or parts[1].seat[1] <= parts[0].seat[0]


def test_an_instance_that_does_not_fit_is_told_not_dropped(database: Database) -> None:
    with database.transaction() as session:
        problems, _ = store.register(session, "a", [sighting("GPU-1", 0, HOUR, mig=("7g.80gb", "1g.10gb"))])
    assert problems == ["GPU-1/8:1g.10gb has no free seat on its GPU"]


def spots(session: Session) -> list[tuple[int, int, str, str]]:
    found = places.near(session, [device.gpu_id for device in store.devices(session)], (T0, T0 + 9 * HOUR))
    return sorted((one.start - T0, one.end - T0, one.source, one.host) for seen in found.values() for one in seen)


def test_two_sources_may_see_one_gpu_and_where_it_was_is_remembered(database: Database) -> None:
    with database.transaction() as session:
        store.register(session, "a", [sighting("GPU-1", 0, HOUR)])
        problems, _ = store.register(session, "b", [sighting("GPU-1", 0, HOUR, host="other")])
        assert problems == ["GPU-1 is also seen by a"]
        assert store.devices(session)[0].host == "n1", "seen as late there, and there first"
        problems, _ = store.register(session, "b", [sighting("GPU-1", HOUR + 1, 2 * HOUR, host="other")])
        assert problems == [] and (store.devices(session)[0].source, store.devices(session)[0].host) == ("b", "other")
        assert spots(session) == [(0, HOUR, "a", "n1"), (0, HOUR, "b", "other"), (HOUR + 1, 2 * HOUR, "b", "other")]
        assert len(store.devices(session, source="a")) == len(store.devices(session, source="b")) == 1


def test_a_place_grows_while_the_gpu_stays_and_another_one_begins_when_it_moves(database: Database) -> None:
    with database.transaction() as session:
        for first, last, host in ((0, 1, "n1"), (1, 2, "n1"), (2, 3, "n2"), (4, 5, "n2"), (1, 2, "n1")):
            store.register(session, "a", [sighting("GPU-1", first * HOUR, last * HOUR, host=host)])
        assert spots(session) == [
            (0, 2 * HOUR, "a", "n1"),
            (2 * HOUR, 3 * HOUR, "a", "n2"),
            (4 * HOUR, 5 * HOUR, "a", "n2"),
        ]
        store.register(session, "a", [sighting("GPU-1", 3 * HOUR, 4 * HOUR, host="n2")])
        assert spots(session) == [(0, 2 * HOUR, "a", "n1"), (2 * HOUR, 5 * HOUR, "a", "n2")]
        store.register(session, "a", [sighting("GPU-1", HOUR, 3 * HOUR, host="n2")])
        assert spots(session) == [(0, HOUR, "a", "n1"), (HOUR, 5 * HOUR, "a", "n2")], "the later word counts"


def test_what_was_there_earlier_than_known_says_which_time_must_be_read_again(database: Database) -> None:
    forever = Span(at(0), FOREVER).seconds[1]
    with database.transaction() as session:
        _, stale = store.register(session, "a", [sighting("GPU-1", 3 * HOUR, 4 * HOUR)])
        assert stale == [(T0 + 4 * HOUR, forever)], "nobody was asked about it there"
        _, stale = store.register(session, "a", [sighting("GPU-1", 4 * HOUR, 5 * HOUR)])
        assert stale == [], "it was known to be here"
        _, stale = store.register(session, "a", [sighting("GPU-1", 0, HOUR)])
        assert stale == [(T0, T0 + 3 * HOUR), (T0 + HOUR, T0 + 3 * HOUR)]
        assert store.devices(session)[0].in_service[0] == T0


def test_a_gpu_is_retired_after_it_entered_service_or_not_at_all(database: Database) -> None:
    with database.transaction() as session:
        store.register(session, "a", [sighting("GPU-1", HOUR, 2 * HOUR), sighting("GPU-2", HOUR, 2 * HOUR)])
        store.retire(session, "GPU-1", at(5))
        assert [(row["host"], row["gpus"]) for row in store.hosts(session)] == [("n1", 1)]
        assert store.devices(session)[0].in_service == (T0 + HOUR, second(5))
        with pytest.raises(Invalid, match="GPU GPU-2 entered service later"):
            store.retire(session, "GPU-2", at_second(T0 + HOUR))
        with pytest.raises(NotFound, match="there is no GPU GPU-3"):
            store.retire(session, "GPU-3", at(5))


def test_hosts_and_gpus_are_named_together_and_the_unknown_ones_told(database: Database) -> None:
    with database.transaction() as session:
        store.register(session, "a", [sighting("GPU-1", 0, 9), sighting("GPU-2", 0, 9, host="n2")])
        assert len(store.gpu_ids(session, hosts=["n1"], uuids=["GPU-2"])) == 2
        assert len(store.gpu_ids(session, hosts=["n1"], uuids=["GPU-1"])) == 1, "once, even if named twice"
        with pytest.raises(NotFound, match="GPU-9, n9"):
            store.gpu_ids(session, hosts=["n1", "n9"], uuids=["GPU-9"])
