"""`stablemeter maintenance`: windows in which the operator works on leased GPUs. Leased time in them is not billed."""

from typing import Annotated

import typer

from billing.cli.context import actor, application, say, show
from billing.cli.options import AsJson, Reason, span

app = typer.Typer(help="Maintenance windows: add, end, cancel, list.", no_args_is_help=True)

Adjust = Annotated[
    bool, typer.Option("--adjust", help="Also in time that was invoiced: the difference comes with the next invoice")
]


@app.command()
def add(
    start: Annotated[str, typer.Option("--from", help="First moment (RFC 3339)")],
    end: Annotated[str, typer.Option("--to", help="End")],
    reason: Reason,
    host: Annotated[list[str] | None, typer.Option(help="A host, with all its GPUs; repeat")] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A GPU by UUID; repeat")] = None,
    reference: Annotated[str, typer.Option(help="A name for it; default: made up")] = "",
    adjust: Adjust = False,
    as_json: AsJson = False,
) -> None:
    """Announce a window. Leased time in it is not billed; what tenants without a lease were seen to use still is."""
    from billing.metering.excluder import Announcement

    with application() as one:
        wanted = Announcement(span(start, end), reason, host or [], gpu or [], reference, adjust)
        name = one.excluder.announce(wanted, actor=actor())
        changed = one.collector.apply_changes()
    say(f"maintenance {name}; {changed} devices changed", as_json, reference=name, devices_changed=changed)


@app.command("end")
def end_(
    reference: str,
    at: Annotated[str, typer.Option("--at", help="When it ends (RFC 3339); default: now")] = "",
    reason: Reason = "",
    adjust: Adjust = False,
) -> None:
    """End a window earlier than announced."""
    from billing.core.period import parse_time, rfc3339

    with application() as one:
        moment = parse_time(at) if at else one.clock.now().replace(microsecond=0)
        one.excluder.end(reference, moment, adjust=adjust, reason=reason, actor=actor())
        one.collector.apply_changes()
    typer.echo(f"maintenance {reference} ends at {rfc3339(moment)}")


@app.command()
def cancel(reference: str, reason: Reason, adjust: Adjust = False) -> None:
    """Take a window back, as if it had never been announced."""
    with application() as one:
        one.excluder.cancel(reference, reason=reason, adjust=adjust, actor=actor())
        one.collector.apply_changes()
    typer.echo(f"maintenance {reference} is cancelled")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All windows."""
    from billing.metering.store import decisions

    with application() as one, one.database.transaction() as session:
        rows = [{**row, "from": row["start"], "to": row["until"]} for row in decisions.windows(session)]
    columns = ("reference", "status", "from", "to", "hosts", "gpus", "reason")
    show(rows, columns, as_json=as_json, empty="no maintenance")
