"""Events that others push: CloudEvents, as OpenMeter's clients send them."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from billing.events.event import EVENTS_MAX, TEXT_MAX, Form
from billing.events.ingester import EventConflict
from billing.web.auth import Pusher
from billing.web.bodies import Route
from billing.web.deps import Web
from billing.web.errors import PROBLEM_RESPONSES, problem

router = APIRouter(prefix="/api/v1/events", tags=["events"], responses=PROBLEM_RESPONSES, route_class=Route)

CONFLICTS_MAX: Final = 100
_CHARSETS: Final = ("", "utf-8", "utf8", "us-ascii")

_TEXTS: Final = {name: {"type": "string", "minLength": 1, "maxLength": most} for name, most in TEXT_MAX.items()}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A CloudEvent. A time that is left out is the time of arrival.",
    "required": ["specversion", "id", "source", "type", "subject"],
    "properties": {
        "specversion": {"const": "1.0"},
        **_TEXTS,
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": {"description": "Any JSON. Numbers and decimal strings keep every digit."},
    },
}
_BATCH: Final[dict[str, Any]] = {"type": "array", "maxItems": EVENTS_MAX, "items": _EVENT}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            Form.SINGLE: {"schema": _EVENT},
            Form.BATCH: {"schema": _BATCH},
            Form.EITHER: {"schema": {"oneOf": [_EVENT, _BATCH]}},
        },
    }
}


async def _form(request: Request) -> Form:
    media, *parameters = request.headers.get("content-type", "").lower().split(";")
    charset = next((one.strip()[len("charset=") :] for one in parameters if one.strip().startswith("charset=")), "")
    if media.strip() not in list(Form) or charset.strip('"') not in _CHARSETS:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be one of {', '.join(Form)}, in UTF-8")
    return Form(media.strip())


async def _content(request: Request) -> bytes:
    return await request.body()


@router.post(
    "",
    summary="Push events",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    openapi_extra=_BODY,
)
def push(
    web: Web, caller: Pusher, form: Annotated[Form, Depends(_form)], body: Annotated[bytes, Depends(_content)]
) -> Response:
    """One event or a batch. 204: every event is on disk, once. 409: a (source, id) is known with another payload; of the
    batch nothing was stored. No Idempotency-Key is needed: an event that is sent again is the same event."""
    try:
        web.ingester.ingest(body, form)
    except EventConflict as error:
        keys = [{"source": source, "id": event_id} for source, event_id in error.keys[:CONFLICTS_MAX]]
        return problem(HTTPStatus.CONFLICT, error.what, conflicts=keys)
    return Response(status_code=HTTPStatus.NO_CONTENT)
