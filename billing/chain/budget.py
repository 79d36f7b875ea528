"""A chain's request budget: quotas of RPC providers cost money, and going over them costs payments their punctuality."""

import threading
import time
from collections.abc import Callable
from typing import Final

from billing.core.errors import Unavailable

MINUTE_MS: Final = 60_000
WAIT_MS_MAX: Final = 30_000
"""Longer than that a tick does not wait: it is tried again later."""


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def sleep_ms(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


class Budget:
    """So many calls a minute, for all endpoints of a chain and all threads together. What is not used is saved up, for a
    minute at most. 0 is no limit."""

    def __init__(
        self, calls_per_minute: int, clock_ms: Callable[[], int] = monotonic_ms, sleep: Callable[[int], None] = sleep_ms
    ) -> None:
        self._rate, self._clock, self._sleep = calls_per_minute, clock_ms, sleep
        self._lock = threading.Lock()
        self._saved = calls_per_minute * MINUTE_MS  # in calls times milliseconds: whole numbers only
        self._at = clock_ms()

    def take(self, calls: int) -> None:
        """Wait until so many calls may be made. Raises Unavailable when that would take too long."""
        if not self._rate:
            return
        with self._lock:
            self._save()
            lacking = calls * MINUTE_MS - self._saved
            wait = max(0, -(-lacking // self._rate))
            if wait > WAIT_MS_MAX:
                raise Unavailable("the request budget is used up", remedy="wait, or raise chains.calls_per_minute")
            self._saved -= calls * MINUTE_MS  # below zero: whoever comes next waits for us too
        if wait:
            self._sleep(wait)

    @property
    def ample(self) -> bool:
        """Half of it is left: what can wait may be done now."""
        if not self._rate:
            return True
        with self._lock:
            self._save()
            return self._saved * 2 >= self._rate * MINUTE_MS

    def _save(self) -> None:
        now = self._clock()
        self._saved = min(self._rate * MINUTE_MS, self._saved + (now - self._at) * self._rate)
        self._at = now
