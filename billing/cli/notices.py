"""`stablemeter notice`: what others were told, and whether they heard it."""

from enum import StrEnum
from typing import Annotated

import typer

from billing.cli.context import actor, application, say, show
from billing.cli.options import AsJson

app = typer.Typer(help="Notices to webhooks: list, deliver, replay.", no_args_is_help=True)


class State(StrEnum):
    """As `billing.notices.notice.DeliveryState`, which is not loaded for `--help`."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option(help="Only those that are so with a receiver")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many rows")] = 100,
    as_json: AsJson = False,
) -> None:
    """What was told, to whom, and what they answered. A notice that nobody receives is kept too."""
    from billing.notices import store

    with application() as one, one.database.transaction() as session:
        rows = store.listed(session, state=None if state is None else state.value, limit=limit)
    columns = (
        "id",
        "type",
        "subject",
        "tenant",
        "receiver",
        "state",
        "attempts",
        "answer",
        "next_attempt_at",
        "created_at",
    )
    show(rows, columns, as_json=as_json, empty="nothing was told yet")


@app.command()
def deliver(as_json: AsJson = False) -> None:
    """Send what is due now, as the daemon does. Exit code 1 when a receiver did not take something."""
    with application() as one:
        done = one.deliverer.tick()
    told = f"{done.delivered} delivered, {done.failed} to be tried again, {done.dead} dead"
    say(told, as_json, delivered=done.delivered, failed=done.failed, dead=done.dead)
    if done.failed or done.dead:
        raise typer.Exit(1)


@app.command()
def replay(
    number: Annotated[
        int | None, typer.Argument(min=1, max=2**63 - 1, help="The notice's id; leave out with --dead")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Everything that is dead")] = False,
    as_json: AsJson = False,
) -> None:
    """Send again: one notice to everyone who gets it, or all that is dead. Receivers know it by its id."""
    from billing.core.errors import Invalid

    if (number is None) != dead:
        raise Invalid("name a notice, or --dead", remedy="see: stablemeter notice list")
    with application() as one:
        count = one.deliverer.replay(number, actor=actor())
    say(f"{count} deliveries are due again", as_json, deliveries=count)
