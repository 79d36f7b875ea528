"""Owners at the command line: from a share to a statement."""

import json
from pathlib import Path

import pytest

from billing.core.onchain import checksum
from billing.core.period import rfc3339
from tests.cli.scene import Site


def this_month(site: Site) -> str:
    return str(site("chain", "status", "--json").json()[0]["mined_at"][:7])


def test_an_owner_earns_its_share_of_what_was_paid_and_has_a_statement(branch: Site, tmp_path: Path) -> None:
    """acme paid 96.00; a third of its GPU is north's, with a fee of 2.5 %."""
    assert branch("owner", "settle").ok().out.startswith("1 lines settled in 1 entries")
    assert branch("owner", "settle").ok().out.startswith("nothing to settle")
    (row,) = branch("owner", "list", "--json").json()
    assert row["owed"] == ["31.20 USD"], "32.00 less 0.80"
    period = this_month(branch)
    rows = branch("owner", "statement", "north", "--period", period, "--format", "json").json()["rows"]
    assert [(one["kind"], one["collected"], one["fee"], one["net"]) for one in rows] == [
        ("brought forward", "", "", ""), ("gpu", "32.00", "0.80", "31.20"), ("total", "32.00", "0.80", "31.20"),
    ]  # fmt: skip
    target = tmp_path / "north.xlsx"
    branch("owner", "statement", "north", "--period", period, "--format", "xlsx", "--output", target).ok()
    assert target.read_bytes()[:2] == b"PK"
    paper = tmp_path / "north.pdf"
    branch("owner", "statement", "north", "--period", period, "--format", "pdf", "--output", paper).ok()
    assert paper.read_bytes()[:4] == b"%PDF"
    branch("owner", "statement", "north", "--period", period, "--format", "pdf").refused("needs a file", code=2)
    branch("owner", "fee", "north", "500", "--from", rfc3339(branch.start), "--reason", "new contract").ok()
    branch("owner", "settle").ok()
    assert branch("owner", "list", "--json").json()[0]["owed"] == ["30.40 USD"]
    branch("audit", "--offline").ok()


def test_shares_come_from_a_file_and_end(branch: Site, tmp_path: Path) -> None:
    file = tmp_path / "shares.csv"
    file.write_bytes(
        b"\xef\xbb\xbfowner,gpu,share,from\r\nnorth,GPU-beta,1/2,2026-01-01\r\nnorth,GPU-delta,25%,2026-01-01\r\n"
    )
    assert "nothing was changed" in branch("owner", "import", file, "--dry-run").ok().out
    assert branch("owner", "import", file).ok().out == "2 shares of 2 GPUs\n"
    shares = branch("owner", "show", "north", "--json").json()["shares"]
    assert [(one["gpu"], one["share"]) for one in shares] == [
        ("GPU-acme", "1/3"),
        ("GPU-beta", "1/2"),
        ("GPU-delta", "1/4"),
    ]
    gone = str(shares[1]["id"])
    assert "was cancelled" in branch("owner", "end-share", gone, "--at", "2026-01-01", "--reason", "mistyped").ok().out
    assert "ends at" in branch("owner", "end-share", str(shares[2]["id"]), "--reason", "sold").ok().out
    assert len(branch("owner", "show", "north", "--json").json()["shares"]) == 2


def test_an_owner_is_paid_at_an_address_that_two_people_gave(branch: Site, tmp_path: Path) -> None:
    branch("owner", "settle").ok()
    place, file = checksum(branch.node.accounts[5]), tmp_path / "payout.json"
    plan = ("owner", "payout-plan", "anvil", "--token", "USDC")
    assert "no confirmed address" in branch(*plan).ok().out
    branch(*plan, "--output", file).refused("nobody to pay", code=1)
    branch("owner", "payee", "north", "anvil", place, "--reason", "by letter").ok()
    branch("owner", "confirm-payee", "north", "anvil", place, "--reason", "x").refused("somebody else", code=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LOGNAME", "second")
        branch("owner", "confirm-payee", "north", "anvil", place, "--reason", "by telephone").ok()
    found = branch(*plan, "--json").json()
    assert (found["amount_units"], found["left_out"]) == ("31200000", [])
    assert "sweep first" in branch(*plan, "--output", file).ok().out
    (transaction,) = json.loads(file.read_text())["transactions"]
    assert transaction["data"] == found["transactions"][0]["data"] and transaction["to"] == checksum(branch.usdc)
    check = ("treasury", "verify", file, "--issuer", branch("wallet", "pin", "--json").json()["pin"])
    branch(*check).refused("pays in", "was not named", code=2)
    branch(*check, "--token", branch.usdc).refused(f"pays {place}, which was not named", code=2)
    told = branch(*check, "--token", branch.usdc, "--payee", place).ok().out
    assert "in all 31200000 units" in told and "this pays the payees that you named" in told
    payee = branch("owner", "payees", "north", "--json").json()[-1]
    assert (payee["address"], payee["confirmed_by"]) == (place, "cli:second")
    branch("owner", "paid", "north", "0x" + "12" * 32, "--reason", "October").refused("sent nothing", code=1)
