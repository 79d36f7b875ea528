"""`stablemeter meter exclusions`: leased time that is not billed, or that a person has to decide about."""

from typing import Annotated

import typer

from billing.cli.context import actor, application, show
from billing.cli.options import AsJson, Reason

app = typer.Typer(help="Exclusions of leased time: list, accept, reject.", no_args_is_help=True)


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help="proposed, accepted, rejected or all")] = "proposed",
    as_json: AsJson = False,
) -> None:
    """Exclusions; those that wait for a decision unless told otherwise."""
    from billing.core.errors import Invalid
    from billing.metering.store import decisions

    if state not in ("proposed", "accepted", "rejected", "all"):
        raise Invalid(f"{state!r} is no state", remedy="proposed, accepted, rejected or all")
    with application() as one, one.database.transaction() as session:
        found = decisions.exclusions(session, state=None if state == "all" else state)
    rows = [{**row, "from": row["start"], "to": row["until"]} for row in found]
    columns = ("id", "state", "tenant", "lease", "host", "gpu", "from", "to", "seconds", "reason", "evidence")
    show(rows, columns, as_json=as_json, empty="none")


@app.command()
def accept(number: Annotated[int, typer.Argument(help="As listed")], reason: Reason) -> None:
    """The time is not billed."""
    _decide(number, reason, accept=True)


@app.command()
def reject(number: Annotated[int, typer.Argument(help="As listed")], reason: Reason) -> None:
    """The time is billed."""
    _decide(number, reason, accept=False)


def _decide(number: int, reason: str, *, accept: bool) -> None:
    with application() as one:
        done = one.excluder.decide(number, accept=accept, reason=reason, actor=actor())
        one.collector.apply_changes()
    word = "not billed" if accept else "billed"
    later = (
        f"; {', '.join(done.adjusts)} had charged it, the difference comes with the next invoice"
        if done.adjusts
        else ""
    )
    typer.echo(f"exclusion {done.id}: {done.uuid}, {done.span}: {word}{later}")
