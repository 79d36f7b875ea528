"""Runs a program that was named in the settings: without a shell, with an end to its time and to its output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from billing.core.errors import Unavailable, Untrusted

OUTPUT_BYTES_MAX: Final = 256 << 20
ERROR_BYTES_MAX: Final = 64 << 10
_CHUNK: Final = 1 << 16


def output(command: Sequence[str], *, environment: Mapping[str, str], timeout_seconds: int) -> bytes:
    """What a command wrote. Raises Unavailable when it cannot be started, fails, complains or takes too long, and
    Untrusted when it writes too much. Nothing of it is left running."""
    name = command[0]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unavailable(f"{name} cannot be started: {reason}", remedy="see metering.sources.command") from error
    try:
        out, err = _drained(process, name, time.monotonic() + timeout_seconds, timeout_seconds)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # also what it started itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
    said = " ".join(err.decode(errors="replace").split())[:200]
    if process.returncode != 0:
        raise Unavailable(f"{name} ended with code {process.returncode}: {said or 'it said nothing'}")
    if "error" in said.lower():  # some versions complain and then answer with nothing and code 0
        raise Unavailable(f"{name} complained: {said}")
    return bytes(out)


def _drained(
    process: subprocess.Popen[bytes], name: str, deadline: float, timeout_seconds: int
) -> tuple[bytearray, bytearray]:
    """Standard output and error, read to their end while the process runs."""
    assert process.stdout is not None and process.stderr is not None
    found = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    out, err = found.values()
    late = Unavailable(f"{name} did not answer within {timeout_seconds} s")
    with selectors.DefaultSelector() as selector:
        for descriptor in found:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                raise late
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fd)
                elif key.fd != process.stderr.fileno() or len(err) < ERROR_BYTES_MAX:
                    found[key.fd] += chunk
            if len(out) > OUTPUT_BYTES_MAX:
                raise Untrusted(f"{name} wrote more than {OUTPUT_BYTES_MAX} bytes")
            if time.monotonic() > deadline:
                raise late
    try:
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise late from None
    return out, err
