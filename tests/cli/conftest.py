"""One site for all tests of the command line, played once by commands alone; tests that change something take a copy."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from billing.core.onchain import parse_address
from billing.core.period import rfc3339
from tests.cli.command import stablemeter
from tests.cli.scene import BOOK, Site, edited, parts, past_month, settings_of, watched

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine, and an empty working directory."""
    for name in [name for name in os.environ if name.startswith("STABLEMETER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def site(postgres: str, scratch: Path) -> Iterator[Site]:
    """The whole story, from an empty directory to settled invoices. `told` holds what each step said."""
    folder, month = scratch / "site", past_month()
    folder.mkdir()
    url = make_url(postgres).set(database="site").render_as_string(hide_password=False)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE site")
    with parts(scratch, month) as (source, node, node_url), pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("STABLEMETER_")]:
            patched.delenv(name)
        patched.chdir(folder)
        usdc, other = node.deploy("TestUSD", "USD Coin", "USDC", 6), node.deploy("TestUSD", "Other", "OUSD", 18)
        for token in (usdc, other):
            node.mint(token, node.accounts[0], 10**24)
        treasury = parse_address(node.accounts[9])
        made = Site(folder / "stablemeter.toml", url, node, node_url, source, usdc, other, treasury, month)
        _set_up(made)
        _meter(made)
        _invoice(made)
        _settle(made)
        _own(made)
        yield made


def _set_up(site: Site) -> None:
    told = site.told
    told["init"] = stablemeter("init")
    site.config.write_text(edited(site.config.read_text(), settings_of(site)) + watched(site))
    told["check before"], told["list before"] = site("db", "check"), site("tenant", "list")
    told["upgrade"], told["upgrade again"], told["check"] = (
        site("db", "upgrade"), site("db", "upgrade"), site("db", "check")
    )  # fmt: skip
    told["doctor before"] = site("doctor")
    plan = site("chain", "deploy-plan", "anvil", "--json").json()
    site.node.send(plan["to"], bytes.fromhex(plan["data"][2:]))
    told["doctor"] = site("doctor")


def _meter(site: Site) -> None:
    told, first = site.told, rfc3339(site.start)
    book = site.config.parent / "pricebook.toml"
    book.write_text(BOOK)
    told["price check"], told["price apply"] = site("price", "check", book), site("price", "apply", book)
    site("tenant", "add", "acme", "--attribution", "lease", "--legal-name", "Acme GmbH", "--country", "DE").ok()
    site("tenant", "add", "beta", "--label", "beta").ok()
    site("tenant", "add", "orbit", "--title", "Orbit Cloud").ok()
    site("tenant", "add", "delta", "--label", "brisbane:delta", "--reseller", "orbit").ok()
    told["collect"] = site("meter", "collect", "--from", first, "--to", rfc3339(site.month.end))
    told["collect again"] = site("meter", "collect", "--from", first, "--to", rfc3339(site.month.end))
    told["lease add"] = site("lease", "add", "acme", "--from", first, "--gpu", "GPU-acme", "--reference", "contract-1")


def _invoice(site: Site) -> None:
    told = site.told
    told["preview"] = site("invoice", "preview", "--period", site.period, "--json")
    told["run"], told["run again"] = (site("invoice", "run", "--period", site.period) for _ in range(2))


def _settle(site: Site) -> None:
    """acme pays exactly, beta a half, orbit 100 too much, and somebody sends acme a token that pays nothing."""
    told = site.told
    site.pay("acme", "96.00")
    site.pay("beta", "24.00")
    site.pay("orbit", "196.00")
    site.node.transfer(site.other, site.invoice("acme")["address"], 10**18)
    told["sync seen"] = site("chain", "sync")
    told["payments seen"] = site("payment", "list", "--json")
    site.node.mine(12)
    told["sync final"] = site("chain", "sync", "anvil")
    told["reconcile"] = site("reconcile")
    hours = ("--from", rfc3339(site.start), "--to", rfc3339(site.start.replace(hour=6)))
    told["maintenance"] = site(
        "maintenance", "add", *hours, "--gpu", "GPU-mystery", "--reason", "fans", "--reference", "w1"
    )


def _own(site: Site) -> None:
    """north owns a third of acme's GPU. Nothing is settled yet."""
    site("owner", "add", "north", "--title", "North Fund", "--country", "NO", "--fee", "250").ok()
    site("owner", "share", "north", "1/3", "--from", rfc3339(site.start), "--gpu", "GPU-acme").ok()
    site("owner", "payee", "north", "anvil", site.node.accounts[6], "--reason", "by letter").ok()


@pytest.fixture
def branch(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A copy of the site that a test may change."""
    with site.branch(tmp_path, f"b{os.getpid()}_{next(_numbers)}") as copied:
        yield copied
