"""Rows of sources and readings: what was read, what is due, what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.period import Seconds, Span, merge
from billing.db.tables.metering import ReadingRow, SourceRow
from billing.metering.usage import ExclusionRule


@dataclass(frozen=True, slots=True)
class Read:
    """The outcome of reading one window. Seconds are GPU-seconds."""

    window: Seconds
    digest: str
    status: str
    reason: str
    samples: int
    present_seconds: int
    missing_seconds: int
    blind_seconds: int
    unlabelled: dict[str, int]
    """Exporters whose labels were lost when the window ended, with the second since when."""


def source(session: Session, name: str, kind: str, since: datetime, rule: ExclusionRule) -> int:
    """The id of a source; made at first sight, with windows due from `since` on. It is as the settings say."""
    row = session.exec(select(SourceRow).where(SourceRow.name == name)).first()
    if row is None:
        row = SourceRow(name=name, type=kind, since=since)
    row.since = min(since, row.since)
    row.operator_evidence = rule.operator_evidence
    row.exclusion_minimum_seconds, row.exclusion_cap_seconds = rule.minimum_seconds, rule.cap_seconds
    session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def since(session: Session, source_id: int) -> datetime:
    return session.get_one(SourceRow, source_id).since


def sources(session: Session) -> dict[str, tuple[int, ExclusionRule]]:
    """Every source that was ever configured, the first one first: its id, and how its word is taken."""
    rows = session.exec(select(SourceRow).order_by(col(SourceRow.id)))
    return {
        row.name: (
            row.id,
            ExclusionRule(row.operator_evidence, row.exclusion_minimum_seconds, row.exclusion_cap_seconds),
        )
        for row in rows
        if row.id is not None
    }


def lock(session: Session) -> None:
    """One writer of observations and usage at a time, until the transaction ends: the daemon, or a person who reads a window
    by hand beside it. Each changes runs that it has loaded."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('stablemeter:metering', 0))"))


def note_failure(session: Session, source_id: int, failure: str, now: datetime) -> None:
    """Remember since when and why a source cannot be read; an empty `failure` says that it can."""
    row = session.get_one(SourceRow, source_id)
    if failure and row.failed_at is None:
        row.failed_at = now
    if not failure:
        row.failed_at = None
    row.failure = failure
    session.add(row)


def read_windows(session: Session, source_id: int, within: Span) -> dict[Seconds, ReadingRow]:
    """The current readings whose windows touch a span."""
    rows = session.exec(
        select(ReadingRow).where(
            ReadingRow.source_id == source_id,
            col(ReadingRow.superseded_at).is_(None),
            col(ReadingRow.during).op("&&")(within),
        )
    )
    return {row.during.seconds: row for row in rows}


def read_about(session: Session, gpu_ids: Sequence[int], within: Seconds) -> list[Seconds]:
    """The windows that touch a span and were read of sources that saw some GPUs."""
    rows = session.execute(
        text(
            "SELECT DISTINCT extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint FROM reading"
            " WHERE superseded_at IS NULL AND during && tstzrange(to_timestamp(:start), to_timestamp(:end)) AND source_id IN"
            "  (SELECT id FROM source WHERE name IN (SELECT source FROM place WHERE gpu_id = ANY(:gpus)))"
        ),
        {"gpus": list(gpu_ids), "start": within[0], "end": within[1]},
    )
    return [(start, end) for start, end in rows]


def lost_labels(session: Session, source_id: int, span: Seconds) -> dict[int, dict[str, int]]:
    """The exporters whose labels were lost when a window ended, by that end: of all windows from just before a span on."""
    rows = session.execute(
        text(
            "SELECT extract(epoch FROM upper(during))::bigint AS ended, unlabelled FROM reading WHERE source_id = :source"
            " AND superseded_at IS NULL AND during && tstzrange(to_timestamp(:start), to_timestamp(:end))"
            " AND unlabelled <> '{}'"
        ),
        {"source": source_id, "start": span[0] - 1, "end": span[1]},
    )
    return {row.ended: row.unlabelled for row in rows}


def digests(session: Session, source_id: int, windows: Iterable[Seconds]) -> dict[Seconds, str]:
    """The digests of current readings, by window."""
    return {window: row.digest for window, row in read_windows(session, source_id, _reach(windows)).items()}


