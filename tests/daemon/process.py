"""The daemon as a process: started with a settings file, asked over HTTP, stopped by signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.parts import NO_TLS, answers, free_port, wait_for

COMMAND = (sys.executable, "-m", "billing")


def command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
    )


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STABLEMETER_")}


class Running:
    """A daemon that was started."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self.process, self.url, self.log = process, f"http://127.0.0.1:{port}", log

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return answers(f"{self.url}/readyz")

        wait_for(ready, "the daemon", 180)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=10, verify=NO_TLS)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def daemon(folder: Path, settings: str, *arguments: str, code: str = "") -> Iterator[Running]:
    """Start `stablemeter run`; `code` runs first in its process (a test's way to plant a bug). It is killed at the end."""
    port = free_port()
    number = len(list(folder.glob("daemon-*.log")))
    config, log = folder / f"daemon-{number}.toml", folder / f"daemon-{number}.log"
    config.write_text(f'{settings}\n[web]\nlisten = "127.0.0.1:{port}"\n[logs]\nformat = "json"\n')
    start: Sequence[str] = [*COMMAND]
    if code:
        start = [sys.executable, "-c", f"{code}\nfrom billing.cli.app import main\nmain()"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*start, "--config", str(config), "run", *arguments],
            stdout=output,
            stderr=output,
            text=True,
            env=environment(),
        )
    try:
        yield Running(process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        time.sleep(0.1)
