"""Read models of the fleet: where each GPU's time of some days went, and everything that is stored about one GPU's day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core.errors import NotFound
from billing.core.period import Span
from billing.db.engine import raw_cursor
from billing.metering.conservation import Category

CELLS_MAX: Final = 10_000
ROWS_MAX: Final = 1_000

DAY: Final = timedelta(days=1)

_AMOUNTS: Final = ("whole", *Category)
_SUMS: Final = ", ".join(f"sum(d.{name})::bigint" for name in _AMOUNTS)
_NEWEST: Final = ", ".join(f"(array_agg(d.{name} ORDER BY d.day DESC))[1]" for name in ("host", "source"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One GPU's time of some days, in slot-seconds; `host` and `source` are where it was on the last of them."""

    gpu_id: int
    uuid: str
    host: str
    source: str
    whole: int
    amounts: Mapping[Category, int]

    @property
    def main(self) -> Category:
        """Where most of the time went."""
        return max(self.amounts, key=lambda category: self.amounts[category])

    def percent(self, category: Category) -> int:
        """Rounded down: 100 means all of it."""
        return self.amounts[category] * 100 // self.whole if self.whole else 0


def cells(session: Session, span: Span, *, source: str = "", where: str = "") -> list[Cell]:
    """Every GPU that was in service on the days of a span, by source, host and age; `where` is a host's name or a UUID."""
    if span.end - span.start == DAY:  # by far the most asked for, and nothing is to be added up
        columns, grouped = f"d.host, d.source, {', '.join(f'd.{name}' for name in _AMOUNTS)}", ""
    else:
        columns, grouped = f"{_NEWEST}, {_SUMS}", " GROUP BY d.gpu_id, g.uuid"
    cursor = raw_cursor(session)
    cursor.execute(
        f"SELECT d.gpu_id, g.uuid, {columns} FROM gpu_day d JOIN gpu g ON g.id = d.gpu_id"
        " WHERE d.day >= %(start)s AND d.day < %(end)s AND (%(source)s = '' OR d.source = %(source)s)"
        f" AND (%(place)s = '' OR d.host = %(place)s OR g.uuid = %(place)s){grouped}"
        " ORDER BY 4, 3, 1 LIMIT %(most)s",
        {"start": span.start, "end": span.end, "source": source, "place": where, "most": CELLS_MAX},
    )
    return [
        Cell(row[0], row[1], row[2], row[3], row[4], dict(zip(Category, row[5:], strict=True)))
        for row in cursor.fetchall()
    ]


def by_day(session: Session, gpu_id: int, span: Span) -> dict[datetime, Cell]:
    """One GPU's stored days."""
    columns = ", ".join(f"d.{name}" for name in _AMOUNTS)
    rows = session.execute(
        text(
            f"SELECT d.day, d.gpu_id, g.uuid, d.host, d.source, {columns} FROM gpu_day d JOIN gpu g ON g.id = d.gpu_id"
            " WHERE d.gpu_id = :gpu AND d.day >= :start AND d.day < :end ORDER BY d.day"
        ),
        {"gpu": gpu_id, "start": span.start, "end": span.end},
    )
    return {row.day: _cell(row) for row in rows}


def _cell(row: Any) -> Cell:
    amounts = {category: getattr(row, category.value) for category in Category}
    return Cell(row.gpu_id, row.uuid, row.host, row.source, row.whole, amounts)


def newest_day(session: Session) -> datetime | None:
    """The newest day with accounts."""
    found: datetime | None = session.execute(text("SELECT max(day) FROM gpu_day")).scalar_one()
    return found


def waiting(session: Session, span: Span) -> list[datetime]:
    """The days of a span whose accounts do not reflect their newest change yet."""
    rows = session.execute(
        text(
            "SELECT day FROM conserved_day WHERE stored IS DISTINCT FROM changes AND day >= :start AND day < :end ORDER BY day"
        ),
        {"start": span.start, "end": span.end},
    )
    return list(rows.scalars())


