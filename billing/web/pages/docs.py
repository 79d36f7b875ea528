"""The list of API routes, its OpenAPI description, and static files: all of it from here, nothing from a third party."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from billing.web import auth
from billing.web.deps import Web

router = APIRouter(include_in_schema=False)


@router.get("/api/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    described: dict[str, Any] = request.app.openapi()
    return described


@router.get("/api/docs")
async def docs(web: Web, request: Request) -> Response:
    """Every route, who may call it, and what it takes."""
    described = request.app.openapi()
    routes = [
        _route(route, method, described)
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in sorted(route.methods or ())
    ]
    return web.pages.html("docs.html", {"routes": routes, "info": described["info"]})


def _route(route: APIRoute, method: str, described: dict[str, Any]) -> dict[str, Any]:
    rule = auth.rule_of(route)
    operation = described["paths"][route.path][method.lower()]
    return {
        "method": method,
        "path": route.path,
        "summary": operation["summary"],
        "tag": operation["tags"][0],
        "roles": sorted(rule.roles) if rule else [],
        "takes": [
            (one["name"], one["in"], one["required"], one.get("description", ""))
            for one in operation.get("parameters", ())
        ]
        + _fields(operation, described),
    }


def _fields(operation: dict[str, Any], described: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    """The fields of a body: (name, where, needed, description)."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None or "$ref" not in content["schema"]:
        return []
    body = described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    needed = body.get("required", ())
    return [(name, "body", name in needed, one.get("description", "")) for name, one in body["properties"].items()]


@router.get("/static/{name}")
async def static(web: Web, name: str) -> Response:
    file = web.pages.files.get(name)
    if file is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(file.content, 200, headers, file.media_type)
