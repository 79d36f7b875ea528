"""Jobs in this process: what wakes them."""

import time

import pytest

from billing.daemon import jobs
from billing.daemon.jobs import Runner
from billing.daemon.schedule import Job, RoleName
from tests.parts import wait_for


class Everything:
    """Holds every role."""

    def acquire(self, name: RoleName) -> bool:
        return True


def test_jobs_go_on_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[float] = []

    def run() -> bool:
        ran.append(time.monotonic())
        return False

    back = [0]
    monkeypatch.setattr(jobs, "CLOCK_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(jobs, "wall_clock", lambda: time.time() - back[0])
    runner = Runner([Job("hourly", RoleName.COLLECTOR, 3600, run)], Everything())  # type: ignore[arg-type]
    runner.start()
    try:
        wait_for(lambda: len(ran) == 1, "the first tick")
        time.sleep(0.2)
        assert len(ran) == 1
        back[0] = 86_400
        wait_for(lambda: len(ran) == 2, "a tick after the clock was set back")
    finally:
        runner.stop()
