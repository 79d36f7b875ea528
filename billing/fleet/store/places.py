"""Rows of places: where each source saw which GPU."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import FOREVER, Seconds, at_second, epoch_seconds, merge
from billing.db.engine import raw_cursor
from billing.fleet.place import Place, joined

_COLUMNS = (
    "p.gpu_id, extract(epoch FROM lower(p.during))::bigint, extract(epoch FROM upper(p.during))::bigint,"
    " p.source, p.host, p.instance"
)


def near(session: Session, gpu_ids: Sequence[int], window: Seconds) -> dict[int, list[Place]]:
    """The places of some GPUs that tell whose word counts in a window: those in it, the last one before, the first one after."""
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM place p WHERE p.gpu_id = ANY(:gpus)"
            " AND p.during && tstzrange(to_timestamp(:start), to_timestamp(:end))"
            f" UNION SELECT {_COLUMNS} FROM unnest(CAST(:gpus AS bigint[])) AS g(id) CROSS JOIN LATERAL ("
            "  SELECT * FROM place WHERE gpu_id = g.id AND lower(during) < to_timestamp(:start)"
            "  ORDER BY upper(during) DESC, source, host, instance LIMIT 1) AS p"
            f" UNION SELECT {_COLUMNS} FROM unnest(CAST(:gpus AS bigint[])) AS g(id) CROSS JOIN LATERAL ("
            "  SELECT * FROM place WHERE gpu_id = g.id AND lower(during) >= to_timestamp(:end)"
            "  ORDER BY lower(during), upper(during) DESC, source, host, instance LIMIT 1) AS p"
        ),
        {"gpus": list(gpu_ids), "start": window[0], "end": window[1]},
    )
    found: dict[int, list[Place]] = defaultdict(list)
    for gpu_id, *place in rows:
        found[gpu_id].append(Place(*place))
    return found


def seen_by_others(session: Session, source: str, gpu_ids: Sequence[int], window: Seconds) -> dict[int, list[Place]]:
    """Where other sources saw some GPUs during a window."""
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM place p WHERE p.gpu_id = ANY(:gpus) AND p.source <> :source"
            " AND p.during && tstzrange(to_timestamp(:start), to_timestamp(:end)) ORDER BY p.source, p.during"
        ),
        {"gpus": list(gpu_ids), "source": source, "start": window[0], "end": window[1]},
    )
    found: dict[int, list[Place]] = defaultdict(list)
    for gpu_id, *place in rows:
        found[gpu_id].append(Place(*place))
    return found


def note(session: Session, source: str, places: Mapping[int, Sequence[Place]]) -> list[Seconds]:
    """Remember where a source saw GPUs. Returns the time after places that no known one led up to, until the GPU was seen
    again: there the source's word counts now, and did not before."""
    reach = _reach(places.values())
    if reach is None:
        return []
    known = _touching(session, source, list(places), reach)
    drop: list[int] = []
    grow: list[tuple[int, int]] = []
    add: list[tuple[int, Place]] = []
    for gpu_id, seen in places.items():
        rows = known.get(gpu_id, {})
        at_start = {place.start: (row_id, place) for row_id, place in rows.items()}
        kept: set[int] = set()
        for place in joined([*sorted(rows.values()), *sorted(seen)]):
            row_id, old = at_start.get(place.start, (0, None))
            if old is None or old.spot != place.spot or old.end > place.end:
                add.append((gpu_id, place))
                continue
            kept.add(row_id)
            if old.end < place.end:
                grow.append((row_id, place.end))
        drop += [row_id for row_id in rows if row_id not in kept]
    _save(session, drop, grow, add)
    return _until_seen_again(session, add)


def _until_seen_again(session: Session, added: Sequence[tuple[int, Place]]) -> list[Seconds]:
    rows = session.execute(
        text(
            "SELECT a.at, coalesce(extract(epoch FROM min(lower(p.during)))::bigint, :forever)"
            " FROM unnest(CAST(:gpus AS bigint[]), CAST(:ends AS bigint[])) AS a(gpu_id, at)"
            " LEFT JOIN place p ON p.gpu_id = a.gpu_id AND lower(p.during) > to_timestamp(a.at) GROUP BY a.gpu_id, a.at"
        ),
        {
            "gpus": [gpu_id for gpu_id, _ in added],
            "ends": [place.end for _, place in added],
            "forever": epoch_seconds(FOREVER),
        },
    )
    return merge((start, end) for start, end in rows)


def _reach(places: Iterable[Sequence[Place]]) -> Seconds | None:
    edges = [edge for seen in places for place in seen for edge in place.span]
    return (min(edges), max(edges)) if edges else None


def _touching(session: Session, source: str, gpu_ids: Sequence[int], reach: Seconds) -> dict[int, dict[int, Place]]:
    """{GPU id: {row id: place}} of what overlaps or touches a span."""
    rows = session.execute(
        text(
            f"SELECT p.id, {_COLUMNS} FROM place p WHERE p.gpu_id = ANY(:gpus) AND p.source = :source"
            " AND p.during && tstzrange(to_timestamp(:start - 1), to_timestamp(:end + 1))"
        ),
        {"gpus": list(gpu_ids), "source": source, "start": reach[0], "end": reach[1]},
    )
    found: dict[int, dict[int, Place]] = defaultdict(dict)
    for row_id, gpu_id, *place in rows:
        found[gpu_id][row_id] = Place(*place)
    return found


def _save(
    session: Session, drop: Sequence[int], grow: Sequence[tuple[int, int]], add: Sequence[tuple[int, Place]]
) -> None:
    cursor = raw_cursor(session)
    if drop:
        cursor.execute("DELETE FROM place WHERE id = ANY(%s)", (list(drop),))
    if grow:
        cursor.execute(
            "UPDATE place SET during = tstzrange(lower(during), to_timestamp(grown.until))"
            " FROM (SELECT unnest(%s::bigint[]) AS id, unnest(%s::bigint[]) AS until) AS grown WHERE place.id = grown.id",
            ([row_id for row_id, _ in grow], [until for _, until in grow]),
        )
    if add:
        with cursor.copy("COPY place (gpu_id, source, host, instance, during) FROM STDIN") as copy:
            for gpu_id, place in add:
                during = f"[{at_second(place.start).isoformat()},{at_second(place.end).isoformat()})"
                copy.write_row((gpu_id, place.source, place.host, place.instance, during))
