"""Makes links, opens sessions by them, and ends both."""

from datetime import datetime, timedelta
from typing import Final

from billing.access import store
from billing.access.login import (
    ASKS_MAX,
    ASKS_WITHIN,
    LIFE,
    LINK_LIFE,
    LINK_MINUTES_MAX,
    Holder,
    Opened,
    Session,
    checked_email,
    digest_of,
    is_token,
    new_token,
    person,
)
from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.db.engine import Database
from billing.notices.notice import Notice, NoticeType
from billing.notices.store import tell
from billing.trail.store import Deed, record

OF_ONE_ADDRESS: Final = 10
"""Tenants and owners that one address may belong to; each gets a mail of its own."""


class Doorkeeper:
    def __init__(self, database: Database, clock: Clock, public_url: str) -> None:
        self._database, self._clock, self._public_url = database, clock, public_url

    def issue(self, holder: Holder, *, minutes: int, actor: str) -> str:
        """Make a link and return it, for the only time. Raises NotFound for an unknown tenant or owner."""
        if not 1 <= minutes <= LINK_MINUTES_MAX:
            raise Invalid(f"a link works for 1 to {LINK_MINUTES_MAX} minutes")
        return self._link(holder, timedelta(minutes=minutes), actor)

    def _link(self, holder: Holder, life: timedelta, actor: str) -> str:
        now, token = self._clock.now(), new_token()
        with self._database.transaction() as session:
            store.add_link(session, token, holder, issued_by=actor, now=now, until=now + life)
            details = {"role": holder.role, "name": holder.name, "tenant": holder.tenant, "owner": holder.owner}
            record(session, Deed(now, actor, "login.link", f"login {token.prefix}", details=details))
        return f"{self._public_url}/login/{token.plain}"

    def ask(self, email: str) -> None:
        """Somebody asks for a link by e-mail. Nothing happens for an unknown address, or one that asks too often; the caller
        does not learn which."""
        now = self._clock.now()
        with self._database.transaction() as session:
            if store.asks_since(session, email, now - ASKS_WITHIN) >= ASKS_MAX:
                return
            for one in store.known(session, email, OF_ONE_ADDRESS):
                data = {"ask": store.add_ask(session, one, now), "to": one.email}
                notice = Notice(NoticeType.LOGIN_REQUESTED, f"{one.name}'s sign-in", data, tenant_id=one.tenant_id)
                tell(session, notice, now)

    def link_for(self, ask_id: int) -> str | None:
        """The link that goes into a mail, made as it goes out; None when it was asked for too long ago."""
        with self._database.transaction() as session:
            holder, asked_at = store.asked(session, ask_id)
        late: datetime = asked_at + ASKS_WITHIN
        return self._link(holder, LINK_LIFE, "mail") if self._clock.now() < late else None

    def waiting(self, plain: str) -> Holder | None:
        """Whom a link would let in; it stays unused. None when it does not work, any more or at all."""
        if not is_token(plain):
            return None
        with self._database.transaction() as session:
            found = store.link(session, digest_of(plain), self._clock.now())
        return None if found is None else found.holder

    def enter(self, plain: str) -> Opened | None:
        """Use a link up and open a session. None when it does not work, any more or at all."""
        if not is_token(plain):
            return None
        now, token = self._clock.now(), new_token()
        with self._database.transaction() as session:
            link = store.use_link(session, digest_of(plain), now)
            if link is None:
                return None
            store.open_session(session, token, link, now, now + LIFE)
            actor = person(link.holder.name, link.holder.tenant or link.holder.owner)
            record(session, Deed(now, actor, "login.enter", f"login {token.prefix}", details={"link": link.prefix}))
        return Opened(token.plain, link.holder, now + LIFE)

    def signed_in(self, plain: str) -> Session | None:
        """Whose cookie this is; None when nobody's."""
        if not is_token(plain):
            return None
        with self._database.transaction() as session:
            return store.signed_in(session, digest_of(plain), self._clock.now())

    def leave(self, prefix: str, *, actor: str) -> None:
        """Sign out. Twice changes nothing."""
        now = self._clock.now()
        with self._database.transaction() as session:
            if store.end_session(session, prefix, now):
                record(session, Deed(now, actor, "login.leave", f"login {prefix}"))

    def add_contact(self, tenant_id: int, name: str, email: str, *, actor: str) -> None:
        """Let one more person of a tenant ask for links. Raises Conflict for an address that is one already."""
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise Invalid("a name is 1 to 100 printable characters")
        now, address = self._clock.now(), checked_email(email)
        with self._database.transaction() as session:
            added = store.add_contact(session, tenant_id, store.Contact(0, name, address, actor, now))
            details = {"name": name, "email": address, "tenant_id": tenant_id}
            record(session, Deed(now, actor, "contact.add", f"contact {added}", details=details))

    def remove_contact(self, tenant_id: int, contact_id: int, *, actor: str) -> str:
        """Nobody with this address is signed in any more, nor asks for links; returns it. Raises NotFound."""
        now = self._clock.now()
        with self._database.transaction() as session:
            email = store.remove_contact(session, tenant_id, contact_id, now)
            record(session, Deed(now, actor, "contact.remove", f"contact {contact_id}", details={"email": email}))
        return email

    def revoke(self, prefix: str, *, reason: str, actor: str) -> None:
        """Stop a session, or a link with the session that it opened. Raises NotFound."""
        now = self._clock.now()
        with self._database.transaction() as session:
            store.revoke(session, prefix, now)
            record(session, Deed(now, actor, "login.revoke", f"login {prefix}", reason))
