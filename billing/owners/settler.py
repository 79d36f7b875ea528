"""Settles: books by how much what owners are owed differs from what was booked before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from billing.core.clock import Clock
from billing.db.engine import Database, Session
from billing.ledger import store as ledger
from billing.owners import postings, store
from billing.owners.statement import Collected, Key, Ownership, Part, differences, split
from billing.owners.store import settled
from billing.trail.store import Deed, record

BATCH: Final = 500
"""Invoices in one transaction."""
LOOK_AGAIN: Final = timedelta(days=1)
"""What was used, and what was charged, may change where nothing else does."""


@dataclass(slots=True)
class Settlement:
    """What a run did; `invoices` are those that were looked at."""

    invoices: int = 0
    lines: int = 0
    entries: int = 0


class Settler:
    def __init__(self, database: Database, clock: Clock, fence: Callable[[Session], None]) -> None:
        """`fence` is called in every transaction and raises when this process may not settle any more."""
        self._database, self._clock, self._fence = database, clock, fence

    def settle(self, *, everything: bool = False, actor: str = "daemon") -> Settlement:
        """Bring what is booked in line with what is true now, some invoices at a time: those of which something changed, and those
        that nobody looked at for a day; or `everything`. A run that is killed is finished by the next one; one that finds nothing
        new books nothing."""
        done, after, began = Settlement(), 0, self._clock.now()
        before = began + timedelta(microseconds=1) if everything else began - LOOK_AGAIN
        while True:
            with self._database.transaction() as session:
                self._fence(session)
                settled.lock(session)
                digest = settled.shares_digest(session)
                ids = settled.due(session, after, BATCH, digest, before)
                settled.mark_looked_at(
                    session, ids, digest, self._clock.now()
                )  # first: what comes in meanwhile is due again
                self._book(session, _owing(session, settled.concerned(session, ids)), done, actor)
            done.invoices += len(ids)
            if len(ids) < BATCH:
                return done
            after = ids[-1]

    def _book(self, session: Session, due: dict[Key, Part], done: Settlement, actor: str) -> None:
        if not due:
            return
        now = self._clock.now()
        slugs = {owner.id: owner.slug for owner in store.listed(session)}
        entry = postings.settlement(due, slugs, now)
        entry_id = ledger.post(session, entry) if entry is not None else None
        settlement_id = settled.add(session, entry_id, due, now, actor)
        details = {"lines": len(due), "entry": entry_id}
        record(session, Deed(now, actor, "owner.settle", f"settlement {settlement_id}", details=details))
        done.lines += len(due)
        done.entries += entry is not None


def _owing(session: Session, ids: Sequence[int]) -> dict[Key, Part]:
    """What is to be booked for some invoices."""
    if not ids:
        return {}
    found = settled.collected(session, ids)
    ownership = store.ownership(
        session, {one.gpu_id for each in found for one in each.charged if one.gpu_id is not None}
    )
    wanted: dict[Key, Part] = {}
    for one in found:
        wanted |= split(_with_use(session, one, ownership), ownership)
    return differences(wanted, settled.booked(session, ids))


def _with_use(session: Session, one: Collected, ownership: Ownership) -> Collected:
    """With the seconds in which devices were used, where a change of ownership cuts a charge."""
    charged = tuple(
        replace(charge, used=settled.used(session, charge))
        if charge.gpu_id is not None and ownership.cuts(charge.gpu_id, charge.span)
        else charge
        for charge in one.charged
    )
    return replace(one, charged=charged)
