"""`stablemeter meter`: read sources, and see how complete the picture is."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from billing.cli import exclusions
from billing.cli.context import application, progress, say, show, show_json
from billing.cli.options import AsJson, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from billing.bootstrap import App
    from billing.metering.collector import Outcome, Progress

MONTH: Final = 24 * 31
MOST_DUE: Final = 24 * 366 * 10
"""Windows of a source: ten years of hours."""

app = typer.Typer(help="Metering: collect, status, conservation, exclusions.", no_args_is_help=True)
app.add_typer(exclusions.app, name="exclusions")


@app.command()
def collect(
    start: Annotated[str, typer.Option("--from", help="Start (RFC 3339); left out: what is due")] = "",
    end: Annotated[str, typer.Option("--to", help="End (RFC 3339)")] = "",
    source: Annotated[list[str] | None, typer.Option(help="Only this source; repeat")] = None,
    as_json: AsJson = False,
) -> None:
    """Read windows: those that are due, or by hand those of a span, also when they were read before."""
    from billing.core.errors import Invalid
    from billing.core.period import HOUR

    with application() as one:
        if not start and not end:
            if source:
                raise Invalid("--source goes with --from and --to", remedy="what is due is read of every source")
            outcome = _due(one)
        else:
            if not (start and end):
                raise Invalid("--from and --to go together")
            wanted = span(start, end)
            hours = -(-(wanted.seconds[1] - wanted.seconds[0]) // HOUR) * len(source or one.settings.metering.sources)
            with _bar(hours) as advance:
                outcome = one.collector.collect(wanted, source or [], advance)
    say(
        f"{outcome.windows} windows read, {outcome.unchanged} unchanged, {outcome.samples} samples, "
        f"{outcome.failures} sources failed",
        as_json,
        windows=outcome.windows,
        unchanged=outcome.unchanged,
        samples=outcome.samples,
        failures=outcome.failures,
    )
    if outcome.failures:
        raise typer.Exit(1)


@contextmanager
def _bar(windows: int) -> "Iterator[Progress]":
    """A bar over so many windows, where there is somebody to see it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns) as bar:
        task = bar.add_task("windows", total=windows)
        yield lambda _name, _window: bar.advance(task)


def _due(one: "App") -> "Outcome":
    """Read what is due, a month of each source at once. What was read is kept when it is interrupted: go on by typing it again."""
    from billing.metering.collector import Outcome

    names = [source.name for source in one.settings.metering.sources]
    done = Outcome()
    with _bar(sum(len(one.collector.due(name, MOST_DUE)) for name in names)) as advance:
        while True:
            outcome = one.collector.tick(limit=MONTH, progress=advance)
            done = done + outcome
            if outcome.failures or outcome.windows == 0:
                return done


@app.command()
def status(as_json: AsJson = False) -> None:
    """Each source: how far it was read, how well; the newest gaps; labels that mean no tenant, and what to do about them.
    Each meter of pushed events; events that nothing bills yet."""
    with application() as one:
        now = one.clock.now()
        found = one.meter_reporter.status(now) | one.event_reporter.status(now)
    if as_json:
        show_json(found)
        return
    columns = (
        "name",
        "type",
        "read_until",
        "lag",
        "windows",
        "incomplete",
        "coverage",
        "gpus",
        "unattributed",
        "failure",
    )
    show([_with_coverage(row) for row in found["sources"]], columns, as_json=False, empty="no sources yet")
    if found["gaps"]:
        typer.echo("\nnewest gaps")
        show(found["gaps"], ("source", "start", "end", "status", "reason"), as_json=False)
    if found["unknown_labels"]:
        typer.echo("\nlabels that mean no tenant")
        show(found["unknown_labels"], ("source", "label", "devices", "device_hours", "suggestion"), as_json=False)
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
    hours, minutes = divmod(max(row["lag_seconds"], 0) // 60, 60)
    return {
        **row,
        "coverage": f"{share // 100}.{share % 100:02d} %" if whole else "",
        "lag": f"{hours}:{minutes:02d} h",
        "incomplete": row["incomplete_windows"],
        "unattributed": row["unattributed_gpus"],
    }


@app.command()
def conservation(
    day: Annotated[str, typer.Option(help="A day (2026-10-31), or with --to the first of several")],
    end: Annotated[str, typer.Option("--to", help="End, exclusive; default: the day after")] = "",
    by: Annotated[str, typer.Option(help="By day, host or gpu, as stored; left out: worked out anew, in all")] = "",
    as_json: AsJson = False,
) -> None:
    """Where every GPU-second went. Exit code 1 when the categories do not add up."""
    from datetime import timedelta

    from billing.core.errors import Invalid
    from billing.core.period import Span, parse_time
    from billing.metering.store.days import By

    first = parse_time(day)
    wanted = Span(first, parse_time(end) if end else first + timedelta(days=1))
    if by:
        if by not in list(By):
            raise Invalid(f"--by is {by!r}", remedy=f"one of {', '.join(By)}")
        with application() as one:
            stored = one.meter_reporter.days(wanted, By(by))
        show(stored, tuple(stored[0]) if stored else (), as_json=as_json, empty="no day of these is stored yet")
        return
    with application() as one:
        found = one.meter_reporter.conserved(wanted)
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
