"""`stablemeter price`: what usage costs."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from billing.cli.context import actor, application, show
from billing.cli.options import AsJson, read_bytes, read_file

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.pricing.store.books import PriceChange

app = typer.Typer(help="Price books: check, apply, show, spot.", no_args_is_help=True)


def _tell(changes: "list[PriceChange]") -> None:
    for change in changes:
        before = "nothing" if change.before is None else str(change.before)
        after = "nothing" if change.after is None else str(change.after)
        whose = f" for {change.tenant}" if change.tenant else ""
        typer.echo(f"{change.sku}{whose}: {change.span}: {before} -> {after}")
    if not changes:
        typer.echo("no price changes")


@app.command()
def check(file: Path) -> None:
    """Check a price book. Shows what applying it would change, and what that makes of the running month so far."""
    content = read_file(file)
    with application() as one:
        changes = one.rater.check(content)
        _tell(changes)
        if changes:
            _tell_effect(one, content)


def _tell_effect(one: "App", content: str) -> None:
    from billing.core.money import Money

    found = one.rater.effect(content)
    currency = found.currency
    for why in found.untold:
        typer.echo(f"this month's costs {why}")
    for effect in found.changed:
        before, after = (
            "unknown" if units is None else Money(units, currency).text() for units in (effect.before, effect.after)
        )
        typer.echo(f"{effect.tenant}, this month so far: {before} -> {after} {currency.code}")
    if not found.changed and not found.untold:
        typer.echo("nobody's cost of this month changes so far")


@app.command()
def apply(file: Path) -> None:
    """Put a price book in force: all of it, or nothing."""
    content = read_file(file)
    with application() as one:
        _tell(one.rater.apply(content, actor=actor()))


@app.command("show")
def show_(as_json: AsJson = False) -> None:
    """The prices in force: of the list, and of tenants."""
    with application() as one:
        rows = one.rater.prices()
    show(rows, ("sku", "tenant", "title", "price", "currency", "from", "until"), as_json=as_json, empty="no prices yet")


@app.command()
def agreements(as_json: AsJson = False) -> None:
    """The fees, minimums and discounts in force. Amounts are in the currency's smallest unit."""
    with application() as one:
        rows = one.rater.agreements()
    columns = ("code", "kind", "title", "tenant", "skus", "amount", "percent", "from", "until")
    show(rows, columns, as_json=as_json, empty="no fees, minimums or discounts")


@app.command()
def spot(sku: str, file: Path) -> None:
    """Offer spot rates from a CSV file (from, to, per_hour): all of them, or none. What was offered is never changed."""
    content = read_bytes(file)
    with application() as one:
        from billing.pricing.spots import parse

        new = one.rater.offer(sku, parse(content), actor=actor())
    typer.echo(f"{new} new rates of {sku}")
