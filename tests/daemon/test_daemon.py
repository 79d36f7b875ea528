"""`stablemeter run`: starts, serves, stops when told to, and does not go on after a bug."""

import signal
from pathlib import Path

import psycopg
import pytest

from tests.daemon.process import command, daemon
from tests.parts import wait_for


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> str:
    return f'data_dir = "{tmp_path}"\n[database]\nurl = "{database_url}"\n'


def test_it_serves_and_stops_cleanly_on_sigterm(tmp_path: Path, settings: str) -> None:
    with daemon(tmp_path, settings) as running:
        running.wait_ready()
        assert running.get("/healthz").status_code == 200
        for job in ("reconcile", "collect"):  # the worker's counters are on the same page
            wait_for(lambda job=job: f'job="{job}"' in running.get("/metrics").text, job)  # type: ignore[misc]
        assert running.get("/api/v1/invoices").status_code == 401
        assert running.stop() == 0
    assert running.events()[-1]["event"] == "stopped" and running.events()[-1]["clean"] is True


def test_ctrl_c_is_a_clean_stop_too(tmp_path: Path, settings: str) -> None:
    with daemon(tmp_path, settings, "--only", "watcher,web") as running:
        running.wait_ready()
        assert running.stop(signal.SIGINT) == 0


BUG = """
import billing.daemon.schedule as schedule
table = schedule.jobs
def broken() -> bool:
    raise ZeroDivisionError("planted")
schedule.jobs = lambda app, roles: [*table(app, roles), schedule.Job("broken", schedule.RoleName.WATCHER, 1, broken)]
"""


def test_a_bug_in_a_job_stops_the_daemon_with_a_non_zero_exit(tmp_path: Path, settings: str) -> None:
    with daemon(tmp_path, settings, code=BUG) as running:
        assert running.process.wait(60) == 1
    events = running.events()
    assert any(e["event"] == "a bug stops the daemon" and "ZeroDivisionError" in e["exception"] for e in events)
    assert events[-1]["event"] == "stopped" and events[-1]["clean"] is False


def test_a_dead_worker_stops_the_daemon(tmp_path: Path, settings: str) -> None:
    with daemon(tmp_path, settings) as running:
        running.wait_ready()
        wait_for(
            lambda: any(e["event"] == "started" and "collector" in e["roles"] for e in running.events()), "the worker"
        )
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        workers = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(workers) == 1
        import os

        os.kill(int(workers[0]), signal.SIGKILL)
        assert running.process.wait(60) == 1


def test_a_second_copy_stands_by_and_takes_over(tmp_path: Path, settings: str, database_url: str) -> None:
    def holders() -> dict[str, tuple[str, int]]:
        with psycopg.connect(database_url) as connection:
            return {
                name: (holder, epoch)
                for name, holder, epoch in connection.execute("SELECT name, holder, epoch FROM role")
            }

    with daemon(tmp_path, settings) as first:
        first.wait_ready()
        wait_for(lambda: len(holders()) == 3, "all roles")
        before = holders()
        with daemon(tmp_path, settings) as second:
            second.wait_ready()
            assert holders() == before, "roles that are held are not taken"
            first.process.kill()
            first.process.wait()
            wait_for(lambda: all(epoch == 2 for _, epoch in holders().values()), "the takeover", 90)
            assert second.stop() == 0


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        ("colour = 1", "colour: unknown key", 2),
        ('[wallet]\nmode = "xpub"\nxpub = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"', "treat it as exposed", 2),
    ],
)  # fmt: skip
def test_wrong_settings_refuse_to_start_on_one_line(
    tmp_path: Path, settings: str, change: str, words: str, code: int
) -> None:
    with daemon(tmp_path, f"{change}\n{settings}" if "[" not in change else f"{settings}{change}") as running:
        assert running.process.wait(30) == code
    output = running.log.read_text()
    assert words in output and "Traceback" not in output and output.count("\n") == 1


def test_a_database_that_is_away_or_old_refuses_to_start(tmp_path: Path, postgres: str) -> None:
    away = f'data_dir = "{tmp_path}"\n[database]\nurl = "postgresql://127.0.0.1:1/none"\n'
    with daemon(tmp_path, away) as running:
        assert running.process.wait(60) == 1
    assert "the database cannot be reached" in running.log.read_text() and "Traceback" not in running.log.read_text()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one")
    from sqlalchemy import make_url

    url = make_url(postgres).set(database="empty_one").render_as_string(hide_password=False)
    with daemon(tmp_path, f'data_dir = "{tmp_path}"\n[database]\nurl = "{url}"\n') as running:
        assert running.process.wait(60) == 2
    assert "has schema none" in running.log.read_text() and "stablemeter db upgrade" in running.log.read_text()
    config = tmp_path / "upgrade.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n[database]\nurl = "{url}"\n')
    assert command(config, "db", "upgrade").returncode == 0
    assert command(config, "db", "check").stdout == "the database is as this version expects\n"


def test_a_port_in_use_is_one_line(tmp_path: Path, settings: str) -> None:
    with daemon(tmp_path, settings, "--only", "web") as first:
        first.wait_ready()
        config = tmp_path / "same.toml"
        config.write_text(f'{settings}\n[web]\nlisten = "{first.url.removeprefix("http://")}"\n')
        done = command(config, "run", "--only", "web")
        assert done.returncode == 1 and "cannot listen on" in done.stderr and "Traceback" not in done.stderr
        assert command(config, "run", "--only", "everything").returncode == 2
