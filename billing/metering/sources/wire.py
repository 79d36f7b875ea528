"""HTTP with an end: a request is over when its seconds are, whatever the server does. The usual timeouts are for each piece,
and a server that sends its answer byte by byte would hold a reader for ever."""

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpcore

CONNECT_SECONDS_MAX: Final = 3
"""A dead host must not hold up the living ones for long."""


class WireError(Exception):
    """There is no answer; the text says why, in a few words."""


class Silent(WireError):
    """The server was reached, and did not answer in time."""


class TooLarge(WireError):
    """The answer has more bytes than are wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Keeps connections to a server. Safe to be used by as many threads as it has connections."""

    def __init__(self, context: ssl.SSLContext, connections: int = 1) -> None:
        self._backend = _Backend()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=connections, network_backend=self._backend
        )

    def close(self) -> None:
        self._pool.close()

    def ask(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        seconds: int,
        bytes_max: int,
        form: bytes | None = None,
    ) -> Answer:
        """GET a page, or POST a form. Raises WireError when there is no whole answer."""
        self._backend.begin(seconds)
        method, given = ("GET" if form is None else "POST"), list(headers.items())
        if form is not None:
            given.append(("Content-Type", "application/x-www-form-urlencoded"))
        extensions = {
            "timeout": {
                "connect": min(seconds, CONNECT_SECONDS_MAX),
                "read": seconds,
                "write": seconds,
                "pool": seconds,
            }
        }
        body = bytearray()
        try:
            with self._pool.stream(method, url, headers=given, content=form, extensions=extensions) as response:
                for chunk in response.iter_stream():
                    body += chunk
                    if len(body) > bytes_max:
                        raise TooLarge(f"answers with more than {bytes_max} bytes")
                found = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers}
                return Answer(response.status, found, bytes(body))
        except httpcore.ConnectTimeout as error:
            raise WireError("cannot be reached in time") from error
        except httpcore.TimeoutException as error:
            raise Silent("did not end in time" if body else f"did not answer in {seconds} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise WireError(str(error) or type(error).__name__) from error
        except (ValueError, UnicodeError) as error:  # a host's name that is none
            raise WireError(f"cannot be asked: {type(error).__name__}") from error


class _Backend(httpcore.NetworkBackend):
    """Connections whose every wait ends with the request. A request is one thread's from its beginning to its end."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._thread = threading.local()

    def begin(self, seconds: int) -> None:
        self._thread.until_ns = time.monotonic_ns() + seconds * 1_000_000_000

    def left(self, timeout: float | None, error: type[httpcore.TimeoutException]) -> float:
        """Seconds to wait at most, now."""
        remaining: float = (self._thread.until_ns - time.monotonic_ns()) / 1_000_000_000
        if remaining <= 0:
            raise error("its time is over")
        return remaining if timeout is None else min(timeout, remaining)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        wait = self.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, wait, local_address, socket_options), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, backend: _Backend) -> None:
        self._inner, self._backend = inner, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        wait = self._backend.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, wait), self._backend)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
