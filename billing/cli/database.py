"""`stablemeter db`: bring the database up to date, and compare it with what this version expects."""

import typer

from billing.cli.context import application, say
from billing.cli.options import AsJson

app = typer.Typer(help="The database: upgrade and check.", no_args_is_help=True)


@app.command()
def upgrade(as_json: AsJson = False) -> None:
    """Run the migrations that are missing. Safe to run twice, or in two places at once."""
    from billing.db import migrate

    with application(schema=False) as one:
        before = migrate.current(one.database)
        migrate.upgrade(one.database)
        after = migrate.current(one.database)
    told = f"schema {after}" + (" (nothing to do)" if before == after else f", from {before or 'empty'}")
    say(told, as_json, before=before, schema=after)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Compare tables, constraints, indexes and triggers with what this version expects. Exit code 1 on a difference."""
    from billing.db import catalog

    with application(schema=False) as one:
        one.require_current_schema()
        lines = catalog.differences(one.database)
    say("\n".join(lines) or "the database is as this version expects", as_json, differences=lines)
    if lines:
        raise typer.Exit(1)