def gpu(session: Session, gpu_id: int) -> dict[str, Any]:
    """What is known of a GPU, with its devices. Raises NotFound."""
    row = session.execute(
        text(
            "SELECT id, uuid, model, host, instance, source, lower(in_service) AS start, upper(in_service) AS until,"
            " last_seen_at FROM gpu WHERE id = :gpu"
        ),
        {"gpu": gpu_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no GPU {gpu_id}")
    devices = session.execute(
        text("SELECT id, gpu_i_id, profile, first_seen_at, last_seen_at FROM device WHERE gpu_id = :gpu ORDER BY id"),
        {"gpu": gpu_id},
    )
    return {**row._mapping, "devices": [dict(one._mapping) for one in devices]}


_DEVICE: Final = "CASE WHEN d.profile = '' THEN 'whole' ELSE d.gpu_i_id || ':' || d.profile END AS device"
_CLIPPED: Final = "lower({0}.during * p.r) AS start, upper({0}.during * p.r) AS until"
_DAY_QUERIES: Final = {
    "usage": (
        f"SELECT u.id, {_DEVICE}, {_CLIPPED.format('u')}, t.slug AS tenant, u.basis, u.bridged, l.reference AS lease,"
        " s.name AS source FROM p, usage u JOIN device d ON d.id = u.device_id JOIN tenant t ON t.id = u.tenant_id"
        " LEFT JOIN lease l ON l.id = u.lease_id LEFT JOIN source s ON s.id = u.source_id WHERE d.gpu_id = :gpu AND"
        " u.superseded_at IS NULL AND u.during && p.r ORDER BY 3, d.id"
    ),
    "seen": (
        f"SELECT o.id, {_DEVICE}, {_CLIPPED.format('o')}, s.name AS source, o.state, o.labels, o.reason"
        " FROM p, observation o JOIN device d ON d.id = o.device_id JOIN source s ON s.id = o.source_id"
        " WHERE d.gpu_id = :gpu AND o.superseded_at IS NULL AND o.during && p.r ORDER BY 3, s.id, d.id"
    ),
    "leases": (
        f"SELECT l.id, {_CLIPPED.format('l')}, t.slug AS tenant, l.reference FROM p, lease l"
        " JOIN tenant t ON t.id = l.tenant_id"
        " WHERE l.gpu_id = :gpu AND l.cancelled_at IS NULL AND l.during && p.r ORDER BY 2, l.id"
    ),
    "exclusions": (
        f"SELECT x.id, {_CLIPPED.format('x')}, x.state, x.reason, x.evidence FROM p, exclusion x"
        " WHERE x.gpu_id = :gpu AND x.superseded_at IS NULL AND x.during && p.r ORDER BY 2, x.id"
    ),
    "disputes": (
        f"SELECT x.id, {_DEVICE}, {_CLIPPED.format('x')}, x.labels FROM p, dispute x JOIN device d ON d.id = x.device_id"
        " WHERE d.gpu_id = :gpu AND x.superseded_at IS NULL AND x.during && p.r ORDER BY 3, x.id"
    ),
    "readings": (
        "SELECT r.id, s.name AS source, lower(r.during) AS start, upper(r.during) AS until, r.status, r.reason, r.samples,"
        " r.rereads, r.read_at, r.digest FROM p, reading r JOIN source s ON s.id = r.source_id"
        " WHERE r.superseded_at IS NULL AND r.during && p.r AND s.name IN (SELECT w.source FROM place w WHERE w.gpu_id = :gpu"
        " UNION SELECT g.source FROM gpu g WHERE g.id = :gpu) ORDER BY 3, s.id"
    ),
}


def intervals(session: Session, gpu_id: int, span: Span) -> dict[str, list[dict[str, Any]]]:
    """All that stands about a GPU within a span, clipped to it: `usage`, `seen`, `leases`, `exclusions`, `disputes` and the
    `readings` of its sources; at most so many rows of each."""
    values = {"gpu": gpu_id, "start": span.start, "end": span.end, "most": ROWS_MAX}
    return {
        name: [
            dict(row._mapping)
            for row in session.execute(
                text(f"WITH p AS (SELECT tstzrange(:start, :end) AS r) {query} LIMIT :most"),
                values,
            )
        ]
        for name, query in _DAY_QUERIES.items()
    }
