"""What holds for every request, whatever its route: security headers, limits on bodies and on how often, a metric, no
traceback."""

import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.telemetry import metrics
from billing.web import errors
from billing.web.limits import Limiter
from billing.web.paths import is_desk

BODY_BYTES_MAX: Final = 1 << 20
BODY_BYTES_MAX_OF: Final = {"/api/v1/events": 8 << 20}
"""Paths that take larger bodies than the others."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
DESK_HEADERS: Final = {
    **HEADERS,
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.replace("form-action 'none'", "form-action 'self'"),
    "Referrer-Policy": "same-origin",
}
"""Of pages behind sign-in: their forms are sent, and browsers name the page that a form comes from to this site alone."""
NO_CACHE: Final = "no-store"
PRIVATE: Final = "/pay/"
GUESS_COST: Final = 29
"""A pay token that does not exist costs so many requests more: whoever guesses may do it ten times, then about twice a second."""


class Shield:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._limiter = app, Limiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _Answer(scope, send)
        started = time.perf_counter()
        try:
            refusal = self._too_often(scope, started) or _refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, seen.send)
            else:
                await self._app(scope, _limited(receive, _bytes_max(scope)), seen.send)
        except Exception:
            if seen.status is None:
                await errors.bug(Request(scope))(scope, receive, seen.send)
            seen.status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise  # the server writes it to the log
        finally:
            route = errors.route_of(Request(scope))
            ended = seen.streams_since or time.perf_counter()
            metrics.REQUESTS.labels(route, str(int(seen.status or 0))).observe(ended - started)
            if seen.status == HTTPStatus.NOT_FOUND and scope["path"].startswith(PRIVATE):
                self._limiter.wait(caller_of(scope), ended, GUESS_COST)

    def _too_often(self, scope: Scope, now: float) -> Any:
        seconds = self._limiter.wait(caller_of(scope), now)
        if not seconds:
            return None
        status, headers = HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(seconds)}
        return errors.answer(Request(scope), status, "too many requests from this address", headers=headers)


class _Answer:
    """Adds the headers to an answer on its way out, and remembers its status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._private = scope["path"].startswith(PRIVATE) or is_desk(scope["path"])
        self._headers = DESK_HEADERS if is_desk(scope["path"]) else HEADERS
        self.status: int | None = None
        self.streams_since: float | None = None
        """When an answer began that goes on until somebody leaves: how long they stay says nothing about us."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=_as_scope(message))
            for name, value in self._headers.items():
                headers[name] = value
            headers.setdefault("Cache-Control", NO_CACHE)
            if headers.get("content-type", "").startswith("text/event-stream"):
                self.streams_since = time.perf_counter()
            if self._private:
                headers["X-Robots-Tag"] = "noindex, nofollow"
        await self._send(message)


def caller_of(scope: Scope) -> str:
    """The network address that asks; empty where there is none."""
    found: str = (scope.get("client") or ("",))[0]
    return found


def _as_scope(message: Message) -> MutableMapping[str, Any]:
    message.setdefault("headers", [])
    return message


def _refusal(scope: Scope) -> Any:
    """The answer to what is refused before any route sees it; None for the rest. No text with a NUL reaches the database."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        return errors.answer(Request(scope), HTTPStatus.BAD_REQUEST, "the path or the query holds a NUL")
    most = _bytes_max(scope)
    for name, value in scope["headers"]:
        if name == b"content-length" and (len(value) > 12 or not value.isdigit() or int(value) > most):
            return errors.answer(Request(scope), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(most))
    return None


def _bytes_max(scope: Scope) -> int:
    return BODY_BYTES_MAX_OF.get(scope["path"], BODY_BYTES_MAX)


def _limited(receive: Receive, most: int) -> Receive:
    """Counts a body as it arrives: one that comes in chunks tells no length beforehand."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > most:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(most))
        return message

    return counted


def _too_large(most: int) -> str:
    return f"a body may have {most} bytes"
