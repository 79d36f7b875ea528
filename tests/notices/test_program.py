"""A program that is run for a notice: what it is given, and what becomes of its answer."""

import json
import os
import sys
from pathlib import Path

import pytest

from billing.notices.notice import DeliveryState
from billing.notices.program import ProgramReceiver
from billing.notices.store import Claimed
from billing.settings import alone
from tests.factories import at

ONE = Claimed(
    1, "msg_7", json.dumps({"type": "tenant.suspended", "data": {"tenant": "acme; rm -rf $HOME"}}).encode(), 1
)
KEEP = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read() + repr(sorted(os.environ)).encode())"


def test_a_program_reads_the_notice_as_it_is_and_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STABLEMETER_MAIL__PASSWORD", "hidden")
    told = tmp_path / "told"
    answer = ProgramReceiver("switch", [sys.executable, "-c", KEEP, str(told)]).send(ONE, at(0))
    assert (answer.state, answer.said) == (DeliveryState.DELIVERED, "exit code 0")
    content = told.read_text()
    assert content.startswith(ONE.content.decode()) and "STABLEMETER_NOTICE_ID" in content
    assert "PASSWORD" not in content and "HOME'" not in content.removeprefix(ONE.content.decode())


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit code 3"),
        (["/nonexistent/switch"], "cannot be started: No such file or directory"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "ended after 0.2 s"),
    ],
)
def test_a_program_that_fails_is_run_again_later(program: list[str], answer: str) -> None:
    told = ProgramReceiver("switch", program, timeout_seconds=0.2 if "time" in program[-1] else 20).send(ONE, at(0))
    assert (told.state, told.said) == (None, answer)


@pytest.mark.parametrize("program", [["suspend"], ["./suspend"], []])
def test_a_program_is_named_by_its_whole_path(program: list[str]) -> None:
    with pytest.raises(ValueError, match=r"whole path|at least 1 item"):
        alone({"programs": [{"name": "switch", "program": program}]})
    assert (
        alone({"programs": [{"name": "switch", "program": [os.path.realpath(sys.executable)]}]}).programs[0].name
        == "switch"
    )
