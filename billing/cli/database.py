"""`stablemeter db`: bring the database up to date, and compare it with what this version expects."""

import typer

from billing.cli.context import application

app = typer.Typer(help="The database: upgrade and check.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Run the migrations that are missing. Safe to run twice, or in two places at once."""
    from billing.db import migrate

    with application(schema=False) as one:
        before = migrate.current(one.database)
        migrate.upgrade(one.database)
        after = migrate.current(one.database)
    typer.echo(f"schema {after}" + (" (nothing to do)" if before == after else f", from {before or 'empty'}"))


@app.command()
def check() -> None:
    """Compare tables, constraints, indexes and triggers with what this version expects. Exit code 1 on a difference."""
    from billing.db import catalog

    with application(schema=False) as one:
        one.require_current_schema()
        lines = catalog.differences(one.database)
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(1)
    typer.echo("the database is as this version expects")
