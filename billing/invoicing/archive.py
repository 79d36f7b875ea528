"""The archive: every document, byte for byte, outside the database, before anybody can see its address.

The document is the recovery key of its address. A directory holds, by month of issue, `journal-YYYY-MM.jsonl` (what
happened to each document: prepared before the commit, issued after it) and `documents-YYYY-MM.jsonl` (one canonical
document a line; canonical JSON has no line breaks). Files only grow.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from billing.core.errors import Unavailable
from billing.core.onchain import Hash32
from billing.core.period import rfc3339
from billing.invoicing import document as documents
from billing.invoicing import journal
from billing.invoicing.journal import Event, Happened
from billing.invoicing.lines import Tail, append

DOCUMENTS: Final = "documents-*.jsonl"
JOURNAL: Final = "journal-*.jsonl"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document about to be issued, with what it does not tell: its HD index in xpub mode, and its pay page's token."""

    content: bytes
    digest: Hash32
    number: str
    index: int | None = None
    pay_token: str = ""


@dataclass(frozen=True, slots=True)
class Archived:
    """A document in the archive, with what the journal knows of it. `issued` is False when its commit was never confirmed
    (a crash in between, say)."""

    content: bytes
    digest: Hash32
    number: str
    index: int | None
    pay_token: str
    issued: bool


class Archive:
    """One or more directories that all hold the same."""

    def __init__(self, directories: Sequence[Path]) -> None:
        assert directories
        self._directories = list(directories)

    def prepare(self, batch: Sequence[Prepared], at: datetime) -> None:
        """Append documents to every directory and wait until the disk has them. Raises Unavailable when one cannot.

        The journal comes first: no document is ever in the archive without its index and token.
        """
        when = rfc3339(at)
        events = [Event(Happened.PREPARED, p.digest, when, p.number, p.index, p.pay_token) for p in batch]
        lines = b"".join(one.content + b"\n" for one in batch)
        for directory in self._directories:
            self._note([directory], events, at)
            append(directory / DOCUMENTS.replace("*", f"{at:%Y-%m}"), lines)

    def issued(self, digests: Iterable[Hash32], at: datetime) -> None:
        """Note that the transaction that issued these was committed."""
        self._note(self._directories, [Event(Happened.ISSUED, digest, rfc3339(at)) for digest in digests], at)

    def left(self, digests: Iterable[Hash32], at: datetime) -> None:
        """Note that these were issued, and that a restore left them to a person."""
        self._note(self._directories, [Event(Happened.LEFT, digest, rfc3339(at)) for digest in digests], at)

    def read(self) -> list[Archived]:
        """Every document of any directory, once.

        Raises Invalid when a whole line is not the document that it claims to be: somebody changed the archive.
        """
        found: dict[Hash32, tuple[bytes, str]] = {}
        for directory in self._directories:
            for line in Tail().lines(directory, DOCUMENTS):
                found.setdefault(documents.digest(line), (line, documents.parse(line).number))
        prepared, issued = self._journal()
        unknown = Event(Happened.PREPARED, Hash32(""), "")
        archived = []
        for digest, (content, number) in found.items():
            noted = prepared.get(digest, unknown)
            archived.append(Archived(content, digest, number, noted.index, noted.pay_token, digest in issued))
        return archived

    def lost(self, archived: Iterable[Archived]) -> dict[Hash32, str]:
        """{digest: number} of what the journal says was issued, and of which no directory has the document."""
        prepared, issued = self._journal()
        return {d: prepared[d].number if d in prepared else "" for d in issued - {one.digest for one in archived}}

    def _journal(self) -> tuple[dict[Hash32, Event], set[Hash32]]:
        """What was prepared, and the digests of what was issued."""
        events = list(self.events(Tail()))
        prepared = {event.digest: event for event in events if event.happened is Happened.PREPARED}
        return prepared, {event.digest for event in events if event.happened is Happened.ISSUED}

    def events(self, tail: Tail) -> Iterator[Event]:
        """What the journals of all directories say, from where `tail` was read to. Raises Invalid for a foreign line."""
        for directory in self._directories:
            yield from map(journal.parse, tail.lines(directory, JOURNAL))

    def digests(self, directory: Path) -> set[Hash32]:
        """The digests of the documents in one directory."""
        return {documents.digest(line) for line in Tail().lines(directory, DOCUMENTS)}

    @property
    def directories(self) -> list[Path]:
        return list(self._directories)

    def check(self) -> None:
        """Can every directory be written? Raises Unavailable."""
        for directory in self._directories:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(f"the archive {directory} cannot be written: {error.strerror}") from None
            if not os.access(directory, os.W_OK | os.X_OK):
                raise Unavailable(f"the archive {directory} cannot be written")

    @staticmethod
    def _note(directories: Iterable[Path], events: Sequence[Event], at: datetime) -> None:
        for directory in directories if events else ():
            append(directory / JOURNAL.replace("*", f"{at:%Y-%m}"), b"".join(map(journal.line, events)))
