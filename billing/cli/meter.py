"""`stablemeter meter`: read sources, and see how complete the picture is."""

from typing import Annotated, Any

import typer

from billing.cli.context import application, progress, show, show_json
from billing.cli.options import AsJson, span

app = typer.Typer(help="Metering: collect, status, conservation.", no_args_is_help=True)


@app.command()
def collect(
    start: Annotated[str, typer.Option("--from", help="Start (RFC 3339); left out: what is due")] = "",
    end: Annotated[str, typer.Option("--to", help="End (RFC 3339)")] = "",
    source: Annotated[list[str] | None, typer.Option(help="Only this source; repeat")] = None,
) -> None:
    """Read windows: those that are due, or by hand those of a span, also when they were read before."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from billing.core.errors import Invalid
    from billing.core.period import HOUR

    with application() as one:
        if not start and not end:
            if source:
                raise Invalid("--source goes with --from and --to", remedy="what is due is read of every source")
            outcome = one.collector.tick(limit=24 * 31)
        else:
            if not (start and end):
                raise Invalid("--from and --to go together")
            wanted = span(start, end)
            hours = -(-(wanted.seconds[1] - wanted.seconds[0]) // HOUR) * len(source or one.settings.metering.sources)
            with progress(TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
                task = bar.add_task("windows", total=hours)
                outcome = one.collector.collect(wanted, source or [], lambda _name, _window: bar.advance(task))
    typer.echo(
        f"{outcome.windows} windows read, {outcome.unchanged} unchanged, {outcome.samples} samples, "
        f"{outcome.failures} sources failed"
    )
    if outcome.failures:
        raise typer.Exit(1)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Each source: how far it was read, how well; the newest gaps; labels that mean no tenant. Each meter of pushed events;
    events that nothing bills yet."""
    with application() as one:
        now = one.clock.now()
        found = one.meter_reporter.status(now) | one.event_reporter.status(now)
    if as_json:
        show_json(found)
        return
    columns = ("name", "type", "read_until", "windows", "incomplete_windows", "coverage", "failure")
    show([_with_coverage(row) for row in found["sources"]], columns, as_json=False, empty="no sources yet")
    if found["gaps"]:
        typer.echo("\nnewest gaps")
        show(found["gaps"], ("source", "start", "end", "status", "reason"), as_json=False)
    if found["unknown_labels"]:
        typer.echo("\nlabels that mean no tenant (stablemeter tenant add NAME --label LABEL)")
        show(found["unknown_labels"], ("source", "label", "devices", "device_hours"), as_json=False)
    _show_events(found)


def _show_events(found: dict[str, Any]) -> None:
    if found["meters"]:
        typer.echo("\nmeters of pushed events, 31 days")
        show(found["meters"], ("name", "type", "aggregation", "events", "newest", "unusable"), as_json=False)
    if found["unknown_types"]:
        typer.echo("\nevents that no meter counts (declare one under metering.meters)")
        show(found["unknown_types"], ("type", "events", "first", "last"), as_json=False)
    if found["unknown_subjects"]:
        typer.echo("\nsubjects of events that mean no tenant (stablemeter tenant add NAME --label events:SUBJECT)")
        show(found["unknown_subjects"], ("subject", "events", "first", "last", "suggestion"), as_json=False)


def _with_coverage(row: dict[str, Any]) -> dict[str, Any]:
    whole = row["present_seconds"] + row["missing_seconds"] + row["blind_seconds"]
    share = row["present_seconds"] * 10_000 // whole if whole else 0
    return {**row, "coverage": f"{share // 100}.{share % 100:02d} %" if whole else ""}


@app.command()
def conservation(
    day: Annotated[str, typer.Option(help="A day (2026-10-31), or with --to the first of several")],
    end: Annotated[str, typer.Option("--to", help="End, exclusive; default: the day after")] = "",
    as_json: AsJson = False,
) -> None:
    """Where every GPU-second went. Exit code 1 when the categories do not add up."""
    from datetime import timedelta

    from billing.core.period import Span, parse_time

    first = parse_time(day)
    with application() as one:
        found = one.meter_reporter.conserved(Span(first, parse_time(end) if end else first + timedelta(days=1)))
    rows = [
        {"category": category.value, "gpu_seconds": seconds, "gpu_hours": f"{seconds // 36 / 100:.2f}"}
        for category, seconds in found.gpu_seconds.items()
    ]
    if as_json:
        show_json({"span": str(found.span), "gpus": found.gpus, "gpu_seconds": found.whole, "categories": rows,
                   "difference_slot_seconds": found.difference})  # fmt: skip
    else:
        typer.echo(f"{found.gpus} GPUs, {found.whole} GPU-seconds in service, {found.span}")
        show(rows, ("category", "gpu_seconds", "gpu_hours"), as_json=False)
        typer.echo("nothing is left over" if not found.difference else f"{found.difference} slot-seconds do not add up")
    if found.difference:
        raise typer.Exit(1)
