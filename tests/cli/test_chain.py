"""`chain rewind` and `chain status --live`: what an operator does when a chain or an endpoint misbehaves."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from billing.core.onchain import checksum, parse_address
from tests.cli.scene import Site


@pytest.fixture
def branch(site: Site, tmp_path: Path) -> Iterator[Site]:
    with site.branch(tmp_path, "rewound") as one:
        one("chain", "sync").ok()
        yield one


def books(site: Site) -> list[tuple[object, ...]]:
    with psycopg.connect(site.database_url) as connection:
        sums = connection.execute(
            "SELECT account, asset, sum(units) FROM posting GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        seen = connection.execute("SELECT id, block_hash, incarnation, state FROM transfer ORDER BY id").fetchall()
    return [*sums, *seen]


def test_a_chain_is_read_again_and_nothing_is_booked_twice(branch: Site) -> None:
    before = books(branch)
    assert any(row[0] for row in before)
    for how in (("--to-block", "3"), ("--to-time", "2026-01-01T00:00:00Z")):
        said = branch("chain", "rewind", "anvil", *how, "--reason", "the endpoint was on a wrong fork").ok().out
        assert "anvil is read again from " in said and "stablemeter chain sync" in said
        (row,) = branch("chain", "status", "--json").json()
        assert row["reads_again_from"] is not None and row["stopped"] == ""
        branch("chain", "sync").ok()
        (row,) = branch("chain", "status", "--json").json()
        assert row["reads_again_from"] is None
        assert books(branch) == before
    with psycopg.connect(branch.database_url) as connection:
        deeds = connection.execute("SELECT reason FROM trail WHERE action = 'chain.rewind'").fetchall()
    assert deeds == [("the endpoint was on a wrong fork",)] * 2
    branch("audit").ok()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ((), "give either --to-block or --to-time"),
        (("--to-block", "1", "--to-time", "2026-01-01T00:00:00Z"), "give either --to-block or --to-time"),
        (("--to-block", "99999999"), "block 99999999 is not among those that were read"),
        (("--to-block", "-1"), "--to-block"),
        (("--to-time", "yesterday"), "'yesterday' is not a time"),
        (("--to-time", "2999-01-01T00:00:00Z"), "was read up to"),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, how: tuple[str, ...], words: str) -> None:
    site("chain", "rewind", "anvil", *how, "--reason", "why").refused(words)


def test_a_rewind_needs_a_chain_and_a_reason(site: Site) -> None:
    site("chain", "rewind", "base", "--to-block", "1", "--reason", "why").refused("no chain base is configured")
    site("chain", "rewind", "anvil", "--to-block", "1").refused("--reason", code=2)
    site("chain", "rewind", "anvil", "--to-block", "1", "--reason", " ").refused("a reason is needed", code=2)


def test_the_status_tells_what_each_endpoint_says_now(site: Site, tmp_path: Path) -> None:
    away = site.variant(tmp_path, {"rpc_urls = [": 'rpc_urls = ["http://127.0.0.1:9/secret-key", '})
    (row,) = away("chain", "status", "--live", "--json").json()
    dead, alive = row["endpoints"]
    assert "does not answer" in dead["error"] and dead["block"] is None
    assert alive["block"] > 0 and alive["age_seconds"] >= 0 and alive["error"] == ""
    told = away("chain", "status", "--live").ok().out
    assert "127.0.0.1:9" in told and "secret-key" not in told


def test_a_wallet_is_accepted_on_a_chain_and_an_unknown_chain_is_named(site: Site) -> None:
    assert site("wallet", "accept", "anvil").ok().out == "anvil is accepted\n"
    site("wallet", "accept", "base").refused("no chain base is configured")


@pytest.mark.parametrize("price", ["0", "-1", "1e3", "a lot", "1.0000000001"])
def test_what_is_no_price_of_a_coin_is_refused(site: Site, price: str) -> None:
    site("sweep", "plan", "anvil", f"--native-price={price}").refused("is no price")


def test_an_address_is_looked_at_closely(site: Site) -> None:
    """Tokens that nobody listens to, zero transfers and native coin: all shown, and marked as what they are."""
    stranger = site.node.deploy("TestUSD", "US Dollar Coin", "USDC", 6)
    address = parse_address("0x" + "5a" * 20)
    site.node.mint(stranger, address, 7)
    site.node.transfer(site.usdc, address, 0)
    site.node.transfer(site.usdc, address, 2_500_000)
    site.node.send(address, value=10**17)
    (chain,) = site("chain", "inspect", address, "--live", "--json").json()["chains"]
    held = {one["token"]: one["amount"] for one in chain["balances"]}
    assert held["USDC"] == "2.500000" and held["native coin"] == "0.1" + "0" * 17 and not chain["deployed"]
    assert [(one["listing"], one["units"]) for one in chain["logs"]] == [
        ("accept", "2500000"), ("accept", "0"), ("nobody listens to it", "7"),
    ]  # fmt: skip
    assert chain["logs"][2]["token"] == checksum(stranger)
    told = site("chain", "inspect", address, "--live").ok().out
    assert "nobody listens to it" in told and "2.500000 USDC" in told
    (none,) = site("chain", "inspect", "0x" + "5b" * 20, "--live", "--blocks", "3", "--json").json()["chains"]
    assert none["logs"] == []
    site("chain", "inspect", "0x12", "--live").refused("is not an address")
