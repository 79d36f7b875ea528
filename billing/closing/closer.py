"""Closes months: looks whether nothing can change any more, closes the books, and keeps the files that were made of them."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from billing.closing import store
from billing.closing.closed import Closed, KeptFile
from billing.core.clock import Clock
from billing.core.errors import Conflict, Unavailable
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.reports.reporter import Format, Reporter
from billing.trail.store import Deed, record

Make = Callable[[], Iterator[bytes]]


class Closer:
    def __init__(
        self, database: Database, clock: Clock, reporter: Reporter, chains: Mapping[int, str], folder: Path
    ) -> None:
        """`chains` are the followed ones, by id; files are kept in `folder`, one folder a month."""
        self._database, self._clock, self._reporter = database, clock, reporter
        self._chains, self._folder = chains, folder

    def listed(self) -> list[Closed]:
        """The closed months, the newest first."""
        with self._database.transaction() as session:
            return store.all_closed(session)

    def blockers(self, period: Span) -> list[str]:
        """What keeps a month open, in words; empty when it can be closed."""
        with self._database.transaction() as session:
            return self._blockers(session, period)

    def close(self, period: Span, *, actor: str) -> Closed:
        """Close a month and make its files. A close that was interrupted is finished.

        Raises Conflict when the month is closed already, or something may still change in it.
        """
        label, now = _label(period), self._clock.now()
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
                store.add(session, label, period, actor, carried, now)
                details = {"carried": len(carried)}
                record(session, Deed(now, actor, "books.close", f"period {label}", details=details))
        files = [self._keep(label, name, make) for name, make in self._files(period).items()]
        with self._database.transaction() as session:
            store.lock(session)
            found = store.closed(session, label)
            assert found is not None
            if not found.files:
                store.add_files(session, found.id, files)
            found = store.closed(session, label)
            assert found is not None
        return found

    def kept(self, period: Span, name: str) -> bytes | None:
        """The bytes of a closed month's file; None when the month is open, or has no such file.

        Raises Conflict when the file is gone, or another one, and cannot be made again as it was.
        """
        label = _label(period)
        with self._database.transaction() as session:
            found = store.closed(session, label)
        wanted = next((one for one in found.files if one.name == name), None) if found else None
        if wanted is None:
            return None
        path = self._folder / label / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != wanted.sha256:
            content = b"".join(self._files(period)[name]())
            if hashlib.sha256(content).hexdigest() != wanted.sha256:
                raise Conflict(
                    f"{name} of the closed month {label} is not there as it was made, and cannot be made again",
                    remedy=f"put {path} back from a backup (SHA-256 {wanted.sha256})",
                )
            self._keep(label, name, lambda: iter([content]))
        return content

    def _blockers(self, session: Session, period: Span) -> list[str]:
        now, found = self._clock.now(), []
        if now < period.end:
            return ["it is not over"]
        first = store.first_open_day(session)
        if first is not None and first < period.start.date():
            found.append(f"{first:%Y-%m} comes first")
        count = store.unfinal(session, period.end)
        if count:
            found.append(f"{count} transfers of it are not final and booked")
        found += [
            f"{name} is not final and read twice up to its end"
            for name in store.behind(session, self._chains, period.end)
        ]
        return found

    def _files(self, period: Span) -> dict[str, Make]:
        report, last = self._reporter, (period.end - timedelta(seconds=1)).date()
        found: dict[str, Make] = {"journal.beancount": lambda: report.beancount(period)}
        for one in Format:
            found[f"reconciliation.{one}"] = lambda one=one: report.reconciliation(period, one)  # type: ignore[misc]
            found[f"journal.{one}"] = lambda one=one: report.journal(period, one)  # type: ignore[misc]
            found[f"aging.{one}"] = lambda one=one: report.aging(last, one)  # type: ignore[misc]
        return found

    def _keep(self, label: str, name: str, make: Make) -> KeptFile:
        """Write a file: all of it, on the disk, or nothing."""
        folder, digest, size = self._folder / label, hashlib.sha256(), 0
        beside = folder / f".{name}.part"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with beside.open("wb") as file:
                for chunk in make():
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(folder / name)
        except OSError as error:
            raise Unavailable(f"{folder / name} cannot be written: {error.strerror}") from None
        return KeptFile(name, digest.hexdigest(), size)


def _label(period: Span) -> str:
    return f"{period.start:%Y-%m}"
