"""A link that signs somebody in, and the session that it opens. Pure."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from billing.core.errors import Invalid
from billing.tenants.keys import KeyRole

LINK_LIFE: Final = timedelta(minutes=15)
"""Of a link that goes out by e-mail."""
LINK_MINUTES_MAX: Final = 24 * 60
"""Of a link that an operator hands over."""
IDLE: Final = timedelta(hours=8)
LIFE: Final = timedelta(days=7)
SEEN_EVERY: Final = timedelta(minutes=1)
"""A session's last use is written at most so often: a request is no write."""

ASKS_MAX: Final = 3
ASKS_WITHIN: Final = timedelta(minutes=15)
"""So many links may one address ask for in that time."""

CONTACTS_MAX: Final = 50
"""Of one tenant."""

WITH_PAGES: Final = frozenset(KeyRole) - {KeyRole.GATEWAY}
"""Roles that have pages to see."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
_TOKEN = re.compile(r"[0-9a-f]{8}[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is let in. `tenant` is set for the role tenant, `owner` for the role owner, `email` if the link was mailed."""

    name: str
    role: KeyRole
    tenant: str = ""
    owner: str = ""
    email: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 100 or not self.name.isprintable():
            raise Invalid("a name is 1 to 100 printable characters")
        if self.role not in WITH_PAGES:
            raise Invalid(f"the role {self.role} has no pages", remedy=", ".join(sorted(WITH_PAGES)))
        if (self.role is KeyRole.TENANT) != bool(self.tenant):
            raise Invalid("the role tenant needs a tenant, and no other role has one")
        if (self.role is KeyRole.OWNER) != bool(self.owner):
            raise Invalid("the role owner needs an owner, and no other role has one")


@dataclass(frozen=True, slots=True)
class NewToken:
    """`plain` goes into a link or a cookie and is never kept. `prefix` names it in lists and in the audit trail."""

    plain: str
    prefix: str
    digest: str


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    holder: Holder
    prefix: str
    tenant_id: int | None
    owner_id: int | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened, and what goes into its cookie."""

    plain: str
    holder: Holder
    expires_at: datetime


def person(name: str, account: str) -> str:
    """For the audit trail: the same in all sessions of somebody."""
    return f"web:{name} of {account}" if account else f"web:{name}"


def new_token() -> NewToken:
    prefix = secrets.token_hex(4)
    plain = prefix + secrets.token_urlsafe(32)
    return NewToken(plain, prefix, digest_of(plain))


def is_token(text: str) -> bool:
    """Whether it could be one: anything else is not looked up."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def form_token(plain: str) -> str:
    """What a form carries to show that it comes from a page which this cookie's browser was given."""
    return hmac.new(plain.encode(), b"stablemeter form", hashlib.sha256).hexdigest()


def is_form_token(given: str, plain: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode(), form_token(plain).encode())


def checked_email(text: str) -> str:
    """Raises Invalid."""
    found = text.strip()
    if _EMAIL.fullmatch(found) is None or not found.isprintable():
        raise Invalid("that is not an e-mail address")
    return found
