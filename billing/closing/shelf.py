"""The shelf of closed months: their files in one folder a month, and copies of them where the archive is. Every copy is known by
its SHA-256."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from billing.closing.closed import KeptFile
from billing.core.errors import Unavailable

CHUNK: Final = 1 << 20


class Shelf:
    def __init__(self, folders: Sequence[Path]) -> None:
        """All of the folders hold the same."""
        assert folders
        self._folders = list(folders)

    @property
    def folders(self) -> list[Path]:
        return list(self._folders)

    def put(self, label: str, name: str, content: Iterable[bytes], wanted: KeptFile | None = None) -> KeptFile:
        """Write a file of a month into every folder: all of it, on the disk, or Unavailable is raised. Where it is told what is
        wanted, another content is not kept."""
        first, *others = self._folders
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in content:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        def right() -> bool:
            return wanted is None or wanted.sha256 == digest.hexdigest()

        written = _write(first / label / name, counted(), right)
        kept = KeptFile(name, digest.hexdigest(), size)
        for folder in others if written else ():
            _write(folder / label / name, _chunks((first / label / name).open("rb")))
            if (copy := _intact(folder / label / name, kept)) is None:
                raise Unavailable(f"{folder / label / name} is not what was written", remedy="look at that disk")
            copy.close()
        return kept

    def find(self, label: str, kept: KeptFile) -> Iterator[bytes] | None:
        """A file's bytes, out of the first folder that has it as it was made; None when none has. Folders before that one get
        it back."""
        for number, folder in enumerate(self._folders):
            found = _intact(folder / label / kept.name, kept)
            if found is not None:
                for other in self._folders[:number]:
                    with suppress(Unavailable):  # whoever asks has the bytes all the same
                        _write(other / label / kept.name, _chunks((folder / label / kept.name).open("rb")))
                return _chunks(found)
        return None

    def has(self, label: str, kept: KeptFile) -> bool:
        """Does any folder have a file as it was made?"""
        for folder in self._folders:
            if (found := _intact(folder / label / kept.name, kept)) is not None:
                found.close()
                return True
        return False


def _intact(path: Path, kept: KeptFile) -> BinaryIO | None:
    """The file, open at its beginning, if it is as it was made."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    if os.fstat(file.fileno()).st_size == kept.size and hashlib.file_digest(file, "sha256").hexdigest() == kept.sha256:
        file.seek(0)
        return file
    file.close()
    return None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _write(path: Path, content: Iterable[bytes], right: Callable[[], bool] = lambda: True) -> bool:
    """Write a file, or leave what is there when the content turns out not to be right; False then."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        if right():
            beside.replace(path)
            _sync(path.parent)
            return True
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return False


def _sync(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
