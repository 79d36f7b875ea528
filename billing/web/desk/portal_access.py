"""Who may act for a tenant: its API keys, and its people."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from billing.access import store as access
from billing.access.doorkeeper import Doorkeeper
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.tenants.registrar import Registrar
from billing.web.deps import Web
from billing.web.desk.nav import Link
from billing.web.desk.portal import OVERVIEW, TenantVisitor
from billing.web.desk.shell import Head, back_to, done_once, page
from billing.web.idempotency import Joined

router = APIRouter(include_in_schema=False)

KEYS = Link("API keys", "/portal/keys")
KEYS_SHOWN = 200


@router.get("/portal/keys")
def keys(web: Web, visitor: TenantVisitor) -> Response:
    with web.database.transaction() as session:
        found = tenants.keys(session, tenant_id=visitor.tenant_id)
    found.sort(key=lambda row: (row["revoked_at"] is not None, -row["id"]))
    return page(web, visitor, "desk/portal_keys.html", Head("API keys", (OVERVIEW,)), {"keys": found[:KEYS_SHOWN]})


@router.post("/portal/keys")
def make_key(web: Web, visitor: TenantVisitor) -> Response:
    """The key is on the page that answers, and nowhere else: neither in a cookie nor among the kept answers."""
    name = visitor.form.text("name", most=100, needed=True)
    made: list[str] = []

    def write(joined: Joined) -> str:
        registrar = Registrar(joined, web.clock)
        made.append(
            registrar.create_key(name=name, role=KeyRole.TENANT, tenant=visitor.bearer.tenant, actor=visitor.actor)
        )
        return f"The key {name} was made already. It was shown once; if it is lost, revoke it and make another."

    said = done_once(web, visitor, write)
    if not made:
        return back_to(web, visitor, "/portal/keys", said)
    context = {"plain": made[0], "name": name}
    head = Head("Your new key", (OVERVIEW, KEYS))
    return page(web, visitor, "desk/portal_key.html", head, context)


@router.post("/portal/keys/{prefix}/revoke")
def revoke_key(web: Web, visitor: TenantVisitor, prefix: Annotated[str, Path(max_length=40)]) -> Response:
    def write(joined: Joined) -> str:
        Registrar(joined, web.clock).revoke_key(prefix, tenant_id=visitor.tenant_id, actor=visitor.actor)
        return f"The key {prefix} works no more."

    return back_to(web, visitor, "/portal/keys", done_once(web, visitor, write))


@router.get("/portal/contacts")
def contacts(web: Web, visitor: TenantVisitor) -> Response:
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        found = access.contacts(session, visitor.tenant_id)
    return page(
        web, visitor, "desk/portal_contacts.html", Head("Contacts", (OVERVIEW,)), {"tenant": tenant, "contacts": found}
    )


@router.post("/portal/contacts")
def add_contact(web: Web, visitor: TenantVisitor) -> Response:
    name, email = visitor.form.text("name", most=100, needed=True), visitor.form.text("email", most=254, needed=True)

    def write(joined: Joined) -> str:
        keeper = Doorkeeper(joined, web.clock, web.public_url)
        keeper.add_contact(visitor.tenant_id, name, email, actor=visitor.actor)
        return f"{email} may ask for a link to sign in now."

    return back_to(web, visitor, "/portal/contacts", done_once(web, visitor, write))


@router.post("/portal/contacts/{contact}/remove")
def remove_contact(web: Web, visitor: TenantVisitor, contact: Annotated[int, Path(ge=1, lt=2**62)]) -> Response:
    def write(joined: Joined) -> str:
        keeper = Doorkeeper(joined, web.clock, web.public_url)
        return f"{keeper.remove_contact(visitor.tenant_id, contact, actor=visitor.actor)} was removed and signed out."

    return back_to(web, visitor, "/portal/contacts", done_once(web, visitor, write))
