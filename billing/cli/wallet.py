"""`stablemeter wallet`: where money goes, and the pin by which payers recognise it."""

from typing import Annotated

import typer

from billing.cli.context import application, show_json
from billing.cli.options import AsJson

app = typer.Typer(help="The wallet: show, pin, accept.", no_args_is_help=True)


@app.command("show")
def show_(as_json: AsJson = False) -> None:
    """The configured wallet, and every generation before it."""
    from billing.core.errors import NotFound
    from billing.wallets import store

    with application() as one:
        if one.wallet is None:
            raise NotFound("no wallet is configured", remedy="set wallet.treasury (or wallet.mode and wallet.xpub)")
        accepted = sorted(one.accepter.accepted())
        with one.database.transaction() as session:
            generations = [
                {"since": g.created_at, "pin": g.wallet.pin(), **g.wallet.pinned()} for g in store.generations(session)
            ]
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
            typer.echo(f"{key}: {value}")
    typer.echo(f"generations: {len(generations)}")


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
