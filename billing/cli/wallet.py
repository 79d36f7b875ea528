"""`stablemeter wallet`: where money goes, and the pin by which payers recognise it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import application, cell, show, show_json
from billing.cli.options import AsJson

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.db.engine import Session

app = typer.Typer(help="The wallet: show, pin, accept.", no_args_is_help=True)


@app.command("show")
def show_(as_json: AsJson = False) -> None:
    """The configured wallet, and every generation of it: its addresses stay watched for ever, and hold what is told here."""
    from billing.core.errors import NotFound

    with application() as one:
        if one.wallet is None:
            raise NotFound("no wallet is configured", remedy="set wallet.treasury (or wallet.mode and wallet.xpub)")
        accepted = sorted(one.accepter.accepted())
        with one.database.transaction() as session:
            generations = _generations(one, session)
        found = {
            "pin": one.wallet.pin(),
            **one.wallet.pinned(),
            "accepted_chains": accepted,
            "generations": generations,
        }
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        if key != "generations":
            typer.echo(f"{key}: {cell(value)}")
    columns = ("since", "pin", "treasury", "accepted_on", "invoices", "deposits", "unflushed", "in_treasury")
    typer.echo("")
    show(generations, columns, as_json=False)


def _generations(one: "App", session: "Session") -> list[dict[str, Any]]:
    """Every generation, oldest first, with how many invoices have an address of it, and the final money that lies there."""
    from billing.chain.store import held, tokens
    from billing.core.money import decimal_text
    from billing.wallets import store

    names, known = {chain.chain_id: chain.name for chain in one.chains}, tokens.known(session)
    money: dict[tuple[int, bool], list[str]] = {}
    for lies in held.held(session):
        token, name = known[lies.chain_id, lies.token], names.get(lies.chain_id, f"chain {lies.chain_id}")
        told = f"{decimal_text(lies.units, token.decimals)} {token.symbol} on {name}"
        money.setdefault((lies.generation_id, lies.is_treasury), []).append(told)
    counts = store.counts(session)
    return [
        {
            "since": g.created_at,
            "pin": g.wallet.pin(),
            **g.wallet.pinned(),
            "accepted_on": [names.get(id_, f"chain {id_}") for id_ in sorted(store.accepted_chains(session, g.id))],
            "invoices": counts.get(g.id, {}).get("invoice", 0),
            "deposits": counts.get(g.id, {}).get("deposit", 0),
            "unflushed": money.get((g.id, False), []),
            "in_treasury": money.get((g.id, True), []),
        }
        for g in store.generations(session)
    ]


@app.command()
def accept(name: Annotated[str, typer.Argument(help="The chain")]) -> None:
    """Verify the chain, its tokens, and the wallet's factory and treasury there; then the chain is offered on invoices. The
    daemon does so too."""
    from billing.cli.chains import ids

    with application() as one:
        for chain_id in ids(one, name):
            one.check_chain(chain_id)
            typer.echo(f"{one.watchers[chain_id].chain.name} is accepted")


@app.command()
def pin(as_json: AsJson = False) -> None:
    """The pin: put it into contracts. Payers check invoices with it, and never take it from a page."""
    from billing.core.errors import NotFound

    with application(schema=False) as one:
        if one.wallet is None:
            raise NotFound("no wallet is configured", remedy="set wallet.treasury (or wallet.mode and wallet.xpub)")
        found = {"pin": one.wallet.pin(), **one.wallet.pinned()}
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        typer.echo(f"{key}: {value}")
