"""Rows of observations, usage, exclusions and disputes: loaded as runs, changed by splices, never deleted."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import Session

from billing.core.period import Seconds, at_second, month_starts
from billing.db.engine import raw_cursor
from billing.fleet.gpu import Seat
from billing.metering.coverage import Seen, Segment, State
from billing.metering.runs import Change, Row, splice
from billing.metering.usage import Excluded, Payer

V = TypeVar("V")

_TIMES = "extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint"
_TOUCHES = "superseded_at IS NULL AND during && tstzrange(to_timestamp(%(start)s - 1), to_timestamp(%(end)s + 1))"

Runs = dict[int, list[Row[V]]]
"""Current rows by device (or GPU) id."""


def observations(session: Session, source_id: int, window: Seconds, devices: Sequence[int] | None = None) -> Runs[Seen]:
    """A source's current runs that overlap or touch a window, whole; of all devices, or some."""
    chosen = "" if devices is None else " AND device_id = ANY(%(devices)s)"
    return _load(
        session,
        f"SELECT device_id, id, {_TIMES}, state, labels, reason FROM observation"
        f" WHERE source_id = %(key)s AND {_TOUCHES}{chosen} ORDER BY device_id, during",
        window,
        lambda row: Seen(State(row[4]), tuple(row[5]), row[6]),
        source_id,
        devices,
    )


def views(session: Session, window: Seconds, devices: Sequence[int]) -> dict[str, dict[int, list[Segment]]]:
    """What every source says about some devices near a window: {source: {device id: segments}}, the first configured source
    first. Segments are whole runs, and name their source."""
    found: dict[str, dict[int, list[Segment]]] = {}
    cursor = raw_cursor(session)
    cursor.execute(
        f"SELECT s.name, device_id, {_TIMES}, state, labels, reason FROM observation JOIN source s ON s.id = source_id"
        f" WHERE device_id = ANY(%(devices)s) AND {_TOUCHES} ORDER BY source_id, device_id, during",
        {"start": window[0], "end": window[1], "devices": list(devices)},
    )
    for source, device, start, end, state, labels, reason in cursor:
        seen = Seen(State(state), tuple(labels), reason, source)
        found.setdefault(source, {}).setdefault(device, []).append((start, end, seen))
    return found


def missing_since(session: Session, window: Seconds, devices: Sequence[int]) -> dict[int, int]:
    """Devices of which some source says that they were missing near a window: {device id: start of the first run}."""
    cursor = raw_cursor(session)
    cursor.execute(
        "SELECT device_id, extract(epoch FROM min(lower(during)))::bigint FROM observation"
        f" WHERE device_id = ANY(%(devices)s) AND state = 'missing' AND {_TOUCHES} GROUP BY device_id",
        {"start": window[0], "end": window[1], "devices": list(devices)},
    )
    return dict(cursor.fetchall())


def usage(session: Session, devices: Sequence[int], window: Seconds) -> Runs[Payer]:
    """Current usage of some devices that overlaps or touches a window, whole."""
    return _load(
        session,
        f"SELECT device_id, id, {_TIMES}, tenant_id, lease_id, source_id, bridged FROM usage"
        f" WHERE device_id = ANY(%(key)s) AND {_TOUCHES} ORDER BY device_id, during",
        window,
        lambda row: Payer(row[4], row[5], row[6], row[7]),
        list(devices),
    )


def exclusions(session: Session, gpus: Sequence[int], window: Seconds) -> Runs[Excluded]:
    """Current exclusions of some GPUs that overlap or touch a window, whole."""
    return _load(
        session,
        f"SELECT gpu_id, id, {_TIMES}, reason, evidence, state FROM exclusion"
        f" WHERE gpu_id = ANY(%(key)s) AND {_TOUCHES} ORDER BY gpu_id, during",
        window,
        lambda row: Excluded(row[4], row[5], row[6]),
        list(gpus),
    )


def disputes(session: Session, devices: Sequence[int], window: Seconds) -> Runs[tuple[str, ...]]:
    """The labels of current disputes about some devices that overlap or touch a window, whole."""
    return _load(
        session,
        f"SELECT device_id, id, {_TIMES}, labels FROM dispute"
        f" WHERE device_id = ANY(%(key)s) AND {_TOUCHES} ORDER BY device_id, during",
        window,
        lambda row: tuple(row[4]),
        list(devices),
    )


