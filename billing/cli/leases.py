"""`stablemeter lease`: who holds which GPU."""

from pathlib import Path
from typing import Annotated, Any

import typer

from billing.cli.context import actor, application, say, show
from billing.cli.options import AsJson, Reason, about, read_bytes, span

app = typer.Typer(help="Leases: add, end, list.", no_args_is_help=True)


@app.command()
def add(
    tenant: str,
    start: Annotated[str, typer.Option("--from", help="First moment (RFC 3339)")],
    end: Annotated[str, typer.Option("--to", help="End; left out: open")] = "",
    host: Annotated[list[str] | None, typer.Option(help="A host, with all its GPUs; repeat")] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A GPU by UUID; repeat")] = None,
    reference: Annotated[str, typer.Option(help="The contract's name; default: made up")] = "",
    as_json: AsJson = False,
) -> None:
    """Let GPUs to a tenant: all of the named ones, or none."""
    with application() as one:
        leases = one.leaser.add(
            tenant, span(start, end), hosts=host or [], uuids=gpu or [], reference=reference, actor=actor()
        )
        one.collector.apply_changes()
    name = leases[0].reference
    say(f"lease {name}: {len(leases)} GPUs to {tenant}", as_json, reference=name, tenant=tenant, gpus=len(leases))


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV with tenant, host or gpu, from, to, reference; header in any order")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; change nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Let GPUs as a file says: all lines, or none. An empty `to` is open; lines of one reference are one lease."""
    content = read_bytes(file)
    with application() as one:
        with about(file, "nothing was let"):
            done = one.lease_importer.read(content, dry_run=dry_run, actor=actor())
        if not dry_run:
            one.collector.apply_changes()
    told = f"{done.leases} leases, {done.gpus} GPUs{': the file is fine, nothing was changed' if dry_run else ''}"
    say(told, as_json, leases=done.leases, gpus=done.gpus, dry_run=dry_run)


@app.command("end")
def end_(
    reference: str,
    at: Annotated[str, typer.Option("--at", help="When it ends (RFC 3339); default: now")] = "",
    reason: Reason = "",
) -> None:
    """End a lease. Usage after that time is derived again."""
    from billing.core.period import parse_time

    with application() as one:
        moment = parse_time(at) if at else one.clock.now().replace(microsecond=0)
        leases = one.leaser.end(reference, moment, actor=actor(), reason=reason)
        one.collector.apply_changes()
    typer.echo(f"lease {reference}: {len(leases)} GPUs end at {moment.isoformat()}")


@app.command("list")
def list_(tenant: Annotated[str, typer.Option(help="Only this tenant's")] = "", as_json: AsJson = False) -> None:
    """All leases."""
    from billing.leasing import store
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        tenant_id = tenants.by_slug(session, tenant).id if tenant else None
        rows: list[dict[str, Any]] = [
            {
                "reference": lease.reference,
                "tenant": lease.tenant,
                "host": lease.host,
                "gpu": lease.uuid,
                "from": lease.span.start,
                "to": None if lease.span.is_open else lease.span.end,
            }
            for lease in store.listed(session, tenant_id=tenant_id)
        ]
    show(rows, ("reference", "tenant", "host", "gpu", "from", "to"), as_json=as_json, empty="no leases")
