"""Registers owners, their shares of GPUs, and fees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.core.period import EPOCH, Span, rfc3339
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.owners import store
from billing.owners.share import Held, Owner, share_text
from billing.trail.store import Deed, record


@dataclass(frozen=True, slots=True)
class Wanted:
    """A share to be given: the same part of all GPUs of some hosts, and of some by UUID."""

    owner: str
    parts: int
    span: Span
    hosts: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()


def give(session: Session, wanted: Wanted, now: datetime) -> list[int]:
    """Give a share inside a transaction, and answer of which GPUs. Raises what `OwnerRegistrar.share` raises."""
    if not wanted.hosts and not wanted.uuids:
        raise Invalid("a share needs a host or a GPU")
    if wanted.span.start.microsecond or wanted.span.end.microsecond:
        raise Invalid("a share begins and ends at a whole second")
    owner = store.by_slug(session, wanted.owner)
    gpu_ids = fleet.gpu_ids(session, hosts=wanted.hosts, uuids=wanted.uuids)
    store.add_shares(session, owner.id, gpu_ids, wanted.parts, wanted.span, now)
    return gpu_ids


class OwnerRegistrar:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def add(self, owner: Owner, *, fee_basis_points: int = 0, actor: str) -> Owner:
        """Add an owner, with the fee that it begins with. Raises Conflict when the name is taken."""
        now = self._clock.now()
        with self._database.transaction() as session:
            added = store.add(session, owner, now)
            if fee_basis_points:
                store.add_fee(session, added.id, fee_basis_points, EPOCH, now)
            details = {"fee_basis_points": fee_basis_points}
            record(session, Deed(now, actor, "owner.add", f"owner {owner.slug}", details=details))
        return added

    def set_fee(self, slug: str, basis_points: int, since: datetime, *, reason: str, actor: str) -> None:
        """Give an owner another fee for what its GPUs earn by use from a time on. Raises NotFound, Invalid."""
        now = self._clock.now()
        with self._database.transaction() as session:
            store.add_fee(session, store.by_slug(session, slug).id, basis_points, since, now)
            details = {"fee_basis_points": basis_points, "since": rfc3339(since)}
            record(session, Deed(now, actor, "owner.fee", f"owner {slug}", reason, details))

    def share(self, wanted: Sequence[Wanted], *, actor: str) -> int:
        """Give shares: all of them, or none. Answers of how many GPUs.

        Raises NotFound for an unknown owner, host or GPU; Conflict when a GPU would be owned more than once.
        """
        now, count = self._clock.now(), 0
        with self._database.transaction() as session:
            for one in wanted:
                gpu_ids = give(session, one, now)
                count += len(gpu_ids)
                details = {"share": share_text(one.parts), "gpus": len(gpu_ids), "span": str(one.span)}
                record(session, Deed(now, actor, "owner.share", f"owner {one.owner}", details=details))
        return count

    def end_share(self, share_id: int, at: datetime, *, reason: str, actor: str) -> Held:
        """End a share. What it earned by use before that time stays the owner's."""
        now = self._clock.now()
        if at.microsecond:
            raise Invalid("a share ends at a whole second")
        with self._database.transaction() as session:
            found = store.end_share(session, share_id, at, now)
            details = {"share": share_text(found.parts), "gpu": found.uuid, "at": rfc3339(at)}
            record(session, Deed(now, actor, "owner.share.end", f"owner {found.owner}", reason, details))
        return found
