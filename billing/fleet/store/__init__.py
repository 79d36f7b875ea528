"""Rows of the inventory."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Invalid, NotFound
from billing.core.period import FOREVER, Seconds, Span, at_second, epoch_seconds
from billing.db.tables.fleet import DeviceRow, GpuRow
from billing.fleet.gpu import Device, DeviceKey, Sighting, gpu_seat, overlaps, seat_instances
from billing.fleet.store import places

_DEVICES = """
    SELECT d.id, g.uuid, d.gpu_i_id, d.profile, g.id AS gpu_id, lower(d.seat) AS lo, upper(d.seat) AS hi,
           g.model, g.host, g.instance, g.source,
           extract(epoch FROM lower(g.in_service))::bigint AS since,
           extract(epoch FROM upper(g.in_service))::bigint AS until
      FROM device d JOIN gpu g ON g.id = d.gpu_id"""


def devices(session: Session, *, source: str | None = None, gpu_ids: Iterable[int] | None = None) -> list[Device]:
    """The inventory, oldest device of a GPU first; all of it, or what a source ever saw, or some GPUs'."""
    where, values = [], {}
    if source is not None:
        where.append("g.id IN (SELECT gpu_id FROM place WHERE source = :source)")
        values["source"] = source
    if gpu_ids is not None:
        where.append("g.id = ANY(:gpus)")
        values["gpus"] = list(gpu_ids)  # type: ignore[assignment]
    sql = _DEVICES + (" WHERE " + " AND ".join(where) if where else "") + " ORDER BY g.id, d.id"
    return [
        Device(
            r.id,
            DeviceKey(r.uuid, r.gpu_i_id, r.profile),
            r.gpu_id,
            (r.lo, r.hi),
            r.model,
            r.host,
            r.instance,
            r.source,
            (r.since, r.until),
        )
        for r in session.execute(text(sql), values)
    ]


def register(session: Session, source: str, sightings: Sequence[Sighting]) -> tuple[list[str], list[Seconds]]:
    """Note what a source saw: new GPUs and devices, where they were when, since when they are in service.

    Returns what could not be registered or is doubtful, one line each, and the spans about which the source now has more to
    say than when it was read: in-service time grew backwards, or a GPU was found in a place of which nothing was known.
    """
    problems: list[str] = []
    stale: list[Seconds] = []
    uuids = [sighting.uuid for sighting in sightings]
    rows = {r.uuid: r for r in session.exec(select(GpuRow).where(col(GpuRow.uuid).in_(uuids)))}
    for sighting in sightings:
        first, last = min(s for s, _ in sighting.spans), max(e for _, e in sighting.spans)
        row = rows.get(sighting.uuid)
        if row is None:
            rows[sighting.uuid] = row = GpuRow(
                uuid=sighting.uuid,
                model=sighting.model,
                host=sighting.host,
                instance=sighting.instance,
                source=source,
                in_service=Span(at_second(first), FOREVER),
                last_seen_at=at_second(last),
            )
        elif last > epoch_seconds(row.in_service.end):
            problems.append(f"{sighting.uuid} was retired at {row.in_service.end.isoformat()} and is seen again")
        if last > epoch_seconds(row.last_seen_at):
            row.last_seen_at, row.source = at_second(last), source
            row.host, row.instance = sighting.host, sighting.instance
            row.model = sighting.model if sighting.model != "unknown" else row.model
        if at_second(first) < row.in_service.start:
            stale.append((first, epoch_seconds(row.in_service.start)))
            row.in_service = Span(at_second(first), row.in_service.end)
        session.add(row)
    session.flush()
    stale += _place(session, source, sightings, rows, problems)
    return problems + _register_devices(session, sightings, rows), stale


def _place(
    session: Session, source: str, sightings: Sequence[Sighting], gpus: Mapping[str, GpuRow], problems: list[str]
) -> list[Seconds]:
    """Where GPUs were. Two sources may see one GPU at a time: what they say is told apart when usage is derived."""
    seen = {gpu_id: one.places_of(source) for one in sightings if (gpu_id := gpus[one.uuid].id) is not None}
    if not seen:
        return []
    reach = (
        min(p.start for found in seen.values() for p in found),
        max(p.end for found in seen.values() for p in found),
    )
    others = places.seen_by_others(session, source, list(seen), reach)
    names = {row.id: uuid for uuid, row in gpus.items()}
    for gpu_id, elsewhere in others.items():
        both = {one.source for one in elsewhere if any(overlaps(one.span, mine.span) for mine in seen[gpu_id])}
        problems += [f"{names[gpu_id]} is also seen by {other}" for other in sorted(both)]
    return places.note(session, source, seen)