def save(session: Session, source_id: int, reads: Sequence[Read], now: datetime) -> None:
    """Store readings. One that says the same only counts the re-read; another one supersedes the reading before."""
    if not reads:
        return
    known = read_windows(session, source_id, _reach(read.window for read in reads))
    new: list[ReadingRow] = []
    for read in reads:
        row = known.get(read.window)
        rereads = 0
        if row is not None:
            rereads = row.rereads + 1
            if (row.digest, row.reason) == (read.digest, read.reason):
                row.rereads, row.read_at = rereads, now
                continue
            row.superseded_at = now
        new.append(
            ReadingRow(
                source_id=source_id,
                during=Span.from_seconds(read.window),
                digest=read.digest,
                status=read.status,
                reason=read.reason,
                samples=read.samples,
                present_seconds=read.present_seconds,
                missing_seconds=read.missing_seconds,
                blind_seconds=read.blind_seconds,
                unlabelled=read.unlabelled,
                rereads=rereads,
                read_at=now,
            )
        )
    session.flush()  # what is superseded makes room first
    session.add_all(new)
    session.flush()


def _reach(windows: Iterable[Seconds]) -> Span:
    """The span that holds all of some windows."""
    edges = list(windows)
    return Span.from_seconds((min(start for start, _ in edges), max(end for _, end in edges)))


def forget(session: Session, source_id: int, span: Seconds, now: datetime) -> None:
    """Windows that touch `span` are due again: the inventory learnt that a GPU was in service by then."""
    session.execute(
        text(
            "UPDATE reading SET superseded_at = :now WHERE source_id = :source AND superseded_at IS NULL"
            " AND during && tstzrange(to_timestamp(:start), to_timestamp(:end))"
        ),
        {"now": now, "source": source_id, "start": span[0], "end": span[1]},
    )


def forget_before_sight(session: Session, leases: Sequence[int], now: datetime) -> None:
    """Leased GPUs are in service from before they were first seen: what their source says about that time is due."""
    rows = session.execute(
        text(
            "SELECT s.id, extract(epoch FROM lower(g.in_service))::bigint, extract(epoch FROM min(lower(o.during)))::bigint"
            " FROM lease l JOIN gpu g ON g.id = l.gpu_id JOIN device d ON d.gpu_id = g.id"
            " JOIN observation o ON o.device_id = d.id AND o.superseded_at IS NULL"
            " JOIN source s ON s.name = (SELECT source FROM place WHERE gpu_id = g.id"
            "  ORDER BY lower(during), upper(during) DESC, source LIMIT 1)"
            " WHERE l.id = ANY(:leases) GROUP BY s.id, g.id HAVING lower(g.in_service) < min(lower(o.during))"
        ),
        {"leases": list(leases)},
    )
    due: dict[int, list[Seconds]] = {}
    for source_id, start, end in rows:
        due.setdefault(source_id, []).append((start, end))
    for source_id, spans in due.items():
        for span in merge(spans):
            forget(session, source_id, span, now)


def unread(session: Session, source_id: int, span: Seconds) -> list[Seconds]:
    """The parts of a span that no current reading covers."""
    rows = session.execute(
        text(
            "WITH whole AS (SELECT tstzmultirange(tstzrange(to_timestamp(:start), to_timestamp(:end))) AS r),"
            " done AS (SELECT coalesce(range_agg(during), '{}'::tstzmultirange) AS r FROM reading"
            "   WHERE source_id = :source AND superseded_at IS NULL"
            "   AND during && tstzrange(to_timestamp(:start), to_timestamp(:end)))"
            " SELECT extract(epoch FROM lower(gap))::bigint, extract(epoch FROM upper(gap))::bigint"
            " FROM whole, done, unnest(whole.r - done.r) AS gap"
        ),
        {"source": source_id, "start": span[0], "end": span[1]},
    )
    return [(start, end) for start, end in rows]


def due_rereads(session: Session, source_id: int, now: datetime, offsets: Iterable[int], limit: int) -> list[Seconds]:
    """Windows whose re-read is due: some `offsets` seconds after the window's end have passed, and it was last read before
    that. What was read late enough, as in a backfill, is not read again."""
    rows = session.execute(
        text(
            "SELECT extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint FROM reading"
            " WHERE source_id = :source AND superseded_at IS NULL AND upper(during) > :now - interval '100 days'"
            " AND EXISTS (SELECT 1 FROM unnest(CAST(:offsets AS bigint[])) AS after"
            "  WHERE upper(during) + make_interval(secs => after) <= :now"
            "  AND read_at < upper(during) + make_interval(secs => after)) ORDER BY during LIMIT :limit"
        ),
        {"source": source_id, "offsets": list(offsets), "now": now, "limit": limit},
    )
    return [(start, end) for start, end in rows]


