"""Delivers what is due: each receiver in a thread of its own, so that a slow one delays nobody else."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from billing.core.clock import Clock
from billing.core.errors import NotFound
from billing.db.engine import Database, Session
from billing.notices import store
from billing.notices.notice import Answer, DeliveryState
from billing.notices.store import Claimed, Wants
from billing.telemetry import metrics
from billing.trail.store import Deed, record

BATCH: Final = 200
"""Deliveries to one receiver, and notices that are spread, in one tick."""


class Receiver(Protocol):
    """Whoever is told. `send` answers whatever happens, within seconds."""

    @property
    def name(self) -> str: ...

    def send(self, one: Claimed, now: datetime) -> Answer: ...


@dataclass(slots=True)
class Delivered:
    """`more` is true when a receiver has more that is due now."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    more: bool = False


class Deliverer:
    def __init__(
        self, database: Database, clock: Clock, receivers: Sequence[Receiver], wants: Mapping[str, Wants],
        fence: Callable[[Session], None],
    ) -> None:  # fmt: skip
        """`wants` says by its name what each receiver is told."""
        self._database, self._clock, self._fence = database, clock, fence
        self._receivers, self._wants = receivers, wants

    def tick(self) -> Delivered:
        """Spread new notices, then send what is due. Safe to kill at any line: at worst something is sent twice."""
        with self._database.transaction() as session:
            self._fence(session)
            spread = store.spread(session, self._wants, self._clock.now(), BATCH)
        whole = Delivered(more=spread == BATCH)
        if self._receivers:
            with ThreadPoolExecutor(len(self._receivers), thread_name_prefix="deliver") as threads:
                for done in threads.map(self._serve, self._receivers):
                    whole.delivered += done.delivered
                    whole.failed += done.failed
                    whole.dead += done.dead
                    whole.more = whole.more or done.more
        return whole

    def _serve(self, receiver: Receiver) -> Delivered:
        """Send one receiver what is due, until somebody is needed who is not there."""
        done = Delivered()
        for _ in range(BATCH):
            with self._database.transaction() as session:
                self._fence(session)
                one = store.claim(session, receiver.name, self._clock.now())
            if one is None:
                return done
            answer = receiver.send(one, self._clock.now())
            with self._database.transaction() as session:
                store.note(session, one, answer.state, answer.said, self._clock.now())
            outcome = "failed" if answer.state is None else answer.state.value
            metrics.NOTICES.labels(receiver.name, outcome).inc()
            done.delivered += answer.state is DeliveryState.DELIVERED
            done.dead += answer.state is DeliveryState.DEAD
            done.failed += answer.state is None
            if not answer.reached:
                return done
        done.more = True
        return done

    def replay(self, notice_id: int | None, *, actor: str) -> int:
        """Send a notice again, or with None everything that is dead. Raises NotFound when there is nothing to send."""
        return replay(self._database, self._clock.now(), notice_id, actor=actor)


def replay(database: Database, now: datetime, notice_id: int | None, *, actor: str) -> int:
    """As of the method: it needs no receivers."""
    with database.transaction() as session:
        ids = [] if notice_id is None else [notice_id]
        count = store.replay(session, now, notice_ids=ids, dead=notice_id is None)
        if not count:
            what = "nothing is dead" if notice_id is None else f"notice {notice_id} was sent to nobody"
            raise NotFound(what, remedy="see: stablemeter notice list")
        subject = "dead notices" if notice_id is None else f"notice {notice_id}"
        record(session, Deed(now, actor, "notice.replay", subject, details={"deliveries": count}))
    return count
