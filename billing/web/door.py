"""The door of the pages: cookies, sessions, and the checks that every form passes before a handler sees it."""

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from billing.access.login import Holder, Opened, Session, form_token, is_form_token, new_token, person
from billing.tenants.keys import Bearer, KeyRole
from billing.web.auth import Caller, Rule, slow_down
from billing.web.deps import Web, Wired
from billing.web.forms import SAFE, TOKEN_FIELD, Form, Posted

SESSION_COOKIE: Final = "stablemeter"
GUEST_COOKIE: Final = "stablemeter-guest"
FLASH_COOKIE: Final = "stablemeter-said"
FLASH_SECONDS: Final = 60
STALE: Final = "this form is not one of ours, or too old: load its page again and send it once more"


@dataclass(frozen=True, slots=True)
class Visitor(Caller):
    """Who looks at a page. `form` is what was posted, checked already."""

    request: Request = field(kw_only=True)
    form: Form = field(kw_only=True)
    token: str = field(kw_only=True, repr=False)
    """What the page's own forms carry."""

    @property
    def actor(self) -> str:
        """The person, whichever of its sessions this is: where two must agree, one is not two."""
        return person(self.bearer.name, self.bearer.tenant or self.bearer.owner)

    @property
    def role(self) -> KeyRole:
        return self.bearer.role

    @property
    def tenant_id(self) -> int:
        """Of a page that only tenants see."""
        assert self.role is KeyRole.TENANT and self.bearer.tenant_id is not None
        return self.bearer.tenant_id

    @property
    def owner_id(self) -> int:
        """Of a page that only owners see."""
        assert self.role is KeyRole.OWNER and self.bearer.owner_id is not None
        return self.bearer.owner_id


class Page(Rule):
    """A dependency that lets sessions of some roles pass. What is not a GET must be a form of ours: that is checked here, so
    that no page can forget it."""

    def __call__(self, web: Web, request: Request, form: Posted) -> Visitor:
        plain = request.cookies.get(cookie_name(web, SESSION_COOKIE), "")
        session = web.doorkeeper.signed_in(plain)
        if session is None:
            raise HTTPException(HTTPStatus.SEE_OTHER, headers={"Location": "/login"})
        if session.holder.role not in self.roles:
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this page is not for the role {session.holder.role}")
        require_ours(web, request, form, plain)
        slow_down(web, f"session {session.prefix}")
        return Visitor(_bearer(session), session.prefix, request=request, form=form, token=form_token(plain))


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody at the door, who has no session yet. `fresh` is a cookie that the answer must set."""

    request: Request
    form: Form
    token: str = field(repr=False)
    fresh: str = field(repr=False)


def _guest(web: Web, request: Request, form: Posted) -> Guest:
    known = request.cookies.get(cookie_name(web, GUEST_COOKIE), "")
    require_ours(web, request, form, known)
    plain = known or new_token().plain
    return Guest(request, form, form_token(plain), "" if known else plain)


AtTheDoor = Annotated[Guest, Depends(_guest)]


def _bearer(session: Session) -> Bearer:
    who = session.holder
    return Bearer(who.name, who.role, who.tenant, session.tenant_id, who.owner, session.owner_id)


def require_ours(web: Wired, request: Request, form: Form, plain: str) -> None:
    """A request that may change something comes from a page of this site, which this browser was given. Raises 403."""
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    hosts = {request.headers.get("host", "").lower(), urlsplit(web.public_url).netloc.lower()}
    if (
        site not in (None, "same-origin")
        or (origin is not None and urlsplit(origin).netloc.lower() not in hosts)
        or not plain
        or not is_form_token((form.fields.get(TOKEN_FIELD) or [""])[0], plain)
    ):
        raise HTTPException(HTTPStatus.FORBIDDEN, STALE)


def is_secure(web: Wired) -> bool:
    """Whether cookies travel by TLS alone: always, but for pages of this machine itself."""
    url = urlsplit(web.public_url)
    host = url.hostname or ""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return not (url.scheme == "http" and loopback)


def cookie_name(web: Wired, name: str) -> str:
    """With TLS a browser takes it from this very host alone."""
    return f"__Host-{name}" if is_secure(web) else name


def set_cookie(web: Wired, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    answer.set_cookie(
        cookie_name(web, name), value, max_age=seconds, path="/", secure=is_secure(web), httponly=True, samesite="lax"
    )


def drop_cookie(web: Wired, answer: Response, name: str) -> None:
    answer.delete_cookie(cookie_name(web, name), path="/", secure=is_secure(web), httponly=True, samesite="lax")


def let_in(web: Wired, answer: Response, opened: Opened) -> None:
    life = opened.expires_at - web.clock.now()
    set_cookie(web, answer, SESSION_COOKIE, opened.plain, int(life.total_seconds()))
    drop_cookie(web, answer, GUEST_COOKIE)


def fresh_once() -> str:
    """What a form carries so that sending it twice does its work once."""
    return secrets.token_urlsafe(16)


def whom(holder: Holder) -> str:
    """A holder in words: `tenant acme`, `finance`."""
    return f"{holder.role} {holder.tenant or holder.owner}".strip()