def _register_devices(session: Session, sightings: Sequence[Sighting], gpus: Mapping[str, GpuRow]) -> list[str]:
    problems: list[str] = []
    ids = [row.id for row in gpus.values() if row.id is not None]
    known: dict[int, list[Device]] = defaultdict(list)
    for device in devices(session, gpu_ids=ids):
        known[device.gpu_id].append(device)
    for sighting in sightings:
        gpu = gpus[sighting.uuid]
        assert gpu.id is not None
        if not known[gpu.id]:  # every GPU has its whole device: time that nobody saw is recorded on it
            session.add(_row(gpu.id, DeviceKey(gpu.uuid), gpu_seat(gpu.id), sighting.spans))
        if any(not key.is_whole for key in sighting.devices):
            seating = seat_instances(gpu.id, sighting, known[gpu.id])
            for key, seat in seating.new.items():
                session.add(_row(gpu.id, key, seat, sighting.devices[key]))
            problems += [f"{key} has no free seat on its GPU" for key in seating.unseated]
    session.flush()
    return problems


def _row(gpu_id: int, key: DeviceKey, seat: tuple[int, int], spans: Sequence[Seconds]) -> DeviceRow:
    return DeviceRow(
        gpu_id=gpu_id,
        gpu_i_id=key.gpu_i_id,
        profile=key.profile,
        seat=seat,
        first_seen_at=at_second(min(start for start, _ in spans)),
        last_seen_at=at_second(max(end for _, end in spans)),
    )


def gpu_ids(session: Session, *, hosts: Sequence[str] = (), uuids: Sequence[str] = ()) -> list[int]:
    """The GPUs on some hosts and some by UUID. Raises NotFound for a host without GPUs or an unknown UUID."""
    found = session.exec(
        select(GpuRow).where(col(GpuRow.host).in_(hosts) | col(GpuRow.uuid).in_(uuids)).order_by(col(GpuRow.id))
    ).all()
    missing = (set(hosts) - {row.host for row in found}) | (set(uuids) - {row.uuid for row in found})
    if missing:
        raise NotFound(f"no GPU is known on or as {', '.join(sorted(missing))}", remedy="see: stablemeter device list")
    return [row.id for row in found if row.id is not None]


def serve_since(session: Session, ids: Sequence[int], since: Span) -> None:
    """A GPU that is let was in service by then, even if no source had seen it yet."""
    session.execute(
        text(
            "UPDATE gpu SET in_service = tstzrange(:since, upper(in_service)) WHERE id = ANY(:ids)"
            " AND lower(in_service) > :since"
        ),
        {"since": since.start, "ids": list(ids)},
    )


def retire(session: Session, uuid: str, at: datetime) -> None:
    """Take a GPU out of service from a time on. Raises NotFound, or Invalid for a time before it entered service."""
    row = session.exec(select(GpuRow).where(GpuRow.uuid == uuid)).first()
    if row is None:
        raise NotFound(f"there is no GPU {uuid}", remedy="see: stablemeter device list")
    if at <= row.in_service.start:
        raise Invalid(f"GPU {uuid} entered service later, at {row.in_service.start.isoformat()}", remedy="mend --at")
    row.in_service = Span(row.in_service.start, at)
    session.add(row)


def hosts(session: Session) -> list[dict[str, Any]]:
    """One row a host: how many GPUs of which model it has, and when the last of them was seen."""
    rows = session.execute(
        text(
            "SELECT host, source, model, count(*) AS gpus, max(last_seen_at) AS last_seen_at FROM gpu"
            " WHERE upper(in_service) = '9999-01-01Z' GROUP BY host, source, model ORDER BY host, model"
        )
    )
    return [dict(row._mapping) for row in rows]
