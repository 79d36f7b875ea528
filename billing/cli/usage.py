"""`stablemeter usage`: what was used, and the intervals behind an invoice line."""

from typing import Annotated

import typer

from billing.cli.context import application, show
from billing.cli.options import AsJson, Period

app = typer.Typer(help="Usage: show, explain.", no_args_is_help=True)


@app.command("show")
def show_(
    period: Period, tenant: Annotated[str, typer.Option(help="Only this tenant's")] = "", as_json: AsJson = False
) -> None:
    """Seconds by tenant, device and SKU in a month, billable as things are now."""
    from billing.core.period import parse_month
    from billing.metering.store import facts
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        tenant_id = tenants.by_slug(session, tenant).id if tenant else None
        rows = facts.usage_by_device(session, parse_month(period), tenant_id)
    show(
        rows,
        ("tenant", "device", "host", "model", "basis", "runs", "seconds", "hours"),
        as_json=as_json,
        empty="no usage",
    )


@app.command()
def explain(
    invoice: str, line: Annotated[int, typer.Argument(help="Line number, from 1")], as_json: AsJson = False
) -> None:
    """The intervals behind an invoice line, and the readings that they come from."""
    from billing.core.errors import NotFound
    from billing.invoicing import store
    from billing.metering.store import facts
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        found = store.by_number(session, invoice)
        lines = {item.position: item for item in store.lines(session, found.id)}
        if line not in lines:
            raise NotFound(f"{invoice} has no line {line}", remedy=f"it has {len(lines)} lines")
        chosen = lines[line]
        tenant_id = tenants.by_slug(session, chosen.tenant).id
        rows = facts.intervals(session, tenant_id, chosen.sku, chosen.period)
        now_digest = facts.usage_digest(rows)
    if not as_json:
        seconds = sum(row["seconds"] for row in rows)
        typer.echo(f"{chosen.description}, {chosen.tenant}, {chosen.period}")
        typer.echo(f"invoiced: {chosen.quantity_seconds} s, digest {chosen.usage_digest}")
        typer.echo(
            f"now:      {seconds} s, digest {now_digest}"
            + ("" if now_digest == chosen.usage_digest else " (changed since)")
        )
    show(rows, ("device", "host", "from", "to", "seconds", "basis", "because", "readings", "digest"), as_json=as_json)
