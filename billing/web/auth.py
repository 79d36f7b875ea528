"""Who is calling, and what they may. Every route of the API names its roles by one of the rules below, and every page behind
sign-in by a rule of the same kind (web/door.py)."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from billing.core.errors import NotFound
from billing.db.engine import Session
from billing.tenants.keys import Bearer, KeyRole
from billing.web import store
from billing.web.deps import Web, Wired

REALM: Final = 'Bearer realm="stablemeter"'

_STAFF: Final = (KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR)

_scheme = HTTPBearer(auto_error=False, description="An API key, made by: stablemeter apikey create")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds the key. `key` is its public prefix, which is unique; names are not."""

    bearer: Bearer
    key: str

    @property
    def actor(self) -> str:
        """For the audit trail."""
        return f"api:{self.bearer.name} ({self.key})"

    def tenant_scope(self, session: Session, slug: str | None) -> int | None:
        """Whose rows to show: the id of the tenant asked for; of a tenant's key always its own; None for everybody's.

        Raises NotFound for an unknown tenant, and just so for another one than the key's.
        """
        assert self.bearer.role in (*_STAFF, KeyRole.TENANT), "no other role may ask for tenants' rows"
        if self.bearer.role is KeyRole.TENANT:
            if slug is not None and slug != self.bearer.tenant:
                raise NotFound(f"there is no tenant {slug}")
            assert self.bearer.tenant_id is not None
            return self.bearer.tenant_id
        return None if slug is None else store.tenant_id(session, slug)

    def require_owner(self, slug: str) -> None:
        """Raises NotFound for another owner than the key's, just as for an unknown one."""
        if self.bearer.role is KeyRole.OWNER and slug != self.bearer.owner:
            raise NotFound(f"there is no owner {slug}")

    def may_see(self, tenant_id: int) -> bool:
        return self.bearer.role in _STAFF or (self.bearer.role is KeyRole.TENANT and self.bearer.tenant_id == tenant_id)


class Rule:
    """Which roles may pass. A route names one as a dependency, or is not served."""

    def __init__(self, *roles: KeyRole) -> None:
        self.roles = frozenset(roles)


class Allow(Rule):
    """A rule for API keys."""

    def __call__(
        self, web: Web, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]
    ) -> Caller:
        if credentials is None:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "an API key is needed", {"WWW-Authenticate": REALM})
        bearer = web.registrar.authenticate(credentials.credentials)
        if bearer is None:
            headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "the API key is not known, or was revoked", headers)
        if bearer.role not in self.roles:
            raise HTTPException(HTTPStatus.FORBIDDEN, f"a key with the role {bearer.role} may not do this")
        key = credentials.credentials.split("_")[1]
        slow_down(web, key)
        return Caller(bearer, key)


def slow_down(web: Wired, key: str) -> None:
    """Raises 429 for a key, or a session, that asks too often, wherever it asks from."""
    wait = web.by_key.wait_for(key, time.monotonic())
    if wait:
        headers = {"Retry-After": str(wait)}
        raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, "too many requests with this key", headers)


Operator = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR))]
"""Changes the fleet, tenants and leases."""

Finance = Annotated[Caller, Depends(Allow(KeyRole.FINANCE))]
"""Decides what is billed."""

Desk = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR, KeyRole.FINANCE))]
"""Decides about money that waits, who it is owed to, and where tenants pay."""

Pusher = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR, KeyRole.GATEWAY))]
"""Pushes events."""

KeyReader = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR, KeyRole.AUDITOR, KeyRole.TENANT))]
"""Reads which API keys there are; a tenant its own."""

KeyHolder = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR, KeyRole.TENANT))]
"""Ends API keys; a tenant its own."""

StaffOrOwner = Annotated[Caller, Depends(Allow(*_STAFF, KeyRole.OWNER))]
"""Reads what concerns owners; an owner its own."""

Staff = Annotated[Caller, Depends(Allow(*_STAFF))]
"""Reads what concerns all tenants."""

StaffOrTenant = Annotated[Caller, Depends(Allow(*_STAFF, KeyRole.TENANT))]
"""Reads; a tenant its own."""


def rule_of(route: APIRoute) -> Rule | None:
    """The rule that a route names; None when it names none."""
    for dependency in route.dependant.dependencies:
        found: object = dependency.call
        if isinstance(found, Rule):
            return found
    return None
