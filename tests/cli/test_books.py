"""Closing a month by commands."""

import hashlib
from pathlib import Path

from billing.bootstrap import build
from billing.core.clock import SystemClock
from billing.settings import load
from tests.cli.scene import Site


def test_a_month_is_closed_and_its_files_are_what_is_exported_ever_after(branch: Site, tmp_path: Path) -> None:
    open_ = branch("books", "close", "--period", branch.period, "--dry-run")
    assert open_.code == 1 and "read twice up to its end" in open_.out
    app = build(load(branch.config), SystemClock())
    while app.proofreaders[31337].tick().behind:
        pass
    app.close()
    assert (
        branch("books", "close", "--period", branch.period, "--dry-run").ok().out == f"{branch.period} can be closed\n"
    )
    told = branch("books", "close", "--period", branch.period).ok().out
    assert f"the books of {branch.period} are closed" in told and "reconciliation.xlsx" in told
    (closed,) = branch("books", "list", "--json").json()
    digests = {one["name"]: one["sha256"] for one in closed["files"]}
    for report, form in (
        ("reconciliation", "csv"),
        ("reconciliation", "xlsx"),
        ("journal", "beancount"),
        ("usage", "xlsx"),
        ("aging", "csv"),
    ):
        target = tmp_path / f"{report}.{form}"
        branch("export", report, "--period", branch.period, "--format", form, "--output", target).ok()
        assert hashlib.sha256(target.read_bytes()).hexdigest() == digests[target.name]
    branch("books", "close", "--period", branch.period).refused("are closed already", code=1)
    assert closed["charges"] > 0 and closed["usage_digest"] in told
    branch("audit").ok()
