"""Reads the files that a source names: patterns, bounded, and remembered until they change."""

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from billing.core.errors import StablemeterError, Unavailable, Untrusted

BYTES_MAX: Final = 256 << 20
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file has changed. `written` is its modification time in whole seconds."""

    size: int
    written_ns: int
    inode: int

    @property
    def written(self) -> int:
        return self.written_ns // 1_000_000_000


class Folder(Generic[V]):
    """Files by pattern, each decoded once as long as it stays the same."""

    def __init__(self, source: str, patterns: Sequence[str], decode: Callable[[bytes, Stamp], V]) -> None:
        self._source, self._patterns, self._decode = source, patterns, decode
        self._known: dict[Path, tuple[Stamp, V]] = {}

    def read(self) -> list[tuple[Path, V]]:
        """All files, by path. Raises Unavailable when one is not there or cannot be read, Untrusted when one is too large,
        and what `decode` raises, with the file's name."""
        found: dict[Path, tuple[Stamp, V]] = {}
        for path in self._paths():
            try:
                stamp = _stamp(path)
                known = self._known.get(path)
                if known is not None and known[0] == stamp:
                    found[path] = known
                    continue
                if stamp.size > BYTES_MAX:
                    raise Untrusted(f"{path.name} is larger than {BYTES_MAX} bytes")
                content = path.read_bytes()
                if _stamp(path) != stamp:
                    raise Unavailable(f"{path.name} is being written", remedy="write another name, then rename it")
            except OSError as error:
                raise Unavailable(f"source {self._source}: {path} cannot be read: {error.strerror}") from error
            try:
                found[path] = (stamp, self._decode(content, stamp))
            except StablemeterError as error:
                raise type(error)(f"source {self._source}: {path.name}: {error}") from error
        self._known = found
        return [(path, value) for path, (_, value) in found.items()]

    def _paths(self) -> list[Path]:
        paths: set[str] = set()
        for pattern in self._patterns:
            matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matches:
                raise Unavailable(f"source {self._source}: there is no file {pattern}")
            paths.update(matches)
        return [path for path in map(Path, sorted(paths)) if not path.is_dir()]


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)
