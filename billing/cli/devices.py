"""`stablemeter device`: the inventory."""

from typing import Annotated, Any

import typer

from billing.cli.context import actor, application, show
from billing.cli.options import AsJson

app = typer.Typer(help="The inventory: list, retire.", no_args_is_help=True)


@app.command("list")
def list_(
    hosts: Annotated[bool, typer.Option("--hosts", help="One row a host")] = False, as_json: AsJson = False
) -> None:
    """All devices, or all hosts."""
    from billing.core.period import FOREVER, at_second
    from billing.fleet import store

    with application() as one, one.database.transaction() as session:
        if hosts:
            rows = store.hosts(session)
            show(rows, ("host", "model", "gpus", "source", "last_seen_at"), as_json=as_json, empty="no hosts seen yet")
            return
        devices: list[dict[str, Any]] = [
            {
                "device": str(d.key),
                "model": d.model,
                "profile": d.key.profile or "whole",
                "host": d.host,
                "source": d.source,
                "in_service_from": at_second(d.in_service[0]),
                "retired_at": None if at_second(d.in_service[1]) >= FOREVER else at_second(d.in_service[1]),
            }
            for d in store.devices(session)
        ]
    columns = ("device", "model", "profile", "host", "source", "in_service_from", "retired_at")
    show(devices, columns, as_json=as_json, empty="no devices seen yet")


@app.command()
def retire(
    gpu: str, at: Annotated[str, typer.Option("--at", help="From when on (RFC 3339); default: now")] = ""
) -> None:
    """Take a GPU out of service: from then on it is no longer missed."""
    from billing.core.period import parse_time
    from billing.fleet import store
    from billing.trail.store import Deed, record

    with application() as one:
        now = one.clock.now().replace(microsecond=0)
        since = parse_time(at) if at else now
        with one.database.transaction() as session:
            store.retire(session, gpu, since)
            record(session, Deed(now, actor(), "device.retire", f"gpu {gpu}"))
        one.collector.apply_changes(since)
    typer.echo(f"GPU {gpu} retired")
