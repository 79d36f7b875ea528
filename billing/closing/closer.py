"""Closes months: looks whether nothing can change any more, closes the books, and keeps the files that were made of them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from billing.audit.finding import Finding
from billing.closing import store
from billing.closing.closed import Closed, Condition, Needed
from billing.closing.shelf import Shelf
from billing.core.clock import Clock
from billing.core.errors import Conflict, NotFound
from billing.core.period import Span, month
from billing.db.engine import Database, Session
from billing.reports.reporter import Format, Reporter
from billing.trail.store import Deed, record

Make = Callable[[], Iterator[bytes]]
Payers = Callable[[Session, Span], set[int]]
"""Who has to pay for something in a period. Invoicing knows; bootstrap wires it."""
NAMES_MAX: Final = 3
KEPT: Final = "files of closed months are kept as they were made"


class Closer:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        reporter: Reporter,
        chains: Mapping[int, str],
        payers: Payers,
        shelf: Shelf,
    ) -> None:
        """`chains` are the followed ones, by id."""
        self._database, self._clock, self._reporter = database, clock, reporter
        self._chains, self._payers, self._shelf = chains, payers, shelf

    def listed(self) -> list[Closed]:
        """The closed months, the newest first."""
        with self._database.transaction() as session:
            return store.all_closed(session)

    def closed(self, label: str) -> Closed:
        """One closed month. Raises NotFound."""
        with self._database.transaction() as session:
            found = store.closed(session, label)
        if found is None:
            raise NotFound(f"the books of {label} are not closed", remedy="see: stablemeter books list")
        return found

    def blockers(self, period: Span) -> list[str]:
        """What keeps a month open, in words; empty when it can be closed."""
        with self._database.transaction() as session:
            return self._blockers(session, period)

    def close(self, period: Span, *, actor: str) -> Closed:
        """Close a month and make its files. A close that was interrupted is finished.

        Raises Conflict when the month is closed already or right now, or something may still change in it.
        """
        label = _label(period)
        with self._database.transaction() as holding:
            if not store.alone(holding):
                raise Conflict("somebody else is closing a month right now", remedy="see: stablemeter books list")
            self._begin(label, period, actor)
            files = [self._shelf.put(label, name, make()) for name, make in self._files(period).items()]
            with self._database.transaction() as session:
                store.add_files(session, label, files)
        return self.closed(label)

    def _begin(self, label: str, period: Span, actor: str) -> None:
        """Close the books, unless that was done and only files are missing. Nobody who books waits longer than this takes."""
        now = self._clock.now()
        with self._database.transaction() as session:
            store.lock(session)
            before = store.closed(session, label)
            if before is not None and before.files:
                raise Conflict(f"the books of {label} are closed already", remedy="see: stablemeter books list")
            if before is None:
                blockers = self._blockers(session, period)
                if blockers:
                    raise Conflict(f"the books of {label} cannot be closed: {'; '.join(blockers)}")
                carried = store.open_questions(session, period.end)
                usage = store.freeze(session, period)
                store.add(session, Closed(0, label, now, actor, carried, (), usage), period)
                details = {"carried": len(carried), "charges": usage.charges, "usage_digest": usage.digest}
                record(session, Deed(now, actor, "books.close", f"period {label}", details=details))

    def kept(self, period: Span, name: str) -> Iterator[bytes] | None:
        """The bytes of a closed month's file; None when the month is open, or has no such file.

        Raises Conflict when the file is gone everywhere, or another one, and cannot be made again as it was.
        """
        label = _label(period)
        with self._database.transaction() as session:
            found = store.closed(session, label)
        wanted = next((one for one in found.files if one.name == name), None) if found else None
        if wanted is None:
            return None
        content = self._shelf.find(label, wanted)
        if content is None and (make := self._files(period).get(name)) is not None:
            self._shelf.put(label, name, make(), wanted)
            content = self._shelf.find(label, wanted)
        if content is None:
            where = " or ".join(str(folder / label) for folder in self._shelf.folders)
            raise Conflict(
                f"{name} of the closed month {label} is not there as it was made, and cannot be made again",
                remedy=f"put it back from a backup into {where} (SHA-256 {wanted.sha256})",
            )
        return content

    def lost(self, session: Session) -> tuple[str, list[Finding]]:
        """For the audit: files of closed months that no folder has any more as they were made."""
        gone = [
            Finding(KEPT, f"{closed.period}/{one.name}", f"no folder has it with the SHA-256 {one.sha256}")
            for closed in store.all_closed(session)
            for one in closed.files
            if not self._shelf.has(closed.period, one)
        ]
        return KEPT, gone

    def conditions(self, period: Span) -> list[Condition]:
        """Everything that must hold before a month is closed, and what each still lacks."""
        with self._database.transaction() as session:
            return self._conditions(session, period)

    def first_open(self) -> Span | None:
        """The oldest month that has entries and is not closed."""
        with self._database.transaction() as session:
            day = store.first_open_day(session)
        return None if day is None else month(day.year, day.month)

    def _blockers(self, session: Session, period: Span) -> list[str]:
        return [lacks for one in self._conditions(session, period) for lacks in one.lacks]

    def _conditions(self, session: Session, period: Span) -> list[Condition]:
        """Of a month that is not over nothing else is looked at."""
        if self._clock.now() < period.end:
            return [Condition(Needed.OVER, ("it is not over",))]
        first = store.first_open_day(session)
        earlier = first is not None and first < period.start.date()
        waiting = store.uninvoiced(session, period, self._payers(session, period))
        names = ", ".join(waiting[:NAMES_MAX]) + (" and others" if len(waiting) > NAMES_MAX else "")
        count = store.unfinal(session, period.end)
        behind = store.behind(session, self._chains, period.end)
        return [
            Condition(Needed.OVER),
            Condition(Needed.ORDER, (f"{first:%Y-%m} comes first",) if earlier else ()),
            Condition(Needed.USAGE, (f"what {names} used in it is not invoiced",) if waiting else ()),
            Condition(Needed.TRANSFERS, (f"{count} transfers of it are not final and booked",) if count else ()),
            Condition(Needed.CHAINS, tuple(f"{name} is not final and read twice up to its end" for name in behind)),
        ]

    def _files(self, period: Span) -> dict[str, Make]:
        report, last = self._reporter, (period.end - timedelta(seconds=1)).date()
        found: dict[str, Make] = {"journal.beancount": lambda: report.beancount(period)}
        for one in Format:
            found[f"reconciliation.{one}"] = lambda one=one: report.reconciliation(period, one)  # type: ignore[misc]
            found[f"usage.{one}"] = lambda one=one: report.usage(period, one)  # type: ignore[misc]
            found[f"journal.{one}"] = lambda one=one: report.journal(period, one)  # type: ignore[misc]
            found[f"aging.{one}"] = lambda one=one: report.aging(last, one)  # type: ignore[misc]
        return found


def _label(period: Span) -> str:
    return f"{period.start:%Y-%m}"
