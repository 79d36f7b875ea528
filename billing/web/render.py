"""Templates and static files, read once. A static file's URL holds its digest, so that browsers may keep it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

_TROUBLE: Final = {
    HTTPStatus.NOT_FOUND: (
        "This invoice was not found",
        "The link may be cut short, or it may be of another system. Open it again from the message in which you got it,"
        " or ask whoever sent it. Nothing was charged and nothing is lost.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "Too many requests",
        "This page was asked for too often from your network. Load it again in a few seconds. Nothing is lost.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "This page cannot be shown right now",
        "A part of this system does not answer. Load the page again in a minute. A payment that you have made already"
        " is safe on its chain and will be counted.",
    ),
}
_OTHER: Final = (
    "This page cannot be shown",
    "Something went wrong here, and it was noted. Load the page again in a minute. A payment that you have made already is"
    " safe on its chain and will be counted.",
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    digest: str


class Pages:
    """Renders pages. Everything that is not marked as markup is escaped; an unknown name in a template raises."""

    def __init__(self) -> None:
        self.files = {path.name: _file(path) for path in sorted((_HERE / "static").iterdir()) if path.suffix in _TYPES}
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["asset"] = self.asset

    def asset(self, name: str) -> str:
        """The URL of a static file."""
        return f"/static/{name}?v={self.files[name].digest}"

    def html(
        self, template: str, context: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
    ) -> HTMLResponse:
        return HTMLResponse(self._environment.get_template(template).render(context), status, dict(headers or {}))

    def trouble(self, status: int, headers: Mapping[str, str] | None = None) -> HTMLResponse:
        """A calm page that says that there is no page."""
        title, words = _TROUBLE.get(HTTPStatus(status), _OTHER)
        return self.html("trouble.html", {"title": title, "words": words, "status": int(status)}, status, headers)


def _file(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])
