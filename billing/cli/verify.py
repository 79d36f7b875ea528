"""`stablemeter verify`: is this invoice genuine? Needs no settings, no network, no database."""

from pathlib import Path
from typing import Annotated

import typer

from billing.cli.context import show_json
from billing.cli.options import AsJson, read_bytes


def verify(
    file: Annotated[Path, typer.Argument(help="The invoice document, exactly as it was served")],
    issuer: Annotated[
        list[str] | None, typer.Option("--issuer", help="The issuer's pin, from your contract; repeat")
    ] = None,
    address: Annotated[str, typer.Option("--address", help="The payment address that you were shown")] = "",
    as_json: AsJson = False,
) -> None:
    """Check an invoice document offline. Exit code 0 only when it is the issuer's and stands for the address shown."""
    from billing.core.onchain import checksum, parse_address, parse_hash
    from billing.invoicing.verify import verify as check

    pins = [parse_hash(one) for one in issuer or []]
    verdict = check(read_bytes(file), pins, parse_address(address) if address else None)
    if as_json:
        show_json(
            {
                "genuine": verdict.genuine,
                "digest": verdict.digest,
                "address": checksum(verdict.address) if verdict.address else None,
                "words": verdict.words,
            }
        )
    else:
        for word in verdict.words:
            typer.echo(word)
    if not verdict.genuine:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    app.command()(verify)
