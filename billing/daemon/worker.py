"""The worker process: CPU-heavy jobs, away from the pages. It ends when it is told to, when its parent is gone, or of a bug."""

import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Final

from billing import settings as settings_module
from billing.bootstrap import build
from billing.core.clock import SystemClock
from billing.daemon.jobs import Roles, Runner
from billing.daemon.schedule import RoleName, jobs
from billing.telemetry import logs
from billing.telemetry.logs import logger

BUG: Final = 1


def main(config: Path | None, names: Iterable[str], parent: int) -> None:
    """The process's whole life. Exits with 1 when a job died of a bug. `parent` is the daemon's process id: when it is
    gone, so are we, also when it was killed while we were still starting."""
    stop = threading.Event()

    def asked(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when
    settings = settings_module.load(config)
    logs.configure(json_lines=settings.logs.format == "json", level=settings.logs.level)
    clock, wanted = SystemClock(), frozenset(RoleName(name) for name in names)
    roles = Roles(lambda: app.database, wanted, f"worker {os.getpid()}", clock)
    app = build(settings, clock, roles.fences())
    runner = Runner(jobs(app, wanted), roles)
    runner.start()
    logger("worker").info("started", roles=sorted(wanted))
    while not stop.wait(0.5):
        if runner.failed.is_set() or os.getppid() != parent:
            break
    runner.stop()
    for source in app.scrapers:
        source.flush()
    roles.release()
    app.close()
    if runner.failed.is_set():
        raise SystemExit(BUG)
