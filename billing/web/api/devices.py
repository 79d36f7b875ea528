"""Devices: the inventory, whole GPUs and MIG instances."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.core.period import rfc3339
from billing.web import store
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.schemas import Name, end_text

router = APIRouter(prefix="/api/v1/devices", tags=["devices"], responses=PROBLEM_RESPONSES, route_class=Route)


class DeviceOut(BaseModel):
    """`gpu_instance` and `profile` are empty for a whole GPU. `retired_at` is null while it is in service."""

    uuid: str
    gpu_instance: str
    profile: str
    model: str
    host: str
    source: str
    in_service_since: str
    retired_at: str | None
    last_seen_at: str


class DeviceQuery(PageQuery):
    host: Name | None = None
    source: Name | None = None


@router.get("", summary="List devices")
def list_devices(web: Web, caller: Staff, query: Annotated[DeviceQuery, Query()]) -> Listing[DeviceOut]:
    with web.database.transaction() as session:
        rows = store.devices(
            session,
            host=query.host,
            source=query.source,
            after_id=query.after("devices"),
            limit=query.limit + 1,
        )
    page = sliced("devices", [(row["id"], row) for row in rows], query.limit)
    items = [
        DeviceOut(
            uuid=row["uuid"],
            gpu_instance=row["gpu_i_id"],
            profile=row["profile"],
            model=row["model"],
            host=row["host"],
            source=row["source"],
            in_service_since=rfc3339(row["start"]),
            retired_at=end_text(row["until"]),
            last_seen_at=rfc3339(row["seen_at"]),
        )
        for row in page.rows
    ]
    return Listing(items=items, next_cursor=page.next_cursor)
