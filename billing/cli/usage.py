"""`stablemeter usage`: what was used, and the intervals behind an invoice line."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import application, show
from billing.cli.options import AsJson, Period

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.core.period import Span
    from billing.db.engine import Session
    from billing.invoicing.invoice import InvoiceLine

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
    """The intervals behind an invoice line, and the readings that they come from; of a meter, the hours and their events."""
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
        if chosen.metered is not None:
            hours = _hours(one, session, chosen, tenant_id, found.period)
            _explain_meter(chosen, hours, as_json=as_json)
            return
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


def _hours(one: "App", session: "Session", line: "InvoiceLine", tenant_id: int, period: "Span") -> list[dict[str, Any]]:
    """The hours that a line of a meter comes from, as the events are now."""
    from billing.core.errors import Conflict
    from billing.events import store

    assert line.metered is not None
    meter = next((meter for meter in one.meters if meter.name == line.metered.meter), None)
    if meter is None:
        raise Conflict(f"the meter {line.metered.meter} is not declared any more", remedy="see metering.meters")
    return store.hours(session, meter, tenant_id, period, line.period)


def _explain_meter(line: "InvoiceLine", rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from decimal import Decimal

    from billing.core.quantity import plain, total
    from billing.events.meter import digest_of_hours

    metered = line.metered
    assert metered is not None
    if not as_json:
        now, digest = plain(total([Decimal(row["quantity"]) for row in rows])), digest_of_hours(rows)
        events = sum(row["events"] for row in rows)
        typer.echo(f"{line.description}, {line.tenant}, {line.period}: {metered.aggregation} of {metered.meter}")
        typer.echo(
            f"invoiced: {plain(metered.quantity)} {metered.unit} of {metered.events} events, digest {line.usage_digest}"
        )
        typer.echo(
            f"now:      {now} {metered.unit} of {events} events, digest {digest}"
            + ("" if digest == line.usage_digest else " (changed since)")
        )
    show(rows, ("hour", "quantity", "events", "digest"), as_json=as_json)
