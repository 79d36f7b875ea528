"""Every error as problem details (RFC 9457). What went wrong inside is for the log, never for the caller."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from billing.core.errors import Conflict, Invalid, NotFound, StablemeterError, Unavailable, Untrusted
from billing.telemetry.logs import logger
from billing.web.paths import is_desk, is_pay

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
ERRORS_MAX: Final = 20

_STATUS: Final[Mapping[type[StablemeterError], int]] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Untrusted: HTTPStatus.BAD_GATEWAY,
}
_REMOTE: Final = {
    HTTPStatus.SERVICE_UNAVAILABLE: "something that this needs does not answer at the moment; try again",
    HTTPStatus.BAD_GATEWAY: "something that this needs gave an answer that cannot be right; it was not used",
    HTTPStatus.INTERNAL_SERVER_ERROR: "something went wrong here; it was noted",
}


class Problem(BaseModel):
    """An error. `errors` lists the fields that were wrong, `reasons` what is not ready."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    kind: {"description": what, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for kind, what in (("4XX", "What the caller can mend"), ("5XX", "What the caller cannot mend"))
}


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail, **more}
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


def install(api: FastAPI) -> None:
    """Answer every error that handlers raise. What is a bug goes on to `Shield`, which answers and lets it be logged."""
    api.add_exception_handler(StablemeterError, _expected)
    api.add_exception_handler(RequestValidationError, _malformed)
    api.add_exception_handler(HTTPException, _refused)


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, StablemeterError)
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    if status in _REMOTE:
        logger("web").warning("a request failed", path=route_of(request), error=str(error), kind=type(error).__name__)
        return answer(request, status, _REMOTE[HTTPStatus(status)])
    return answer(request, status, error.what)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()[:ERRORS_MAX]
    if any(one["type"] == "json_invalid" for one in found):
        return answer(request, HTTPStatus.BAD_REQUEST, "the body is no JSON")
    errors = [
        {"field": ".".join(map(str, one["loc"])), "message": str(one["msg"]).removeprefix("Value error, ")}
        for one in found
    ]
    return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not as it should be", errors=errors)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    if error.status_code == HTTPStatus.SEE_OTHER:
        return Response(None, error.status_code, error.headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "there is nothing under this path"
    return answer(request, error.status_code, detail, headers=error.headers)


def answer(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A problem; for a person on a page, a page that says so."""
    headers = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if is_desk(request.scope["path"]):
        told = detail if status < HTTPStatus.INTERNAL_SERVER_ERROR else ""
        said = "; ".join(f"{one['field'].partition('.')[2]}: {one['message']}" for one in more.get("errors", ()))
        return request.app.state.wired.pages.trouble(status, headers, desk=True, detail=said or told)  # type: ignore[no-any-return]
    if is_pay(request.scope["path"]):
        pages = request.app.state.wired.pages
        spoken = pages.languages.choose(
            request.query_params.get("lang", ""), request.headers.get("accept-language", "")
        )
        return pages.trouble(status, headers, words=spoken.words)  # type: ignore[no-any-return]
    return problem(status, detail, headers=headers, **more)


def route_of(request: Request) -> str:
    """The route's template: a path may hold a pay token, which is not for logs."""
    return getattr(request.scope.get("route"), "path", "unmatched")


def bug(request: Request) -> Response:
    return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, _REMOTE[HTTPStatus.INTERNAL_SERVER_ERROR])
