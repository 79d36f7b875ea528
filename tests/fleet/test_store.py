"""The inventory: what a source saw becomes GPUs and devices, once; two sources that see one GPU do not bill it twice."""

import pytest

from billing.core.errors import Invalid, NotFound
from billing.core.period import FOREVER, Span, at_second
from billing.db.engine import Database
from billing.fleet import store
from billing.fleet.gpu import DeviceKey, Sighting
from tests.factories import H100, at, second

HOUR = 3600
T0 = second(0)


def sighting(uuid: str, first: int, last: int, *, host: str = "n1", mig: tuple[str, ...] = ()) -> Sighting:
    keys = [DeviceKey(uuid, str(number), profile) for number, profile in enumerate(mig, 7)] or [DeviceKey(uuid)]
    return Sighting(uuid, H100, host, f"{host}:9400", {key: [(T0 + first, T0 + last)] for key in keys})


def test_what_is_seen_twice_is_there_once(database: Database) -> None:
    for _ in range(2):
        with database.transaction() as session:
            assert store.register(session, "a", [sighting("GPU-1", 0, HOUR)]) == ([], [])
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


def test_a_gpu_has_one_home_and_moves_only_when_its_home_sees_it_no_more(database: Database) -> None:
    with database.transaction() as session:
        store.register(session, "a", [sighting("GPU-1", 0, HOUR)])
        problems, _ = store.register(session, "b", [sighting("GPU-1", 0, HOUR, host="other")])
        assert problems == ["GPU-1 is also seen by a, whose word counts"]
        assert store.devices(session)[0].host == "n1"
        problems, _ = store.register(session, "b", [sighting("GPU-1", HOUR + 1, 2 * HOUR, host="other")])
        assert problems == [] and (store.devices(session)[0].source, store.devices(session)[0].host) == ("b", "other")


def test_what_was_there_earlier_than_known_says_which_time_must_be_read_again(database: Database) -> None:
    with database.transaction() as session:
        store.register(session, "a", [sighting("GPU-1", HOUR, 2 * HOUR)])
        _, grown = store.register(session, "a", [sighting("GPU-1", 0, HOUR)])
        assert grown == [(T0, T0 + HOUR)]
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
