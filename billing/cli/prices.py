"""`stablemeter price`: what usage costs."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from billing.cli.context import actor, application, show
from billing.cli.options import AsJson, read_file

if TYPE_CHECKING:
    from billing.pricing.store import PriceChange

app = typer.Typer(help="Price books: check, apply, show.", no_args_is_help=True)


def _tell(changes: "list[PriceChange]") -> None:
    for change in changes:
        before = "nothing" if change.before is None else str(change.before)
        after = "nothing" if change.after is None else str(change.after)
        typer.echo(f"{change.sku}: {change.span}: {before} -> {after}")
    if not changes:
        typer.echo("no price changes")


@app.command()
def check(file: Path) -> None:
    """Check a price book, and show what applying it would change."""
    content = read_file(file)
    with application() as one:
        _tell(one.rater.check(content))


@app.command()
def apply(file: Path) -> None:
    """Put a price book in force: all of it, or nothing."""
    content = read_file(file)
    with application() as one:
        _tell(one.rater.apply(content, actor=actor()))


@app.command("show")
def show_(as_json: AsJson = False) -> None:
    """The prices in force."""
    with application() as one:
        rows = one.rater.prices()
    show(
        rows,
        ("sku", "title", "per_hour", "per_unit", "unit_size", "currency", "from", "until"),
        as_json=as_json,
        empty="no prices yet",
    )
