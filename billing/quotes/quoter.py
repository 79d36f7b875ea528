"""Quotes the feeds of a chain: reads their newest rounds, and promises those rates to payers for a while."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from billing.core.clock import Clock
from billing.db.engine import Database, Session
from billing.quotes import store
from billing.quotes.feed import Feed, NoRate, Rate
from billing.quotes.quote import Quote, feed_key

RENEWED_AFTER: Final = 2
"""A quote is followed by the next one after a half of its life, so who looks at a page has at least the other half."""


EARLIER: Final = timedelta(minutes=1)
"""Chains' clocks and ours differ. Who pays at once must not be in a block from before the promise."""


class Newest(Protocol):
    """Reads the rate of a feed now. Raises Unavailable."""

    def newest(self, chain_id: int, now: datetime, feed: Feed) -> Rate | NoRate: ...


@dataclass(slots=True)
class Quoted:
    """What a tick did. `without` says why a feed was not quoted, by token and currency."""

    quoted: int = 0
    without: dict[str, str] = field(default_factory=dict)


class Quoter:
    def __init__(self, database: Database, clock: Clock, feeds: Newest, fence: Callable[[Session], None]) -> None:
        """`fence` is called in every writing transaction and raises when this process may not quote any more."""
        self._database, self._clock, self._feeds, self._fence = database, clock, feeds, fence

    def tick(self, chain_id: int, feeds: Mapping[str, Feed], life: timedelta) -> Quoted:
        """Quote those feeds anew whose quotes are past a half of their life. One that says nothing sensible is not quoted; what
        was promised before still holds. Raises Unavailable when no endpoint answers."""
        done, now = Quoted(), self._clock.now()
        with self._database.transaction() as session:
            known = store.newest(session, now)
        for name, feed in feeds.items():
            key = feed_key(chain_id, feed)
            before = known.get(key)
            if before is not None and now < before.until - life / RENEWED_AFTER:
                continue
            rate = self._feeds.newest(chain_id, now, feed)
            if isinstance(rate, NoRate):
                done.without[name] = rate.reason
                continue
            quote = known[key] = Quote(rate, now - EARLIER, now + life)
            with self._database.transaction() as session:
                self._fence(session)
                store.add(session, key, quote)
            done.quoted += 1
        return done
