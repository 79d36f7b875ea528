"""How often one caller may ask, so that one alone cannot keep everybody else waiting."""

import ipaddress
import math
from typing import Final

BURST: Final = 300
PER_SECOND: Final = 50
KEY_BURST: Final = 600
KEY_PER_SECOND: Final = 100
"""With one API key, or in one session, from wherever."""
ASKS_AT_ONCE: Final = 10
ASKS_PER_SECOND: Final = 1 / 60
"""Links by e-mail, as one address may ask for them."""
CALLERS_MAX: Final = 10_000


class Limiter:
    """So many requests at once, and so many a second after that, by network address. The callers who asked longest ago are
    forgotten. Nobody waits here: who must wait is told how long."""

    def __init__(self, burst: int | None = None, per_second: float | None = None) -> None:
        """Left out: as any request."""
        self._due: dict[str, float] = {}
        self._burst, self._per_second = burst or BURST, per_second or PER_SECOND

    def wait(self, address: str, now: float, cost: int = 1) -> int:
        """Seconds to wait, at least 1, when it is too often; else 0. `now` is monotonic; `cost` is for how many requests it counts.

        Callers from this machine are not limited: they are its own monitors, or a proxy that does not tell for whom it asks.
        """
        caller = network(address)
        return 0 if caller is None else self.wait_for(caller, now, cost)

    def wait_for(self, caller: str, now: float, cost: int = 1) -> int:
        """The same for whoever is told apart otherwise than by address."""
        due = max(self._due.pop(caller, now), now)
        early = due - now - (self._burst - 1) / self._per_second
        self._due[caller] = due if early > 0 else due + cost / self._per_second
        if len(self._due) > CALLERS_MAX:
            del self._due[next(iter(self._due))]
        return math.ceil(early) if early > 0 else 0


def network(address: str) -> str | None:
    """An address; of IPv6 its /64, which one caller has whole. None for this machine, or where there is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return None if found.is_loopback else str(int(found) >> 64)
        found = found.ipv4_mapped
    return None if found.is_loopback else str(found)
