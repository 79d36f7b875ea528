"""The `stablemeter` command: puts the nouns together, and turns expected errors into one line and an exit code."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from billing.cli import books, operate, payments, verify
from billing.cli.context import set_config
from billing.cli.nouns import Nouns
from billing.core.errors import StablemeterError

app = typer.Typer(
    name="stablemeter",
    cls=Nouns,
    help="Meters GPU-hours, bills them in stablecoins, and proves that both are the same money.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

operate.add_to(app)
verify.add_to(app)
books.add_to(app)
payments.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        from billing import __version__

        typer.echo(f"stablemeter {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file; default $STABLEMETER_CONFIG or ./stablemeter.toml")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options that every command has."""
    set_config(config)


def main() -> None:
    """Run a command. Expected errors are one line; a bug shows its traceback, because somebody must see it."""
    try:
        sys.exit(app(prog_name="stablemeter", standalone_mode=False))
    except StablemeterError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":  # a noun without a verb: its verbs are the answer
            typer.echo(error.format_message(), err=True)
            sys.exit(2)
        place = context.command_path if context else "stablemeter"
        _fail(f"{place}: {error.format_message().rstrip('.')}; see: {place} --help", 2)


def _fail(message: str, code: int) -> None:
    """Say what is wrong on one line, whatever the message holds, and end."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
