"""Reads shares of GPUs from a CSV file: all of it, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from billing.core import table
from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span, parse_time
from billing.db.engine import Database
from billing.owners.registrar import Wanted, give
from billing.owners.share import parse_parts
from billing.trail.store import Deed, record

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "owner": (),
    "host": ("node",),
    "gpu": ("device", "uuid"),
    "share": ("part",),
    "from": ("start",),
    "to": ("end",),
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What was given, or would be."""

    lines: int
    gpus: int


class ShareImporter:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def read(self, content: bytes, *, dry_run: bool = False, actor: str) -> Imported:
        """Give all shares of a file in one transaction. Raises Invalid with the lines that are wrong, and gives none."""
        found, wanted = parse(content)
        found.check()
        now = self._clock.now()
        with self._database.transaction(trial=dry_run) as session:
            done = found.each(wanted, lambda one: give(session, one, now))
            found.check()
            gpus = sum(len(some) for _, some in done)
            details = {"lines": len(wanted), "gpus": gpus}
            record(session, Deed(now, actor, "owner.share.import", f"{len(wanted)} shares", details=details))
        return Imported(len(wanted), gpus)


def parse(content: bytes) -> tuple[table.Table, list[tuple[int, Wanted]]]:
    """The shares of a file with their lines. Raises Invalid for what is no such file; lines that are wrong are in the
    table's errors."""
    found = table.read(content, COLUMNS, ("owner", "share", "from"))
    if not found.rows and not found.errors:
        raise Invalid("the file has a header and no shares")
    return found, found.each(found.rows, _wanted)


def _wanted(row: Mapping[str, str]) -> Wanted:
    host, gpu, end = row.get("host", ""), row.get("gpu", ""), row.get("to", "")
    if not row["owner"]:
        raise Invalid("no owner is named")
    if not host and not gpu:
        raise Invalid("a share needs a host or a gpu")
    span = Span(parse_time(row["from"]), parse_time(end) if end else FOREVER)
    # a line that names a gpu is of that one; its host is there for the reader
    return Wanted(row["owner"], parse_parts(row["share"]), span, () if gpu else (host,), (gpu,) if gpu else ())
