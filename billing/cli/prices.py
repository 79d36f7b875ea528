"""`stablemeter price`: what usage costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from billing.cli.context import actor, application, say, show, show_json
from billing.cli.options import AsJson, about, read_bytes, read_file

if TYPE_CHECKING:
    from billing.pricing.rater import Effects
    from billing.pricing.store.books import PriceChange

app = typer.Typer(help="Price books: check, apply, show, spot.", no_args_is_help=True)


def _changes(changes: "list[PriceChange]") -> list[dict[str, Any]]:
    return [
        {
            "sku": change.sku,
            "tenant": change.tenant or None,
            "from": change.span.start,
            "until": None if change.span.is_open else change.span.end,
            "before": None if change.before is None else str(change.before),
            "after": None if change.after is None else str(change.after),
        }
        for change in changes
    ]


def _tell(changes: "list[PriceChange]") -> None:
    for change in changes:
        before = "nothing" if change.before is None else str(change.before)
        after = "nothing" if change.after is None else str(change.after)
        whose = f" for {change.tenant}" if change.tenant else ""
        typer.echo(f"{change.sku}{whose}: {change.span}: {before} -> {after}")
    if not changes:
        typer.echo("no price changes")


@app.command()
def check(file: Path, as_json: AsJson = False) -> None:
    """Check a price book. Shows what applying it would change, and what that makes of the running month so far."""
    content = read_file(file)
    with application() as one, about(file):
        changes = one.rater.check(content)
        found = one.rater.effect(content) if changes else None
    effects = _effects(found) if found else []
    untold = list(found.untold) if found else []
    if as_json:
        show_json({"changes": _changes(changes), "this_month_so_far": effects, "untold": untold})
        return
    _tell(changes)
    for why in untold:
        typer.echo(f"this month's costs {why}")
    for row in effects:
        before, after = (row[when] or "unknown" for when in ("before", "after"))
        typer.echo(f"{row['tenant']}, this month so far: {before} -> {after} {row['currency']}")
    if changes and not effects and not untold:
        typer.echo("nobody's cost of this month changes so far")


def _effects(found: "Effects") -> list[dict[str, Any]]:
    """What the running month costs so far, before and after; None where a price is missing."""
    from billing.core.money import Money

    def amount(units: int | None) -> str | None:
        return None if units is None else Money(units, found.currency).text()

    return [
        {
            "tenant": effect.tenant,
            "before": amount(effect.before),
            "after": amount(effect.after),
            "currency": found.currency.code,
        }
        for effect in found.changed
    ]


@app.command()
def apply(file: Path, as_json: AsJson = False) -> None:
    """Put a price book in force: all of it, or nothing."""
    content = read_file(file)
    with application() as one, about(file, "nothing was changed"):
        changes = one.rater.apply(content, actor=actor())
    if as_json:
        show_json({"changes": _changes(changes)})
    else:
        _tell(changes)


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
def spot(sku: str, file: Path, as_json: AsJson = False) -> None:
    """Offer spot rates from a CSV file (from, to, per_hour): all of them, or none. What was offered is never changed."""
    content = read_bytes(file)
    with application() as one, about(file, "no rate was offered"):
        from billing.pricing.spots import parse

        new = one.rater.offer(sku, parse(content), actor=actor())
    say(f"{new} new rates of {sku}", as_json, sku=sku, new=new)
