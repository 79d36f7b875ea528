"""Compliance at the command line: what is known of a tenant decides which leases are made, and lists are looked after."""

import json
from pathlib import Path

from tests.cli.scene import Site
from tests.factories import H100

RULES = f"""
[[compliance.controls]]
name = "hopper"
models = ["{H100}"]
attestation = "end-use"
kyc = true
"""


def test_a_lease_waits_for_kyc_and_attestation_and_the_report_says_who_held_what(branch: Site, tmp_path: Path) -> None:
    branch.config.write_text(branch.config.read_text() + RULES)
    lease = ("lease", "add", "beta", "--from", "2027-01-01T00:00:00Z", "--gpu", "GPU-acme", "--reference", "c9")
    branch("lease", "end", "contract-1", "--at", "2026-12-31T00:00:00Z", "--reason", "moved out")
    branch(*lease).refused("refused by hopper", "the KYC of beta is none", "has no attestation end-use", code=1)
    branch("compliance", "tenant", "kyc", "beta", "--status", "verified", "--reason", "passport seen").ok()
    days = ("--granted", "2026-10-01", "--expires", "2028-01-01")
    branch("compliance", "tenant", "attest", "beta", "--kind", "end-use", *days, "--reference", "letter 1").ok()
    assert "KYC verified" in branch("compliance", "tenant", "show", "beta").ok().out
    branch(*lease).ok()
    gone = (
        "compliance",
        "tenant",
        "revoke",
        "beta",
        "--kind",
        "end-use",
        "--reference",
        "letter 1",
        "--reason",
        "gone",
    )
    branch(*gone).ok()
    branch(*gone).refused("no attestation end-use", code=1)
    (refused,) = branch("compliance", "tenant", "show", "beta", "--json").json()["refused"]
    assert "has no attestation end-use" in refused
    rows = branch("export", "compliance", "--period", branch.period, "--format", "json").json()["rows"]
    acme = [one for one in rows if one["tenant"] == "acme"]
    assert acme and {(one["legal_name"], one["country"], one["lease"], one["allowed"]) for one in acme} == {
        ("Acme GmbH", "DE", "contract-1", "no")
    }


def test_a_list_is_shown_and_a_broken_one_is_told_by_doctor(branch: Site, tmp_path: Path) -> None:
    file = tmp_path / "sdn.txt"
    file.write_text("0x" + "ab" * 20 + "\tETH\n")
    branch.config.write_text(branch.config.read_text() + f'\n[[compliance.lists]]\nname = "sdn"\npath = "{file}"\n')
    (row,) = branch("compliance", "lists", "--json").json()
    assert (row["name"], row["addresses"], row["problem"]) == ("sdn", 1, "")
    file.write_text("0xab\n")
    (row,) = branch("compliance", "lists", "--json").json()
    assert row["addresses"] == 1 and "line 1: '0xab' is no address" in row["problem"]
    told = next(one for one in json.loads(branch("doctor", "--json").out) if one["what"] == "sanctions lists")
    assert not told["ok"] and "line 1" in told["detail"]
