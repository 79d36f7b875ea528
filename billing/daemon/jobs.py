"""Runs jobs: takes the role first, counts what happens, and tells a bug from an operating error."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from billing.bootstrap import Fences
from billing.core.clock import Clock
from billing.core.errors import StablemeterError
from billing.daemon.schedule import Job, RoleName
from billing.db.engine import Database, Session
from billing.db.roles import Role
from billing.telemetry import metrics
from billing.telemetry.logs import logger

STOP_SECONDS_MAX: Final = 60
CLOCK_CHECK_SECONDS: Final = 5
CLOCK_BACK_SECONDS: Final = 2
"""Less than that is the clock's own steering."""


def wall_clock() -> float:
    """Seconds of the clock that people set."""
    return time.time()


class Roles:
    """The roles that this process wants, each on a connection of its own."""

    def __init__(self, database: Callable[[], Database], names: Iterable[RoleName], holder: str, clock: Clock) -> None:
        """`database` is asked for late: it belongs to the application that is fenced by these roles."""
        self._database, self._holder, self._clock = database, holder, clock
        self._names = frozenset(names)
        self._roles: dict[RoleName, Role] = {}
        self._lock = threading.Lock()

    def acquire(self, name: RoleName) -> bool:
        """True when this process holds the role. A second copy of the daemon stands by until it is free."""
        with self._lock:
            if name not in self._roles:
                self._roles[name] = Role(self._database(), name, self._holder)
            return self._roles[name].acquire(self._clock.now())

    def fence(self, name: RoleName) -> Callable[[Session], None]:
        """Checked in every writing transaction of the role."""

        def check(session: Session) -> None:
            self._roles[name].check(session)

        return check

    def fences(self) -> Fences:
        return Fences(
            collector=self.fence(RoleName.COLLECTOR),
            invoicer=self.fence(RoleName.INVOICER),
            watcher=self.fence(RoleName.WATCHER),
        )

    def release(self) -> None:
        with self._lock:
            for role in self._roles.values():
                role.release()


class Runner:
    """Wakes jobs up in threads. `failed` is set when one died of a bug: then the daemon must stop."""

    def __init__(self, jobs: Iterable[Job], roles: Roles) -> None:
        self._jobs, self._roles = list(jobs), roles
        self.failed = threading.Event()
        self._stopping = threading.Event()
        self.last: dict[str, Mapping[str, Any]] = {}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max(4, len(self._jobs)))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        for job in self._jobs:
            metrics.JOB_EVERY.labels(job.name).set(job.every_seconds)
            metrics.JOB_DONE.labels(job.name).set(wall_clock())
            self._scheduler.add_job(
                self.tick, "interval", [job], seconds=job.every_seconds, id=job.name, next_run_time=datetime.now(UTC)
            )
        self._scheduler.start()
        threading.Thread(target=self._watch_clock, name="clock", daemon=True).start()

    def stop(self) -> None:
        """No new ticks; the running ones end first."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _watch_clock(self) -> None:
        """The scheduler waits for times of the wall clock. When somebody sets that back, jobs would sleep until it has caught
        up; so they are woken, and go on from the new time."""
        offset = wall_clock() - time.monotonic()
        while not self._stopping.wait(CLOCK_CHECK_SECONDS):
            before, offset = offset, wall_clock() - time.monotonic()
            if before - offset > CLOCK_BACK_SECONDS:
                logger("clock").warning("the clock was set back; all jobs are woken", seconds=round(before - offset))
                for job in self._jobs:
                    self._scheduler.modify_job(job.name, next_run_time=datetime.now(UTC))

    def tick(self, job: Job) -> None:
        """One tick of a job, with everything that can happen to it."""
        if self.failed.is_set():
            return
        started = time.monotonic()
        outcome = "done"
        try:
            if not self._roles.acquire(job.role):
                metrics.JOB_DONE.labels(job.name).set(wall_clock())
                return
            while job.run() and not self._stopping.is_set():
                metrics.JOB_DONE.labels(job.name).set(wall_clock())  # there is more to do, and it goes on
            metrics.JOB_DONE.labels(job.name).set(wall_clock())
        except StablemeterError as error:
            outcome = "failed"
            logger(job.name).warning("tick failed; it will be tried again", error=str(error), kind=type(error).__name__)
        except Exception:
            outcome = "bug"
            logger(job.name).critical("a bug stops the daemon", exc_info=True)
            self.failed.set()
        finally:
            metrics.JOBS.labels(job.name, outcome).inc()
            metrics.JOB_SECONDS.labels(job.name).observe(time.monotonic() - started)
            self.last[job.name] = {"outcome": outcome, "at": datetime.now(UTC)}
