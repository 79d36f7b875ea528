"""The set of all addresses that were ever given out, in memory, kept up to date by every reader of a chain."""

from collections.abc import Collection

from billing.core.onchain import Address
from billing.db.engine import Session
from billing.wallets import store


class WatchList:
    """A set of addresses. 100,000 of them are a few megabytes."""

    def __init__(self) -> None:
        self._addresses: set[Address] = set()
        self._last_id = 0

    @property
    def addresses(self) -> Collection[Address]:
        return self._addresses

    def refresh(self, session: Session) -> bool:
        """Take in new rows. True when there were any.

        Rows can become visible out of order of their ids, so the number of rows is compared too.
        """
        before = len(self._addresses)
        new, self._last_id = store.addresses(session, self._last_id)
        self._addresses.update(one.address for one in new)
        if len(self._addresses) != store.count(session):
            every, self._last_id = store.addresses(session)
            self._addresses.update(one.address for one in every)
        return len(self._addresses) != before
