"""Files as answers: written to a temporary file first, so that an error still has its status, memory stays flat, and nobody who
reads slowly keeps a transaction open."""

import hashlib
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from billing.core.errors import Unavailable

TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "beancount": "text/plain; charset=utf-8",
    "pdf": "application/pdf",
}
"""Content types by the ending of a file's name."""
AT_ONCE: Final = 2
"""Files that are made at the same time; whoever asks meanwhile is asked to come again."""
CHUNK: Final = 256 << 10
PAUSE_BYTES: Final = 64 << 10

_making = threading.BoundedSemaphore(AT_ONCE)


def file_response(request: Request, name: str, make: Callable[[], Iterable[bytes]]) -> Response:
    """A file, whole, with its SHA-256; 304 for who has these bytes. Raises Unavailable when too many are made already, and whatever
    making it raises."""
    if not _making.acquire(blocking=False):
        raise Unavailable(f"{AT_ONCE} files are being made already")
    try:
        file, size, digest = _spooled(make())
    except OSError as error:
        raise Unavailable(f"a temporary file cannot be written: {error.strerror}") from None
    finally:
        _making.release()
    headers = {
        "ETag": f'"{digest.hex()}"',
        "Repr-Digest": f"sha-256=:{b64encode(digest).decode()}:",
        "Cache-Control": "private, no-cache",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        file.close()
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    media_type = TYPES[name.rpartition(".")[2]]
    return StreamingResponse(_chunks(file), 200, headers, media_type, BackgroundTask(file.close))


def _spooled(content: Iterable[bytes]) -> tuple[BinaryIO, int, bytes]:
    """A temporary file at its beginning, its size and SHA-256."""
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (whoever sends it closes it)
    digest, since = hashlib.sha256(), 0
    try:
        for chunk in content:
            digest.update(chunk)
            file.write(chunk)
            since += len(chunk)
            if since > PAUSE_BYTES:
                time.sleep(0)  # lets the threads run that answer the other requests
                since = 0
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, size, digest.digest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
