"""For monitors: does the process live, can it work, how is it doing."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response

from billing.core.errors import Unavailable
from billing.telemetry import metrics
from billing.web import store
from billing.web.deps import Web, Wired
from billing.web.errors import RETRY_SECONDS, problem

router = APIRouter(include_in_schema=False)


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.api_route("/readyz", methods=["GET", "HEAD"], response_model=None)
def readyz(web: Web) -> Response | dict[str, Any]:
    """The database answers with the right schema, and no chain waits for a person."""
    reasons = _reasons(web)
    if not reasons:
        return {"status": "ready", "reasons": []}
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(reasons), headers=headers, reasons=reasons)


def _reasons(web: Wired) -> list[str]:
    try:
        with web.database.transaction() as session:
            found = store.schema(session)
            if found != web.schema:
                return [f"the database has schema {found or 'none'}, this version needs {web.schema}"]
            return [f"chain {name} is stopped" for name in store.stopped_chains(session)]
    except Unavailable:
        return ["the database does not answer"]


@router.get("/metrics")
def show_metrics(web: Web) -> Response:
    """For Prometheus."""
    return Response(metrics.render(web.gauger.read()), media_type=metrics.CONTENT_TYPE)
