"""Runs a program of the operator's for one notice: the notice is its standard input, as JSON."""

import os
import subprocess
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from billing.notices.notice import Answer, DeliveryState
from billing.notices.store import Claimed

TIMEOUT_SECONDS: Final = 60


class ProgramReceiver:
    """A program that is told what happened, and may switch a tenant off. It is started without a shell, and with nothing of our
    environment but PATH: settings and secrets are not its business."""

    def __init__(self, name: str, program: Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.name, self._program, self._timeout = name, list(program), timeout_seconds

    def send(self, one: Claimed, now: datetime) -> Answer:
        """Never raises for what the program does. Exit code 0 is taken; any other is tried again. What it prints is not kept."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "STABLEMETER_NOTICE_ID": one.message_id}
        try:
            done = subprocess.run(
                self._program,
                input=one.content,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(None, f"ended after {self._timeout:g} s")
        except OSError as error:
            return Answer(None, f"cannot be started: {error.strerror}", reached=False)
        return Answer(DeliveryState.DELIVERED if done.returncode == 0 else None, f"exit code {done.returncode}")

    def close(self) -> None:
        """Nothing is kept open between two notices."""