def unripe(session: Session, source_id: int, period: Span, now: datetime, after: int) -> Seconds | None:
    """The first window of a period that was not read again `after` seconds past its end, though that time has come."""
    found = session.execute(
        text(
            "SELECT extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint FROM reading"
            " WHERE source_id = :source AND superseded_at IS NULL AND during && tstzrange(:start, :end)"
            " AND read_at < upper(during) + make_interval(secs => :after)"
            " AND :now >= upper(during) + make_interval(secs => :after) ORDER BY during LIMIT 1"
        ),
        {"source": source_id, "start": period.start, "end": period.end, "after": after, "now": now},
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def leased_before(session: Session, period: Span) -> tuple[str, str, datetime] | None:
    """(GPU, source, time) of leased time in a period that lies before the first window of any source that saw the GPU."""
    found = session.execute(
        text(
            "SELECT g.uuid, s.name, lower(l.during * g.in_service * tstzrange(:start, :end)) AS at"
            " FROM lease l JOIN gpu g ON g.id = l.gpu_id CROSS JOIN LATERAL (SELECT name, since FROM source"
            "  WHERE name IN (SELECT source FROM place WHERE gpu_id = g.id) ORDER BY since, id LIMIT 1) AS s"
            " WHERE l.cancelled_at IS NULL AND l.during && tstzrange(:start, :end)"
            " AND lower(l.during * g.in_service * tstzrange(:start, :end)) < s.since ORDER BY at, g.uuid LIMIT 1"
        ),
        {"start": period.start, "end": period.end},
    ).one_or_none()
    return None if found is None else (found.uuid, found.name, found.at)


def status(session: Session, now: datetime) -> list[dict[str, Any]]:
    """One row a source: how far it was read, how well, since when it fails; how many GPUs were seen there last, and how many
    of those nobody is known to hold (labels that mean no tenant) at the end of what was read."""
    rows = session.execute(
        text(
            "SELECT s.name, s.type, s.since, s.failed_at, s.failure, newest.at AS read_until,"
            " count(r.id) AS windows, count(r.id) FILTER (WHERE r.status <> 'complete') AS incomplete_windows,"
            " coalesce(sum(r.samples), 0)::bigint AS samples,"
            " coalesce(sum(r.present_seconds), 0)::bigint AS present_seconds,"
            " coalesce(sum(r.missing_seconds), 0)::bigint AS missing_seconds,"
            " coalesce(sum(r.blind_seconds), 0)::bigint AS blind_seconds,"
            " extract(epoch FROM :now - coalesce(newest.at, s.since))::bigint AS lag_seconds,"
            " (SELECT count(*) FROM gpu g WHERE g.source = s.name AND g.in_service @> CAST(:now AS timestamptz)) AS gpus,"
            " (SELECT count(DISTINCT d.gpu_id) FROM observation o JOIN device d ON d.id = o.device_id"
            "   WHERE o.source_id = s.id AND o.superseded_at IS NULL AND o.state = 'present'"
            "   AND o.during @> (newest.at - interval '1 second') AND EXISTS (SELECT 1 FROM unnest(o.labels) AS h(l)"
            "    WHERE NOT EXISTS (SELECT 1 FROM tenant_claim c WHERE c.label = h.l AND c.source IN ('', s.name)))"
            " ) AS unattributed_gpus"
            " FROM source s LEFT JOIN LATERAL (SELECT upper(during) AS at FROM reading WHERE source_id = s.id"
            "  AND superseded_at IS NULL ORDER BY lower(during) DESC LIMIT 1) AS newest ON true"
            " LEFT JOIN reading r ON r.source_id = s.id AND r.superseded_at IS NULL"
            " AND upper(r.during) > :now - interval '31 days' GROUP BY s.id, newest.at ORDER BY s.name"
        ),
        {"now": now},
    )
    return [dict(row._mapping) for row in rows]


def gaps(session: Session, since: datetime, limit: int) -> list[dict[str, Any]]:
    """The windows that were not seen completely or hold something that was not understood, newest first, with the reason."""
    rows = session.execute(
        text(
            "SELECT s.name AS source, lower(r.during) AS start, upper(r.during) AS end, r.status, r.reason,"
            " r.missing_seconds, r.blind_seconds FROM reading r JOIN source s ON s.id = r.source_id"
            " WHERE r.superseded_at IS NULL AND (r.status <> 'complete' OR r.reason <> '')"
            " AND upper(r.during) > :since ORDER BY r.during DESC LIMIT :limit"
        ),
        {"since": since, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]
