"""Reads leases from a CSV file: all of it, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from billing.compliance.register import NO_RULES, Rules
from billing.compliance.registrar import Gate
from billing.core import table
from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span, parse_time
from billing.db.engine import Database
from billing.leasing.leaser import Wanted, let
from billing.trail.store import Deed, record

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "tenant": (),
    "host": ("node",),
    "gpu": ("device", "uuid"),
    "from": ("start",),
    "to": ("end",),
    "reference": (),
}
REFERENCE_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """What was let, or would be."""

    leases: int
    gpus: int


class LeaseImporter:
    def __init__(self, database: Database, clock: Clock, rules: Rules = NO_RULES) -> None:
        """`rules` say who may hold what."""
        self._database, self._clock, self._gate = database, clock, Gate(rules, clock)

    def read(self, content: bytes, *, dry_run: bool = False, actor: str) -> Imported:
        """Make all contracts of a file in one transaction. Raises Invalid with the lines that are wrong, and makes none."""
        found, wanted = parse(content)
        found.check()
        now = self._clock.now()
        with self._database.transaction(trial=dry_run) as session:
            done = found.each(wanted, lambda one: let(session, one, now, actor, self._gate))
            found.check()
            gpus = sum(len(some) for _, some in done)
            details = {"leases": len(wanted), "gpus": gpus}
            record(session, Deed(now, actor, "lease.import", f"{len(wanted)} leases", details=details))
        return Imported(len(wanted), gpus)


def parse(content: bytes) -> tuple[table.Table, list[tuple[int, Wanted]]]:
    """The contracts of a file with the lines on which they begin; lines of one reference are one contract.

    Raises Invalid for what is no such file; lines that are wrong are in the table's errors.
    """
    found = table.read(content, COLUMNS, ("tenant", "from"))
    if not found.rows and not found.errors:
        raise Invalid("the file has a header and no leases")
    order: list[tuple[int, Wanted]] = []
    named: dict[str, int] = {}
    for line, one in found.each(found.rows, _wanted):
        at = named.setdefault(one.reference, len(order))
        if at == len(order):
            order.append((line, one))
            continue
        first, known = order[at]
        if (known.tenant, known.span) != (one.tenant, one.span):
            found.wrong(line, f"{one.reference} has another tenant or another period on line {first}")
        elif set(one.hosts) & set(known.hosts) or set(one.uuids) & set(known.uuids):
            found.wrong(line, f"{one.reference} names {(one.hosts or one.uuids)[0]} twice")
        else:
            merged = Wanted(one.tenant, one.span, known.hosts + one.hosts, known.uuids + one.uuids, one.reference)
            order[at] = (first, merged)
    return found, order


def _wanted(row: Mapping[str, str]) -> Wanted:
    host, gpu, tenant = row.get("host", ""), row.get("gpu", ""), row["tenant"]
    if not tenant:
        raise Invalid("no tenant is named")
    if not host and not gpu:
        raise Invalid("a lease needs a host or a gpu")
    end = row.get("to", "")
    span = Span(parse_time(row["from"]), parse_time(end) if end else FOREVER)
    reference = row.get("reference", "") or f"{tenant}-{span.start:%Y%m%d-%H%M%S}-{gpu or host}"
    if not reference.isprintable() or len(reference) > REFERENCE_CHARACTERS_MAX:
        raise Invalid("the reference is not plain text")
    # a line that names a gpu lets that one; its host is there for the reader
    return Wanted(tenant, span, () if gpu else (host,), (gpu,) if gpu else (), reference)
