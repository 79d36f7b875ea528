"""Templates and static files, read once. A static file's URL holds its digest, so that browsers may keep it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from billing.web import format  # noqa: A004 (how pages write amounts and times)
from billing.web.languages import ENGLISH, Languages, Words, marked

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

_TROUBLE: Final = {
    HTTPStatus.NOT_FOUND: (
        marked("This invoice was not found"),
        marked(
            "The link may be cut short, or it may be of another system. Open it again from the message in which you got it,"
            " or ask whoever sent it. Nothing was charged and nothing is lost."
        ),
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        marked("Too many requests"),
        marked("This page was asked for too often from your network. Load it again in a few seconds. Nothing is lost."),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        marked("This page cannot be shown right now"),
        marked(
            "A part of this system does not answer. Load the page again in a minute. A payment that you have made already"
            " is safe on its chain and will be counted."
        ),
    ),
}
_OTHER: Final = (
    marked("This page cannot be shown"),
    marked(
        "Something went wrong here, and it was noted. Load the page again in a minute. A payment that you have made already is"
        " safe on its chain and will be counted."
    ),
)


_DESK_TROUBLE: Final = {
    HTTPStatus.NOT_FOUND: (
        "There is no such page",
        "The link may be cut short, or what it led to is not yours to see.",
    ),
    HTTPStatus.FORBIDDEN: ("You may not do this", "Nothing was changed."),
    HTTPStatus.CONFLICT: (
        "This is not possible now",
        "Nothing was changed. Look again: somebody may have been quicker.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: ("Too many requests", "Wait a little, then try again. Nothing was changed."),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "This page cannot be shown right now",
        "A part of this system does not answer. Load the page again in a minute.",
    ),
}
_DESK_REFUSED: Final = ("This was not accepted", "Nothing was changed. Go back, correct it and send it again.")
_DESK_OTHER: Final = (
    "This page cannot be shown",
    "Something went wrong here, and it was noted. Try again in a minute.",
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    digest: str


class Pages:
    """Renders pages. Everything that is not marked as markup is escaped; an unknown name in a template raises."""

    def __init__(self, languages: Languages | None = None) -> None:
        self.files = {path.name: _file(path) for path in sorted((_HERE / "static").iterdir()) if path.suffix in _TYPES}
        self.languages = Languages() if languages is None else languages
        self._environments = {one.code: self._environment(one) for one in self.languages}

    def _environment(self, words: Words) -> Environment:
        """Templates that speak one language: so no two requests share what a sentence is."""
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.i18n"],
        )
        environment.policies["ext.i18n.trimmed"] = True
        environment.install_gettext_callables(  # type: ignore[attr-defined]
            words.catalogue.gettext, words.catalogue.ngettext, newstyle=True
        )
        environment.globals.update(asset=self.asset, language=words, languages=tuple(self.languages))
        environment.filters.update(format.FILTERS)
        return environment

    def asset(self, name: str) -> str:
        """The URL of a static file."""
        return f"/static/{name}?v={self.files[name].digest}"

    def html(
        self,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        words: Words = ENGLISH,
    ) -> HTMLResponse:
        found = self._environments[words.code].get_template(template)
        return HTMLResponse(found.render(context), status, dict(headers or {}))

    def trouble(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        desk: bool = False,
        detail: str = "",
        words: Words = ENGLISH,
    ) -> HTMLResponse:
        """A calm page that says that there is no page, or why something was not done. `desk`: behind sign-in, in English."""
        if desk:
            title, told = _DESK_TROUBLE.get(HTTPStatus(status), _DESK_REFUSED if status < 500 else _DESK_OTHER)
            context = {"title": title, "words": told, "detail": detail, "status": int(status)}
            return self.html("desk/trouble.html", context, status, headers)
        title, told = _TROUBLE.get(HTTPStatus(status), _OTHER)
        context = {"title": words.say(title), "words": words.say(told), "status": int(status)}
        own = {**(headers or {}), "Vary": "Accept-Language"}
        return self.html("trouble.html", context, status, own, words=words)


def _file(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])
