"""Rows of scrape runs."""

from collections.abc import Sequence

from sqlalchemy import text

from billing.db.engine import Database, Session, raw_cursor
from billing.fleet.gpu import DeviceKey
from billing.metering.sources.dcgm import RUN_MS_MAX, ScrapeRun

_COLUMNS = "instance, uuid, gpu_i_id, profile, model, host, labels, first_ms, last_ms, samples"
_SEPARATOR = "\n"


class ScrapeLog:
    """Scrape runs in the database: each call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recent(self, source: str, since_ms: int) -> list[ScrapeRun]:
        return self._select(source, since_ms - 1, 1 << 62)

    def between(self, source: str, first_ms: int, last_ms: int) -> list[ScrapeRun]:
        return self._select(source, first_ms, last_ms)

    def save(self, source: str, runs: Sequence[ScrapeRun]) -> None:
        if not runs:
            return
        ids: list[tuple[int]] = []
        new, known = [run for run in runs if run.id is None], [run for run in runs if run.id is not None]
        with self._database.transaction() as session:
            source_id = _source_id(session, source, min(run.first_ms for run in runs))
            cursor = raw_cursor(session)
            if known:
                cursor.execute(
                    "UPDATE scrape_run SET last_ms = greatest(scrape_run.last_ms, longer.last_ms),"
                    " samples = greatest(scrape_run.samples, longer.samples)"
                    " FROM (SELECT unnest(%s::bigint[]) AS id, unnest(%s::bigint[]) AS last_ms,"
                    " unnest(%s::bigint[]) AS samples) AS longer WHERE scrape_run.id = longer.id",
                    ([r.id for r in known], [r.last_ms for r in known], [r.samples for r in known]),
                )
            if new:
                columns = list(zip(*(_values(run) for run in new), strict=True))
                ids = cursor.execute(
                    f"INSERT INTO scrape_run (source_id, {_COLUMNS}) SELECT %s, * FROM unnest(%s::text[], %s::text[],"
                    " %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
                    " RETURNING id",
                    (source_id, *(list(column) for column in columns)),
                ).fetchall()
        for run, (row_id,) in zip(new, ids, strict=True):  # only now: a failed commit leaves them to be inserted again
            run.id = row_id

    def _select(self, source: str, after_ms: int, until_ms: int) -> list[ScrapeRun]:
        with self._database.transaction() as session:
            rows = session.execute(
                text(
                    f"SELECT r.id, {_COLUMNS} FROM scrape_run r JOIN source s ON s.id = r.source_id"
                    " WHERE s.name = :source AND r.first_ms > :reach AND r.first_ms <= :until AND r.last_ms > :after"
                    " ORDER BY r.first_ms"
                ),
                {"source": source, "reach": after_ms - RUN_MS_MAX, "until": until_ms, "after": after_ms},
            )
            return [
                ScrapeRun(
                    r.instance,
                    DeviceKey(r.uuid, r.gpu_i_id, r.profile),
                    r.model,
                    r.host,
                    tuple(r.labels.split(_SEPARATOR)) if r.labels else (),
                    r.first_ms,
                    r.last_ms,
                    r.samples,
                    r.id,
                    changed=False,
                )
                for r in rows
            ]


def _source_id(session: Session, name: str, first_ms: int) -> int:
    """The source's id; its row is made when the scraper writes before the collector's first tick."""
    found: int = session.execute(
        text(
            "INSERT INTO source (name, type, since, failure) VALUES (:name, 'dcgm', date_trunc('hour', to_timestamp(:first)), '')"
            " ON CONFLICT (name) DO UPDATE SET type = 'dcgm' RETURNING id"
        ),
        {"name": name, "first": first_ms // 1000},
    ).scalar_one()
    return found


def _values(run: ScrapeRun) -> tuple[str | int, ...]:
    key = run.key
    labels = _SEPARATOR.join(run.labels)
    return (
        run.instance,
        key.uuid,
        key.gpu_i_id,
        key.profile,
        run.model,
        run.host,
        labels,
        run.first_ms,
        run.last_ms,
        run.samples,
    )
