"""Signing in by a link, and out. A link that is only looked at stays good: mail scanners follow links too."""

import time
from typing import Annotated, Final

from fastapi import APIRouter, BackgroundTasks, Depends, Response
from fastapi.responses import RedirectResponse

from billing.access.login import WITH_PAGES, checked_email
from billing.web.deps import Web, Wired
from billing.web.desk import nav
from billing.web.desk.shell import Head, page
from billing.web.door import GUEST_COOKIE as GUEST
from billing.web.door import SESSION_COOKIE, AtTheDoor, Guest, Page, Visitor, drop_cookie, let_in, set_cookie, whom

router = APIRouter(include_in_schema=False)

GUEST_SECONDS: Final = 3600

Anybody = Annotated[Visitor, Depends(Page(*WITH_PAGES))]
"""Whoever is signed in."""


@router.get("/")
def front() -> Response:
    return RedirectResponse("/home", 303)


@router.get("/home")
def home(web: Web, visitor: Anybody) -> Response:
    """The page that this role sees first."""
    path = nav.home_of(visitor.role)
    if path:
        return RedirectResponse(path, 303)
    return page(web, visitor, "desk/home.html", Head("Welcome"), {})


@router.get("/login")
def ask_page(web: Web, guest: AtTheDoor) -> Response:
    """Where a tenant's contact or an owner asks for a link."""
    return _door(web, guest, "ask")


@router.post("/login")
def ask(web: Web, guest: AtTheDoor, later: BackgroundTasks) -> Response:
    """The answer is the same, and as quick, whether the address is known or not."""
    email = checked_email(guest.form.text("email", most=254, needed=True))
    address = guest.request.client.host if guest.request.client else ""
    wait = web.asks.wait(address, time.monotonic())
    if wait:
        return web.pages.trouble(429, {"Retry-After": str(wait)}, desk=True)
    later.add_task(web.doorkeeper.ask, email)
    return _door(web, guest, "asked")


@router.get("/login/{token}")
def link_page(web: Web, guest: AtTheDoor, token: str) -> Response:
    """Whom the link lets in, and one button."""
    holder = web.doorkeeper.waiting(token)
    if holder is None:
        return _door(web, guest, "gone", 404)
    return _door(web, guest, "enter", holder=holder.name, whom=whom(holder), action=f"/login/{token}")


@router.post("/login/{token}")
def enter(web: Web, guest: AtTheDoor, token: str) -> Response:
    """Uses the link up."""
    opened = web.doorkeeper.enter(token)
    if opened is None:
        return _door(web, guest, "gone", 404)
    answer = RedirectResponse("/home", 303)
    let_in(web, answer, opened)
    return answer


@router.post("/logout")
def leave(web: Web, visitor: Anybody) -> Response:
    web.doorkeeper.leave(visitor.key, actor=visitor.actor)
    answer = RedirectResponse("/login", 303)
    drop_cookie(web, answer, SESSION_COOKIE)
    return answer


def _door(web: Wired, guest: Guest, shown: str, status: int = 200, **context: str) -> Response:
    given = {"shown": shown, "token": guest.token, "issuer": web.issuer_name, "mail": web.sends_mail, **context}
    answer = web.pages.html("desk/door.html", given, status)
    if guest.fresh:
        set_cookie(web, answer, GUEST, guest.fresh, GUEST_SECONDS)
    return answer
