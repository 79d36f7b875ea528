"""`stablemeter run`: starts what was asked for, in order, and stops it in the other order."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any, Final

from billing.bootstrap import App, build
from billing.core.clock import SystemClock
from billing.core.errors import Invalid, StablemeterError, Unavailable
from billing.daemon import worker
from billing.daemon.jobs import STOP_SECONDS_MAX, Roles, Runner
from billing.daemon.schedule import WORKER_ROLES, RoleName, jobs
from billing.daemon.serving import Server
from billing.settings import Settings
from billing.telemetry.logs import logger

OK: Final = 0
BUG: Final = 1


class _Server(Server):
    """The server without signal handlers of its own: the daemon stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with nullcontext():
            yield


class Daemon:
    def __init__(
        self, settings: Settings, config: Path | None, roles: frozenset[RoleName], web: Callable[[App], Any]
    ) -> None:
        """`web` makes the ASGI application; `config` is the file that the worker process reads again."""
        self._settings, self._config, self._wanted, self._web = settings, config, roles, web
        self._clock = SystemClock()
        self._roles = Roles(lambda: self._app.database, roles, f"{socket.gethostname()} {os.getpid()}", self._clock)
        self._app: App = build(settings, self._clock, self._roles.fences())
        self._stop = threading.Event()
        self._server: _Server | None = None
        self._worker: SpawnProcess | None = None
        self._runner = Runner(jobs(self._app, roles - WORKER_ROLES), self._roles)

    def run(self) -> int:
        """Until SIGTERM or SIGINT (exit code 0), or until something dies of a bug (1)."""
        log = logger("daemon")
        self._app.require_current_schema()
        self._app.archive.check()
        self._require_right_chains()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        server_socket = self._listen() if RoleName.WEB in self._wanted else None
        self._start_worker()
        self._runner.start()
        guard = threading.Thread(target=self._guard, name="guard", daemon=True)
        guard.start()
        log.info("started", roles=sorted(self._wanted), url=self._settings.public_url)
        if server_socket is not None:
            self._server = _Server(self._web(self._app))
            if self._stop.is_set():  # it was to stop before there was a server to tell
                self._server.should_exit = True
            self._server.run(sockets=[server_socket])
            self._stop.set()
        self._stop.wait()
        healthy = self._shut_down()
        log.info("stopped", clean=healthy)
        return OK if healthy else BUG

    def _asked(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True

    def _guard(self) -> None:
        """Something died: stop everything."""
        while not self._stop.wait(0.5):
            dead = self._worker is not None and not self._worker.is_alive()
            if self._runner.failed.is_set() or dead:
                self._stop.set()
                if self._server is not None:
                    self._server.should_exit = True

    def _require_right_chains(self) -> None:
        """Refuse to start on another chain or token than configured. An endpoint that is away is asked again later."""
        if RoleName.WATCHER not in self._wanted:
            return
        for chain in self._app.chains:
            try:
                self._app.check_chain(chain.chain_id)
            except Invalid:
                raise
            except StablemeterError as error:
                logger("daemon").warning("chain is not ready yet", chain=chain.name, error=str(error))

    def _listen(self) -> socket.socket:
        host, _, port = self._settings.web.listen.rpartition(":")
        try:
            return socket.create_server(
                (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {self._settings.web.listen}: {error.strerror}", remedy="set web.listen"
            ) from error

    def _start_worker(self) -> None:
        names = sorted(self._wanted & WORKER_ROLES)
        if not names:
            return
        context: Any = multiprocessing.get_context("spawn")
        self._worker = context.Process(target=worker.main, args=(self._config, names, os.getpid()), name="worker")
        assert self._worker is not None
        self._worker.start()

    def _shut_down(self) -> bool:
        """Stop in the other order. True when nothing died of a bug."""
        healthy = not self._runner.failed.is_set()
        if self._worker is not None:
            died = not self._worker.is_alive()
            if not died:
                self._worker.terminate()
            self._worker.join(STOP_SECONDS_MAX)
            if self._worker.is_alive():
                self._worker.kill()
                self._worker.join()
            asked = (OK, -signal.SIGTERM)  # the signal itself, when it came before the worker could handle it
            healthy = healthy and not died and self._worker.exitcode in asked
        self._runner.stop()
        self._roles.release()
        self._app.close()
        return healthy
