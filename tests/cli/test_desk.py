"""The finance desk at the command line: what waits is shown with suggestions, decided, given up, and sent back."""

import json
from pathlib import Path

import pytest

from billing.core.onchain import checksum, parse_address
from tests.cli.scene import Site

HOME = "0x" + "ab" * 20


def test_suspended_money_is_applied_to_an_invoice_as_it_was_suggested(branch: Site) -> None:
    """One dollar in a token that is not accepted came in for acme's invoice, which is paid; it pays for beta."""
    (row,) = branch("exception", "list", "--json").json()
    number, beta = str(row["id"]), branch.invoice("beta")["number"]
    shown = branch("exception", "show", number).ok().out
    assert "1. credit for acme: its next invoice uses it\n2. refund for acme" in shown
    branch("exception", "resolve", number, "--as", "apply", "--reason", "r").refused("0 invoices", code=2)
    apply = ("exception", "resolve", number, "--as", "apply", "--to", f"{beta}=0.75", "--reason", "they wrote")
    branch(*apply).refused("--tenant beta says that you mean it", code=2)
    told = branch(*apply, "--tenant", "beta").ok().out
    assert told == f"exception {number} resolved: 0.75 USD on {beta}; 0.25 USD are beta's credit\n"
    branch(*apply, "--tenant", "beta").refused("was resolved by cli:", code=1)
    assert branch.invoice("beta")["remaining"] == "23.25" and branch("audit").code == 0


def test_what_is_odd_is_told(branch: Site) -> None:
    (left,) = [row for row in branch("exception", "odd", "--json").json() if row["kind"] == "overpaid"]
    assert (left["tenant"], left["amount"], left["suggestions"][0]["action"]) == ("orbit", "100.00", "credit")


def test_an_invoice_is_given_up(branch: Site) -> None:
    number = branch.invoice("beta")["number"]
    assert branch("invoice", "write-off", number, "--reason", "insolvent").ok().out == (
        f"{number} is uncollectible: 24.00 USD are given up\n"
    )
    branch("invoice", "write-off", number, "--reason", "again").refused("is uncollectible", code=1)
    assert branch.invoice("beta")["status"] == "uncollectible" and branch("audit").code == 0


def test_a_refund_is_planned_for_a_payee_of_two_people_and_paid(
    branch: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "refund 1: 60.000000 USDC" in branch("refund", "credit", "orbit", "60.00", "--reason", "they ask").ok().out
    assert "60.000000 USDC for orbit have no confirmed payee" in branch("refund", "plan", "anvil").ok().out
    branch("refund", "plan", "anvil", "--output", tmp_path / "plan.json").refused("nothing can be planned", code=1)
    monkeypatch.setenv("LOGNAME", "ann")
    propose = ("payee", "propose", "orbit", HOME, "--chain", "anvil", "--reason", "by letter")
    assert "payee 1 is proposed" in branch(*propose).ok().out
    branch("payee", "confirm", "1", "--reason", "me").refused("somebody else must confirm it", code=1)
    monkeypatch.setenv("LOGNAME", "bob")
    assert "confirmed for orbit" in branch("payee", "confirm", "1", "--reason", "called back").ok().out
    (payee,) = branch("payee", "list", "--json").json()
    assert (payee["address"], payee["state"]) == (checksum(parse_address(HOME)), "confirmed")
    (owed,) = branch("refund", "list", "--json").json()
    assert (owed["tenant"], owed["amount"], owed["payee"]) == ("orbit", "60.000000", payee["address"])
    told = branch("refund", "plan", "anvil", "--output", tmp_path / "plan.json").ok().out
    assert "the treasury lacks 60.000000 USDC: sweep first" in told and "it may revert" in told
    (call,) = json.loads((tmp_path / "plan.json").read_text())["transactions"]
    assert call["to"] == checksum(branch.usdc) and HOME[2:] in call["data"] and call["value"] == "0"
    verify = ("treasury", "verify", tmp_path / "plan.json", "--issuer", branch("wallet", "pin", "--json").json()["pin"])
    branch(*verify).refused("was not named; do not sign")
    branch(*verify, "--token", branch.usdc, "--payee", "0x" + "cd" * 20).refused("do not sign")
    branch(*verify, "--token", branch.usdc, "--payee", HOME).ok()
    branch("refund", "paid", "1", "--tx", "0x" + "12" * 32).refused("no transfer of this token", code=1)
    branch("payee", "revoke", "1", "--reason", "they moved").ok()
    assert branch("payee", "list").ok().out == "no payees\n" and branch("audit").code == 0
