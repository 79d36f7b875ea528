"""What all pages behind sign-in share. To add a page:

1. A module in billing/web/desk/ with `router = APIRouter(include_in_schema=False)`, added to ROUTERS in web/app.py.
2. A rule: `Reader = Annotated[Visitor, Depends(Page(KeyRole.FINANCE, KeyRole.AUDITOR))]`; a handler without one is not served.
3. `@router.get("/finance/aging")`, a plain `def` that takes `web: Web, visitor: Reader`, reads in one
   `web.database.transaction()`, and answers `page(web, visitor, "desk/aging.html", Head("Aging", (FINANCE,)), {...})`.
4. A template in templates/desk/: `{% extends "desk.html" %}`, `{% import "desk/parts.html" as parts %}`, block `content`.
   Tables, tiles, filters, pages of a list and forms are macros of parts.html; amounts and times are filters (web/format.py).
5. A link in desk/nav.py. The first part of a new path goes into web/paths.py.
6. What changes something: `{% call parts.form(page, "/finance/...") %}` in the template, `@router.post` with the same kind of rule
   (token and origin are checked before the handler runs), `visitor.form.text("reason", needed=True)`, then
   `said = done_once(web, visitor, lambda joined: ...)` and `return back_to(web, visitor, "/finance/aging", said)`.
   Raise the usual errors: Invalid, NotFound, Conflict become a page in words.
7. A test with tests/web/browser.py: `browser(app, KeyRole.FINANCE).get("/finance/aging")`; `.post(path, {...})` fills in tokens.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse

from billing.core.errors import Conflict, Invalid
from billing.web import store
from billing.web.deps import Wired
from billing.web.desk import nav
from billing.web.desk.nav import Area, Link
from billing.web.door import FLASH_COOKIE, FLASH_SECONDS, Visitor, cookie_name, drop_cookie, fresh_once, set_cookie
from billing.web.forms import ONCE_FIELD
from billing.web.idempotency import KEPT_FOR, Joined

FORM_PREFIX: Final = "form:"


@dataclass(frozen=True, slots=True)
class Head:
    """A page's title, and the pages above it: links, the outermost first."""

    title: str
    crumbs: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class Shell:
    """What desk.html needs of a page, as `page`."""

    visitor: Visitor
    head: Head
    areas: Sequence[Area]
    issuer: str
    said: str

    @property
    def token(self) -> str:
        return self.visitor.token

    @property
    def path(self) -> str:
        return self.visitor.request.url.path

    def once(self) -> str:
        return fresh_once()

    def is_here(self, path: str) -> bool:
        """Whether a link of the navigation leads to this page, or to one above it."""
        best = max(
            (len(link.path) for area in self.areas for link in area.links if _within(self.path, link.path)), default=0
        )
        return _within(self.path, path) and len(path) == best

    def next_page(self, cursor: str) -> str:
        """The same list with the same filters, from a cursor on."""
        asked = [(k, v) for k, v in self.visitor.request.query_params.multi_items() if k != "cursor" and v]
        return "?" + urlencode([*asked, ("cursor", cursor)])


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(above + "/")


def page(
    web: Wired, visitor: Visitor, template: str, head: Head, context: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """A page with the shell around it. What was said by the redirect before it is shown, once."""
    said = _heard(web, visitor)
    shell = Shell(visitor, head, nav.areas_of(visitor.role), web.issuer_name, said)
    answer = web.pages.html(template, {**context, "page": shell}, status)
    if cookie_name(web, FLASH_COOKIE) in visitor.request.cookies:
        drop_cookie(web, answer, FLASH_COOKIE)
    return answer


def back_to(web: Wired, visitor: Visitor, path: str, said: str = "") -> Response:
    """To the page that shows what a form did; `said` stands at its top. `path` is ours, never the visitor's."""
    answer = RedirectResponse(path, 303)
    if said:
        content = base64.urlsafe_b64encode(json.dumps(said[:500]).encode()).decode()
        set_cookie(web, answer, FLASH_COOKIE, f"{content}.{_sealed(visitor, content)}", FLASH_SECONDS)
    return answer


def _sealed(visitor: Visitor, content: str) -> str:
    return hmac.new(visitor.token.encode(), b"said " + content.encode(), hashlib.sha256).hexdigest()


def _heard(web: Wired, visitor: Visitor) -> str:
    content, _, seal = visitor.request.cookies.get(cookie_name(web, FLASH_COOKIE), "").partition(".")
    if not content or not hmac.compare_digest(seal.encode(), _sealed(visitor, content).encode()):
        return ""
    try:
        return str(json.loads(base64.urlsafe_b64decode(content)))
    except (binascii.Error, ValueError):
        return ""


def done_once(web: Wired, visitor: Visitor, write: Callable[[Joined], str]) -> str:
    """Do what a form asks for in one transaction, and answer what is to be said of it. The same form sent again (a second click, a
    reload) does nothing, and the same is said. `write` may only use what joins the transaction that it is given."""
    key = visitor.form.text(ONCE_FIELD, most=100)
    if not key:
        raise Invalid("this form cannot be told from another", remedy="load its page again")
    sent = sorted((name, tuple(values)) for name, values in visitor.form.fields.items())
    digest = hashlib.sha256(repr((visitor.request.url.path, sent)).encode()).hexdigest()
    with web.database.transaction() as session:
        before = store.reserve(session, visitor.key, FORM_PREFIX + key, digest, web.clock.now())
        if before is not None and before.request_digest != digest:
            raise Conflict("this form was sent already, with other content")
        if before is not None:
            return before.body
        said = write(Joined(session))
        store.keep_answer(session, visitor.key, FORM_PREFIX + key, 303, said)
        store.forget_answers(session, web.clock.now() - KEPT_FOR)
    return said
