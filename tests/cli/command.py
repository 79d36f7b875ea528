"""One command, as it is typed: run in this process, with what it wrote and the code that it ended with."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from billing.cli.app import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def ok(self) -> "Done":
        assert self.code == 0, f"exit code {self.code}: {self.out}{self.err}"
        return self

    def refused(self, *words: str, code: int | None = None) -> str:
        """The error: one line that holds all the words, exit code 1 or 2, nothing on standard output."""
        lines = self.err.splitlines()
        assert self.out == "", self.out
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        assert self.code in ((code,) if code is not None else (1, 2)), f"exit code {self.code}: {self.err}"
        for word in words:
            assert word in lines[0], f"{word!r} is not in: {lines[0]}"
        return lines[0]


def stablemeter(*arguments: str | Path) -> Done:
    """Run a command. What it raises besides SystemExit is a bug, and fails the test with its traceback."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code: object = 0
    argv = ["stablemeter", *map(str, arguments)]
    with patch.object(sys, "argv", argv), patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    done = Done(code if isinstance(code, int) else int(code is not None), _text(out), _text(err))
    assert "\x1b" not in done.out + done.err, "colour in a pipe"
    assert "Traceback" not in done.out + done.err
    return done


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
