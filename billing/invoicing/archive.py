"""The archive: every document, byte for byte, outside the database, before anybody can see its address.

The document is the recovery key of its address. A directory holds, by month of issue, `documents-YYYY-MM.jsonl` (one
canonical document a line; canonical JSON has no line breaks) and `journal-YYYY-MM.jsonl` (what happened to it: prepared
before the commit, issued after it). Files only grow. A line that was cut off by a crash is passed over when reading.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from billing.core.errors import Invalid, Unavailable
from billing.core.onchain import Hash32
from billing.core.period import rfc3339
from billing.invoicing import document as documents


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document about to be issued. `index` is its HD index in xpub mode: the document itself does not tell it."""

    content: bytes
    digest: Hash32
    number: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Archived:
    """A document in the archive. `issued` is False when its commit was never confirmed (a crash in between, say)."""

    content: bytes
    digest: Hash32
    index: int | None
    issued: bool


class Archive:
    """One or more directories that all hold the same."""

    def __init__(self, directories: Sequence[Path]) -> None:
        assert directories
        self._directories = list(directories)

    def prepare(self, batch: Sequence[Prepared], at: datetime) -> None:
        """Append documents to every directory and wait until the disk has them. Raises Unavailable when one cannot."""
        lines = b"".join(one.content + b"\n" for one in batch)
        events = [
            {"event": "prepared", "at": rfc3339(at), "digest": one.digest, "number": one.number, "index": one.index}
            for one in batch
        ]
        for directory in self._directories:
            self._append(directory / f"documents-{at:%Y-%m}.jsonl", lines)
            self._append(directory / f"journal-{at:%Y-%m}.jsonl", _lines(events))

    def issued(self, digests: Iterable[Hash32], at: datetime) -> None:
        """Note that the transaction that issued these was committed."""
        events = [{"event": "issued", "at": rfc3339(at), "digest": digest} for digest in digests]
        for directory in self._directories:
            self._append(directory / f"journal-{at:%Y-%m}.jsonl", _lines(events))

    def read(self) -> list[Archived]:
        """Every document of any directory, once, in the order in which they were archived.

        Raises Invalid when a whole line is not the document that it claims to be: somebody changed the archive.
        """
        found: dict[Hash32, bytes] = {}
        index: dict[Hash32, int | None] = {}
        issued: set[Hash32] = set()
        for directory in self._directories:
            for line in self._whole_lines(directory, "documents-*.jsonl"):
                documents.parse(line)
                found.setdefault(documents.digest(line), line)
            for line in self._whole_lines(directory, "journal-*.jsonl"):
                try:
                    event = json.loads(line)
                    digest = Hash32(event["digest"])
                    if event["event"] == "issued":
                        issued.add(digest)
                    else:
                        index[digest] = event["index"]
                except (ValueError, KeyError, TypeError) as error:
                    raise Invalid(f"the archive's journal in {directory} has a line that is not its own") from error
        return [Archived(content, digest, index.get(digest), digest in issued) for digest, content in found.items()]

    def digests(self, directory: Path) -> set[Hash32]:
        """The digests of the documents in one directory."""
        return {documents.digest(line) for line in self._whole_lines(directory, "documents-*.jsonl")}

    @property
    def directories(self) -> list[Path]:
        return list(self._directories)

    def check(self) -> None:
        """Can every directory be written? Raises Unavailable."""
        for directory in self._directories:
            directory.mkdir(parents=True, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise Unavailable(f"the archive {directory} cannot be written")

    @staticmethod
    def _whole_lines(directory: Path, pattern: str) -> Iterator[bytes]:
        for path in sorted(directory.glob(pattern)):
            content = path.read_bytes()
            for line in content.split(b"\n")[:-1]:  # what follows the last line break was cut off by a crash
                if line and not line.endswith(b"\x18"):
                    yield line

    @staticmethod
    def _append(path: Path, lines: bytes) -> None:
        """Append and fsync. A line that a crash cut off is closed with a cancel mark, so that it stays alone on its line."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists()
            with path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\x18\n")
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if new:
                folder = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise Unavailable(
                f"the archive {path.parent} cannot be written: {error.strerror}",
                remedy="nothing was issued; mend wallet.archive",
            ) from error


def _lines(events: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(event, sort_keys=True).encode() + b"\n" for event in events)
