"""The endpoints of one chain: who is asked first, and who is left alone for a while."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from billing.chain.node import Busy, Node
from billing.core.clock import Clock
from billing.core.errors import Unavailable, Untrusted

T = TypeVar("T")

PAUSE_MAX: Final = timedelta(minutes=2)

Told = Callable[[Node, Unavailable | Untrusted], None]
"""Is told of every failure of an endpoint."""


@dataclass(slots=True)
class Endpoint:
    node: Node
    failures: int = 0
    rests_until: datetime | None = None
    busy_until: datetime | None = None
    """It asked to be left alone: until then it is not asked, even if there is no other."""
    last_error: str = ""


class Pool:
    """Asks endpoints in configured order; one that failed rests, twice as long each time. One that asks for a rest gets it, up
    to two minutes."""

    def __init__(self, nodes: Sequence[Node], clock: Clock, told: Told | None = None) -> None:
        assert nodes
        self._endpoints, self._clock, self._told = [Endpoint(node) for node in nodes], clock, told

    @property
    def endpoints(self) -> list[Endpoint]:
        return list(self._endpoints)

    def ask(self, what: Callable[[Node], T]) -> T:
        """The first good answer. Raises the last error when no endpoint has one."""
        error: Unavailable | Untrusted | None = None
        for endpoint in self._in_order():
            try:
                answer = what(endpoint.node)
            except (Unavailable, Untrusted) as failed:
                error = failed
                self.failed(endpoint, failed)
            else:
                endpoint.failures, endpoint.last_error = 0, ""
                endpoint.rests_until = endpoint.busy_until = None
                return answer
        raise error or Unavailable(self._busy())

    def failed(self, endpoint: Endpoint, error: Unavailable | Untrusted) -> None:
        if self._told is not None:
            self._told(endpoint.node, error)
        endpoint.failures += 1
        endpoint.last_error = str(error)
        pause = min(timedelta(seconds=2 ** min(endpoint.failures, 16)), PAUSE_MAX)
        endpoint.rests_until = self._clock.now() + pause
        if isinstance(error, Busy):
            rest = min(timedelta(seconds=error.rest_seconds), PAUSE_MAX)
            endpoint.busy_until = endpoint.rests_until = self._clock.now() + max(pause, rest)

    def others(self, node: Node) -> list[Endpoint]:
        """Those that may be asked beside a node: none that rests."""
        now = self._clock.now()
        return [one for one in self._endpoints if one.node is not node and (one.rests_until or now) <= now]

    def _in_order(self) -> list[Endpoint]:
        """Rested ones first; when all rest, the one that rests least is asked all the same."""
        now = self._clock.now()
        willing = [one for one in self._endpoints if one.busy_until is None or one.busy_until <= now]
        rested = [one for one in willing if one.rests_until is None or one.rests_until <= now]
        resting = [one for one in willing if one not in rested]
        return rested or sorted(resting, key=lambda one: one.rests_until or now)[:1]

    def _busy(self) -> str:
        return "; ".join(f"{one.node.url} is left alone, as it asked: {one.last_error}" for one in self._endpoints)
