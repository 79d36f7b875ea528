"""Files of lines that only grow. A line that a crash cut off is closed with a cancel mark and passed over when reading."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from billing.core.errors import Unavailable

CANCEL: Final = b"\x18"


def append(path: Path, lines: bytes) -> None:
    """Append whole lines and wait until the disk has them. Raises Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(CANCEL + b"\n")
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


class Tail:
    """Remembers how far each file was read, so that reading again costs only what was added."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def lines(self, directory: Path, pattern: str) -> Iterator[bytes]:
        """The whole lines that are new in a directory's files, files by name. A file counts as read once all its new
        lines were taken; one that became shorter was replaced, and is read from its start."""
        for path in sorted(directory.glob(pattern)):
            start, size = self._read.get(path, 0), path.stat().st_size
            if size == start:
                continue
            with path.open("rb") as file:
                file.seek(start if start < size else 0)
                first = file.tell()
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]  # what follows the last line break may have been cut off
            yield from (line for line in whole.split(b"\n") if line and not line.endswith(CANCEL))
            self._read[path] = first + len(whole)
