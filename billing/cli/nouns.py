"""The nouns of the command line. Each is loaded when one of its commands is typed: help and version wait for none of them."""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

HELP_WIDTH: Final = 45


@dataclass(frozen=True, slots=True)
class Noun:
    """A group of commands: `typer` is its Typer in billing.cli.`module`; the module `also` adds commands to it."""

    name: str
    module: str
    help: str
    typer: str = "app"
    also: str = ""


NOUNS: Final = (
    Noun("db", "database", "The database: upgrade and check."),
    Noun("tenant", "tenants", "Tenants: add, set, cycle, label, list, show.", also="prepaid"),
    Noun("price", "prices", "Price books: check, apply, show, spot."),
    Noun("lease", "leases", "Leases: add, end, list."),
    Noun("maintenance", "maintenance", "Maintenance windows: add, end, cancel, list."),
    Noun("device", "devices", "The inventory: list, retire."),
    Noun("meter", "meter", "Metering: collect, status, conservation, exclusions."),
    Noun("usage", "usage", "Usage: show, explain."),
    Noun("invoice", "invoices", "Invoices: preview, run, issue, show, list, void, write-off, credit, notes, pdf."),
    Noun("wallet", "wallet", "The wallet: show, pin, accept."),
    Noun("chain", "chains", "Chains: sync, status, resume, rewind, inspect, presets, deploy-plan."),
    Noun("payment", "payments", "Payments: list."),
    Noun("exception", "payments", "What waits for a person: list, show, odd, resolve.", typer="exceptions"),
    Noun("notice", "notices", "Notices to webhooks: list, deliver, replay."),
    Noun("compliance", "compliance", "Compliance: tenant, lists."),
    Noun("payee", "refunds", "Addresses that tenants are paid at: propose, confirm, revoke, list.", typer="payees"),
    Noun("refund", "refunds", "Money that is owed back: list, credit, plan, paid."),
    Noun("sweep", "sweep", "Plans that bring money to the treasury: plan."),
    Noun("treasury", "sweep", "For the treasury's signers: verify.", typer="treasury"),
    Noun("ledger", "books", "The ledger: trial-balance.", typer="ledger"),
    Noun("books", "books", "Months: close, list.", typer="books"),
    Noun("export", "exports", "Files for finance: reconciliation, journal, aging, statement, usage, compliance."),
    Noun("owner", "owners", "Owners of GPUs: their shares, what they earned, and what they are paid.", also="payouts"),
    Noun("apikey", "apikeys", "Keys for the HTTP API: create, list, revoke."),
    Noun("login", "logins", "Sign-in to the pages: make links, list and end sessions."),
)


@cache
def load(noun: Noun) -> typer.Typer:
    """The noun's Typer, with all its commands."""
    found: typer.Typer = getattr(import_module(f"billing.cli.{noun.module}"), noun.typer)
    if noun.also:
        import_module(f"billing.cli.{noun.also}").add_to(found)
    found.rich_markup_mode = None
    return found


class Loaded(MutableMapping[str, Any]):
    """Commands by name: those that are there, and nouns that are made when they are asked for."""

    def __init__(self, commands: MutableMapping[str, Any]) -> None:
        self._commands, self._nouns = dict(commands), {noun.name: noun for noun in NOUNS}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands and name in self._nouns:
            group = typer.main.get_group(load(self._nouns[name]))
            group.name = name
            self._commands[name] = group
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} stays")

    def __iter__(self) -> Iterator[str]:
        return iter({**self._commands, **self._nouns})

    def __len__(self) -> int:
        return len({**self._commands, **self._nouns})

    def told(self) -> list[tuple[str, str]]:
        """(name, what it is for), without loading anything."""
        return [
            (
                name,
                self._nouns[name].help if name in self._nouns else self._commands[name].get_short_help_str(HELP_WIDTH),
            )
            for name in self
        ]


class Nouns(TyperGroup):
    """The root of the command line."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: MutableMapping[str, Any] = Loaded(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        assert isinstance(self.commands, Loaded)
        with formatter.section("Commands"):
            formatter.write_dl(self.commands.told())