def _load(
    session: Session,
    sql: str,
    window: Seconds,
    value: Callable[[Any], V],
    key: Any,
    devices: Sequence[int] | None = None,
) -> Runs[V]:
    runs: Runs[V] = defaultdict(list)
    cursor = raw_cursor(session)
    values = {"start": window[0], "end": window[1], "key": key, "devices": None if devices is None else list(devices)}
    for row in cursor.execute(sql, values):
        runs[row[0]].append(Row(row[1], row[2], row[3], value(row)))
    return runs


def splice_all(
    stored: Runs[V], wanted: Mapping[int, Sequence[tuple[int, int, V]]], window: Seconds, keys: Sequence[int]
) -> dict[int, Change[V]]:
    """The change of each key. Runs are cut at starts of months, so that a closed month's rows never change."""
    touched = [row for key in keys for row in stored.get(key, ())]
    reach = (min([window[0], *(r.start for r in touched)]), max([window[1], *(r.end for r in touched)]))
    cuts = month_starts((reach[0] - 1, reach[1]))
    changes = {key: splice(stored.get(key, ()), window, wanted.get(key, ()), cuts) for key in keys}
    return {key: change for key, change in changes.items() if change}


def save_observations(session: Session, source_id: int, changes: Mapping[int, Change[Seen]], now: datetime) -> None:
    rows = [
        (source_id, device, _range(start, end), seen.state.value, list(seen.labels), seen.reason, now)
        for device, change in changes.items()
        for start, end, seen in change.add
    ]
    columns = "source_id, device_id, during, state, labels, reason, recorded_at"
    _save(session, "observation", changes, columns, rows, now)


def save_usage(
    session: Session, changes: Mapping[int, Change[Payer]], seats: Mapping[int, Seat], now: datetime
) -> None:
    rows = [
        (
            payer.tenant_id,
            device,
            _seat(seats[device]),
            _range(start, end),
            payer.basis,
            payer.lease_id,
            payer.source_id,
            payer.bridged,
            now,
        )
        for device, change in changes.items()
        for start, end, payer in change.add
    ]
    columns = "tenant_id, device_id, seat, during, basis, lease_id, source_id, bridged, recorded_at"
    _save(session, "usage", changes, columns, rows, now)


def save_exclusions(session: Session, changes: Mapping[int, Change[Excluded]], now: datetime) -> None:
    rows = [
        (gpu, _range(start, end), excluded.reason, excluded.evidence, excluded.state, now)
        for gpu, change in changes.items()
        for start, end, excluded in change.add
    ]
    columns = "gpu_id, during, reason, evidence, state, recorded_at"
    _save(session, "exclusion", changes, columns, rows, now)


def save_disputes(session: Session, changes: Mapping[int, Change[tuple[str, ...]]], now: datetime) -> None:
    """What changed must be asked about, or no more."""
    rows = [
        (device, _range(start, end), list(labels), False, now)
        for device, change in changes.items()
        for start, end, labels in change.add
    ]
    _save(session, "dispute", changes, "device_id, during, labels, asked, recorded_at", rows, now)
    known = [row_id for change in changes.values() for row_id in (*change.drop, *(grown for grown, _ in change.grow))]
    if known:
        raw_cursor(session).execute("UPDATE dispute SET asked = false WHERE id = ANY(%s)", (known,))


def _save(
    session: Session,
    table: str,
    changes: Mapping[int, Change[Any]],
    columns: str,
    rows: Sequence[tuple[Any, ...]],
    now: datetime,
) -> None:
    """Drop, then grow, then add: in this order no row ever overlaps another one, not even for a moment."""
    cursor = raw_cursor(session)
    dropped = [row_id for change in changes.values() for row_id in change.drop]
    if dropped:
        cursor.execute(f"UPDATE {table} SET superseded_at = %s WHERE id = ANY(%s)", (now, dropped))
    grown = [pair for change in changes.values() for pair in change.grow]
    if grown:
        cursor.execute(
            f"UPDATE {table} SET during = tstzrange(lower(during), to_timestamp(grown.until))"
            " FROM (SELECT unnest(%s::bigint[]) AS id, unnest(%s::bigint[]) AS until) AS grown"
            f" WHERE {table}.id = grown.id",
            ([row_id for row_id, _ in grown], [until for _, until in grown]),
        )
    if rows:
        with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _range(start: int, end: int) -> str:
    return f"[{_time(start)},{_time(end)})"


def _seat(seat: Seat) -> str:
    return f"[{seat[0]},{seat[1]})"


def _time(second: int) -> str:
    return at_second(second).isoformat()


def segments(rows: Sequence[Row[Seen]]) -> list[Segment]:
    return [(row.start, row.end, row.value) for row in rows]
