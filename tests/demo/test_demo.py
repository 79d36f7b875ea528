"""`stablemeter demo`, in a process of its own and an empty home: it tells the whole story, and leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from billing.demo.fleet import Plan, Site
from tests.cli.command import stablemeter
from tests.daemon.process import COMMAND, environment
from tests.parts import NO_TLS, free_port, wait_for


@dataclass
class Home:
    """An empty home and an empty folder for temporary files; every process of the demo carries the mark."""

    folder: Path
    mark: str

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def environment(self) -> Mapping[str, str]:
        return {
            **environment(),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary),
            "DEMO_MARK": self.mark,
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """In a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [*COMMAND, "demo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment(), cwd=self.folder, start_new_session=True,
        )  # fmt: skip

    def processes(self) -> list[str]:
        """Whatever still runs of it: by the mark in the environment, or the folder in the command line."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line, values = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in values or str(self.temporary).encode() in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def left(self) -> list[str]:
        """Temporary files that remain; the embedded database's library keeps one empty lock file for all its servers."""
        return sorted(path.name for path in self.temporary.iterdir() if path.name != ".lockfile")


@pytest.fixture
def home(scratch: Path) -> Iterator[Home]:
    """A short path that the database's own user may enter."""
    made = Home(scratch / f"demo-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex)
    for path in (made.folder, made.folder / "home", made.temporary):
        path.mkdir(mode=0o755)
    yield made
    assert made.processes() == []


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Whatever happens in the test, its own process group does not outlive it."""
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def gone(home: Home) -> None:
    wait_for(lambda: home.processes() == [], f"the end of {home.processes()}", 30)


def test_it_ends_well_says_what_happened_and_leaves_nothing(home: Home) -> None:
    process = home.start("--exit", "--small")
    with ended(process):
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    gone(home)
    assert home.left() == []
    for words in (
        "metered acme: ", "exactly the fleet's truth", "paid after 3 confirmations", "the chain was reorganised",
        "open again", "sent it again: paid", "beta paid a half of", "open, ", "orbit paid 100.00 too much: paid",
        "23 invariants hold", "3 of 3 documents are genuine, 0 of them with another's address", "nothing of it was kept",
    ):  # fmt: skip
        assert words in out, f"{words!r} is not in:\n{out}"
    assert "against the truth" not in out and "NOT THE SAME MONEY" not in out and "\x1b" not in out
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith(" INV-")}
    assert rows["acme"].rstrip().endswith("paid    exact, after the chain took 1 back")
    assert rows["beta"].rstrip().endswith("partial + exact")
    number, _, _, total, received, credit, *_ = rows["orbit"].split()
    assert number == "INV-000003" and credit == "100.00"
    assert float(received) - float(total) == pytest.approx(100)


def test_a_second_one_that_is_kept_can_be_asked_and_verified_and_is_not_overwritten(home: Home) -> None:
    folder = home.folder / "kept"
    process = home.start("--exit", "--small", "--dir", str(folder))
    with ended(process):
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    gone(home)
    assert home.left() == [] and (folder / "archive").is_dir()
    typed = [line.split()[1:] for line in out.splitlines() if line.startswith("  stablemeter ")]
    assert len(typed) == 2
    for arguments in typed:  # exactly as the summary told
        stablemeter(*arguments).ok()
    listed = stablemeter("--config", folder / "stablemeter.toml", "invoice", "list", "--json").json()
    assert {row["status"] for row in listed} == {"paid"}
    from billing.db import embedded

    embedded.stop(folder)
    stablemeter("demo", "--exit", "--small", "--dir", folder).refused(str(folder), "is not empty", code=1)


def test_ctrl_c_while_the_pages_are_up_ends_it_cleanly(home: Home) -> None:
    """The terminal tells every process of the group at once."""
    port = free_port()
    process = home.start("--small", "--port", str(port))
    with ended(process):
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if "Ctrl-C ends it all" in line:
                break
        text = "".join(told)
        found = re.search(r"an invoice is at (http://\S+)", text)
        assert found, text
        wait_for(lambda: _page(found[1]) == httpx.codes.OK, "the invoice page")
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest and "error" not in rest.lower(), rest
    gone(home)
    assert home.left() == []


def _page(url: str) -> int:
    try:
        return httpx.get(url, timeout=5, verify=NO_TLS).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle_it_cleans_up_too(home: Home, number: signal.Signals, code: int) -> None:
    process = home.start("--exit", "--small")
    with ended(process):
        assert process.stdout is not None
        for line in process.stdout:
            if "tenants: " in line:
                break
        time.sleep(0.5)  # somewhere in the scraping
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in rest, rest
    gone(home)
    assert home.left() == []


def test_what_cannot_work_is_refused_before_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    stablemeter("demo", "--exit", "--dir", blocker / "x").refused(str(blocker), "cannot be used", code=1)
    stablemeter("demo", "--port", "99999").refused("--port", code=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stablemeter("demo", "--port", str(port)).refused(f"cannot listen on 127.0.0.1:{port}", "--port", code=1)


def test_the_demo_never_meets_the_database_of_a_real_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    from billing.settings import Settings, alone

    monkeypatch.setenv("STABLEMETER_DATABASE__URL", "postgresql://production/books")
    monkeypatch.setenv("STABLEMETER_CHAINS", json.dumps([]))
    assert Settings().database.url.get_secret_value() == "postgresql://production/books"
    settings = alone({"data_dir": "/nowhere"})
    assert settings.database.url.get_secret_value() == "" and isinstance(settings, Settings)


def test_a_page_changes_exactly_when_what_it_shows_does() -> None:
    """Pages are kept between rounds; none is served that is out of date."""
    site = Site("s", (0, 36_000), 3600, [Plan("n1", "team", (1, 3))], seed=5)
    site.gone[site.uuid("n1", 2)] = [(7200, 10_800)]
    site.outages["n1"] = [(14_400, 18_000)]
    site.strays[site.uuid("n1", 1)] = [(18_000, 21_600)]
    for at in (*range(0, 39_600, 3600), 7200, 0):  # also back in time
        page, fresh = site.page("n1", at), Site("s", (0, 36_000), 3600, site.plans, seed=5)
        fresh.gone, fresh.outages, fresh.strays = site.gone, site.outages, site.strays
        assert page == fresh.page("n1", at)
        if page is not None:
            assert page.count(b"DCGM_FI_DEV_GPU_TEMP{") == (7 if at == 10_800 else 8)
    for uuid_, jobs in site.held.items():
        for at in range(0, 39_600, 600):
            said = "team" if any(start < at <= end for start, end, _ in jobs) else ""
            assert site.label(uuid_, at) == ("mystery" if uuid_.endswith("-1") and 18_000 < at <= 21_600 else said)
