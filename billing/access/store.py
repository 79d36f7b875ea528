"""Rows of links, sessions, contacts and what they asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, text, update
from sqlmodel import Session, col, select

from billing.access import login
from billing.access.login import Holder, NewToken
from billing.core.errors import Conflict, NotFound
from billing.db.tables.access import ContactRow, LoginAskRow, LoginLinkRow, LoginSessionRow
from billing.db.tables.owners import OwnerRow
from billing.db.tables.tenants import TenantRow
from billing.tenants.keys import KeyRole


@dataclass(frozen=True, slots=True)
class Link:
    """A link that works, and whom it lets in."""

    id: int
    prefix: str
    holder: Holder


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who may ask for a link of a tenant."""

    id: int
    name: str
    email: str
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody whom an e-mail address belongs to."""

    name: str
    email: str
    tenant_id: int | None
    owner_id: int | None


def add_link(
    session: Session, token: NewToken, holder: Holder, *, issued_by: str, now: datetime, until: datetime
) -> None:
    """Raises NotFound for an unknown tenant or owner."""
    tenant_id, owner_id = _ids(session, holder)
    row = LoginLinkRow(
        prefix=token.prefix, digest=token.digest, name=holder.name, role=holder.role, tenant_id=tenant_id,
        owner_id=owner_id, email=holder.email, issued_by=issued_by, created_at=now, expires_at=until,
    )  # fmt: skip
    session.add(row)
    session.flush()


def _ids(session: Session, holder: Holder) -> tuple[int | None, int | None]:
    tenant_id = owner_id = None
    if holder.tenant:
        tenant_id = session.exec(select(TenantRow.id).where(TenantRow.slug == holder.tenant)).first()
        if tenant_id is None:
            raise NotFound(f"there is no tenant {holder.tenant}", remedy="see: stablemeter tenant list")
    if holder.owner:
        owner_id = session.exec(select(OwnerRow.id).where(OwnerRow.slug == holder.owner)).first()
        if owner_id is None:
            raise NotFound(f"there is no owner {holder.owner}", remedy="see: stablemeter owner list")
    return tenant_id, owner_id


def _holder(session: Session, row: LoginLinkRow | LoginSessionRow) -> Holder:
    tenant = session.get_one(TenantRow, row.tenant_id).slug if row.tenant_id is not None else ""
    owner = session.get_one(OwnerRow, row.owner_id).slug if row.owner_id is not None else ""
    return Holder(row.name, KeyRole(row.role), tenant, owner, row.email)


def link(session: Session, digest: str, now: datetime) -> Link | None:
    """A link that would work now; it is not used by this."""
    row = session.exec(
        select(LoginLinkRow).where(
            LoginLinkRow.digest == digest,
            col(LoginLinkRow.used_at).is_(None),
            col(LoginLinkRow.revoked_at).is_(None),
            col(LoginLinkRow.expires_at) > now,
        )
    ).first()
    return None if row is None else Link(row.id or 0, row.prefix, _holder(session, row))


def use_link(session: Session, digest: str, now: datetime) -> Link | None:
    """Use a link up. Of two who do so at once, one gets it, the other None."""
    used = session.execute(
        update(LoginLinkRow)
        .where(
            col(LoginLinkRow.digest) == digest,
            col(LoginLinkRow.used_at).is_(None),
            col(LoginLinkRow.revoked_at).is_(None),
            col(LoginLinkRow.expires_at) > now,
        )
        .values(used_at=now)
        .returning(col(LoginLinkRow.id))
    ).scalar_one_or_none()
    if used is None:
        return None
    row = session.get_one(LoginLinkRow, used)
    return Link(used, row.prefix, _holder(session, row))


def open_session(session: Session, token: NewToken, by: Link, now: datetime, until: datetime) -> None:
    tenant_id, owner_id = _ids(session, by.holder)
    session.add(
        LoginSessionRow(
            prefix=token.prefix, digest=token.digest, link_id=by.id, name=by.holder.name, role=by.holder.role,
            tenant_id=tenant_id, owner_id=owner_id, email=by.holder.email, created_at=now, seen_at=now, expires_at=until,
        )
    )  # fmt: skip
    session.flush()


def signed_in(session: Session, digest: str, now: datetime) -> login.Session | None:
    """Whose session this is; None when it ended, by itself or otherwise. Notes that it was seen, now and then."""
    row = session.exec(
        select(LoginSessionRow).where(
            LoginSessionRow.digest == digest,
            col(LoginSessionRow.ended_at).is_(None),
            col(LoginSessionRow.expires_at) > now,
            col(LoginSessionRow.seen_at) > now - login.IDLE,
        )
    ).first()
    if row is None:
        return None
    if now - row.seen_at >= login.SEEN_EVERY:
        row.seen_at = now
        session.add(row)
    return login.Session(_holder(session, row), row.prefix, row.tenant_id, row.owner_id, row.expires_at)


def end_session(session: Session, prefix: str, now: datetime) -> bool:
    """False when there is none that is open."""
    ended = session.execute(
        update(LoginSessionRow)
        .where(col(LoginSessionRow.prefix) == prefix, col(LoginSessionRow.ended_at).is_(None))
        .values(ended_at=now)
        .returning(col(LoginSessionRow.id))
    )
    return ended.scalar_one_or_none() is not None


def revoke(session: Session, prefix: str, now: datetime) -> None:
    """End a session, or a link with whatever it opened. Raises NotFound."""
    ended = end_session(session, prefix, now)
    found = session.exec(select(LoginLinkRow).where(LoginLinkRow.prefix == prefix).with_for_update()).first()
    if found is not None:
        if found.revoked_at is None:
            found.revoked_at = now
            session.add(found)
        session.execute(
            update(LoginSessionRow)
            .where(col(LoginSessionRow.link_id) == found.id, col(LoginSessionRow.ended_at).is_(None))
            .values(ended_at=now)
        )
    elif not ended and session.exec(select(LoginSessionRow.id).where(LoginSessionRow.prefix == prefix)).first() is None:
        raise NotFound(f"there is no link or session {prefix}", remedy="see: stablemeter login list")


def known(session: Session, email: str, limit: int) -> list[Known]:
    """Whom an address belongs to: tenants, their contacts, owners. Case does not tell two addresses apart."""
    rows = session.execute(
        text(
            "SELECT name, email, id AS tenant_id, NULL::bigint AS owner_id FROM tenant WHERE lower(email) = lower(:email)"
            " UNION ALL SELECT c.name, c.email, c.tenant_id, NULL FROM contact c JOIN tenant t ON t.id = c.tenant_id"
            " WHERE lower(c.email) = lower(:email) AND c.removed_at IS NULL AND lower(t.email) <> lower(:email)"
            " UNION ALL SELECT name, email, NULL, id FROM owner WHERE lower(email) = lower(:email) LIMIT :limit"
        ),
        {"email": email, "limit": limit},
    )
    return [Known(row.name[:100], row.email, row.tenant_id, row.owner_id) for row in rows]


def contacts(session: Session, tenant_id: int) -> list[Contact]:
    """Whoever may ask for a link of a tenant, beside its own address."""
    rows = session.exec(
        select(ContactRow)
        .where(ContactRow.tenant_id == tenant_id, col(ContactRow.removed_at).is_(None))
        .order_by(col(ContactRow.id))
    )
    return [Contact(row.id or 0, row.name, row.email, row.added_by, row.added_at) for row in rows]


def add_contact(session: Session, tenant_id: int, one: Contact) -> int:
    """Raises Conflict for an address that is one already, or when there are too many."""
    tenant = session.exec(select(TenantRow).where(TenantRow.id == tenant_id).with_for_update()).one()
    known = contacts(session, tenant_id)
    if one.email.lower() in {tenant.email.lower(), *(other.email.lower() for other in known)}:
        raise Conflict(f"{one.email} is a contact already")
    if len(known) >= login.CONTACTS_MAX:
        raise Conflict(f"there are {login.CONTACTS_MAX} contacts already", remedy="remove one")
    row = ContactRow(tenant_id=tenant_id, name=one.name, email=one.email, added_by=one.added_by, added_at=one.added_at)
    session.add(row)
    session.flush()
    return row.id or 0


def remove_contact(session: Session, tenant_id: int, contact_id: int, now: datetime) -> str:
    """Ends the contact's sessions and links too; returns its address. Raises NotFound, also for another tenant's."""
    row = session.exec(
        select(ContactRow)
        .where(ContactRow.id == contact_id, ContactRow.tenant_id == tenant_id, col(ContactRow.removed_at).is_(None))
        .with_for_update()
    ).first()
    if row is None:
        raise NotFound("there is no such contact")
    row.removed_at = now
    session.add(row)
    for table, ended in ((LoginSessionRow, "ended_at"), (LoginLinkRow, "revoked_at")):
        session.execute(
            update(table)
            .where(
                col(table.tenant_id) == tenant_id,
                func.lower(col(table.email)) == row.email.lower(),
                getattr(table, ended).is_(None),
            )
            .values({ended: now})
        )
    return row.email


def asks_since(session: Session, email: str, since: datetime) -> int:
    """How often an address asked; asks of one moment are one."""
    query = select(func.count(func.distinct(col(LoginAskRow.asked_at)))).where(
        func.lower(col(LoginAskRow.email)) == email.lower(), col(LoginAskRow.asked_at) > since
    )
    return int(session.exec(query).one())


def add_ask(session: Session, one: Known, now: datetime) -> int:
    row = LoginAskRow(tenant_id=one.tenant_id, owner_id=one.owner_id, name=one.name, email=one.email, asked_at=now)
    session.add(row)
    session.flush()
    return row.id or 0


def asked(session: Session, ask_id: int) -> tuple[Holder, datetime]:
    """Who asked for a link, and when."""
    row = session.get_one(LoginAskRow, ask_id)
    if row.tenant_id is not None:
        slug = session.get_one(TenantRow, row.tenant_id).slug
        return Holder(row.name, KeyRole.TENANT, tenant=slug, email=row.email), row.asked_at
    slug = session.get_one(OwnerRow, row.owner_id).slug
    return Holder(row.name, KeyRole.OWNER, owner=slug, email=row.email), row.asked_at


def listed(session: Session, now: datetime, limit: int = 1000) -> list[dict[str, Any]]:
    """Links that were not used yet, and sessions: the newest first, never in plain."""
    rows = session.execute(
        text(
            "SELECT l.prefix AS id, 'link' AS kind, l.name, l.role, t.slug AS tenant, o.slug AS owner, l.email, l.issued_by,"
            " l.created_at, NULL::timestamptz AS seen_at, l.expires_at, l.revoked_at AS ended_at, CASE"
            " WHEN l.revoked_at IS NOT NULL THEN 'revoked' WHEN l.expires_at <= :now THEN 'expired' ELSE 'open' END AS state"
            " FROM login_link l LEFT JOIN tenant t ON t.id = l.tenant_id LEFT JOIN owner o ON o.id = l.owner_id"
            " WHERE l.used_at IS NULL"
            " UNION ALL SELECT s.prefix, 'session', s.name, s.role, t.slug, o.slug, s.email, l.issued_by, s.created_at,"
            " s.seen_at, s.expires_at, s.ended_at, CASE WHEN s.ended_at IS NOT NULL THEN 'ended'"
            " WHEN s.expires_at <= :now OR s.seen_at <= :idle THEN 'expired' ELSE 'open' END"
            " FROM login_session s JOIN login_link l ON l.id = s.link_id LEFT JOIN tenant t ON t.id = s.tenant_id"
            " LEFT JOIN owner o ON o.id = s.owner_id ORDER BY created_at DESC, id LIMIT :limit"
        ),
        {"now": now, "idle": now - login.IDLE, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
