"""Before anything is issued: does the database still hold everything that was issued? Else a backup was put back.

What the journal says is issued must be in the database. The mark is written after the commit, and a process can be killed
between the two; the next one to come here writes it. So one limit remains: a batch that was committed, of which the mark
was not written, followed by a backup from before it, put back before anything came here again, looks exactly like a batch
that was never committed. Its numbers are given again; `restore` still watches its addresses.
"""

from dataclasses import dataclass
from datetime import datetime

from billing.core.errors import Conflict
from billing.core.onchain import Hash32
from billing.db.engine import Session
from billing.invoicing import store
from billing.invoicing.archive import Archive
from billing.invoicing.journal import Event, Happened
from billing.invoicing.lines import Tail


@dataclass(slots=True)
class Standing:
    """What the journal says of a document that was not seen in the database, issued, yet."""

    number: str = ""
    issued_at: str = ""
    left: bool = False


class Guard:
    def __init__(self, archive: Archive) -> None:
        self._archive, self._tail = archive, Tail()
        self._open: dict[Hash32, Standing] = {}
        self._anchor: tuple[str, Hash32, str] | None = None
        """(issued at, digest, number) of the newest document that was seen in the database. A database that was put back
        lost what came last, so this one is asked for each time, and no older one has to be."""

    def check(self, session: Session, now: datetime) -> None:
        """Raises Conflict when the database has forgotten what the archive holds as issued. Writes marks that are missing.

        The first time everything is compared, later what was added since. Must come before the session writes anything
        that it has not committed.
        """
        for event in self._archive.events(self._tail):
            self._take(event)
        asked = dict(self._open)
        if self._anchor is not None:
            asked.setdefault(self._anchor[1], Standing(self._anchor[2], self._anchor[0]))
        known = store.known(session, list(asked))
        missing = [d for d, one in asked.items() if one.issued_at and not one.left and d not in known]
        if missing:
            raise Conflict(
                f"the archive holds {len(missing)} documents that the database does not know,"
                f" {asked[missing[0]].number or missing[0]} first",
                remedy="was an older backup restored? run: stablemeter restore",
            )
        if unmarked := [d for d in self._open if d in known and not self._open[d].issued_at]:
            self._archive.issued(unmarked, now)
        seen = [(one.issued_at, d, one.number) for d, one in asked.items() if d in known]
        self._anchor = max(seen, default=None)
        self._open = {d: one for d, one in self._open.items() if d not in known}

    def _take(self, event: Event) -> None:
        one = self._open.setdefault(event.digest, Standing())
        if event.happened is Happened.PREPARED:
            one.number = event.number
        elif event.happened is Happened.ISSUED:
            one.issued_at, one.left = max(one.issued_at, event.at), False  # marked again: a restore brought it back
        else:
            one.left = True
