"""`stablemeter export`: files for finance."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from billing.cli.context import application
from billing.cli.options import Period, write_file

app = typer.Typer(help="Files for finance: reconciliation.", no_args_is_help=True)


@app.callback()
def exports() -> None:
    """Files for finance."""


@app.command()
def reconciliation(
    period: Period,
    file_format: Annotated[str, typer.Option("--format", help="csv or json")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output")] = None,
) -> None:
    """One row for each invoice and payment of a month."""
    from billing.core.errors import Invalid
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    if file_format not in list(Format):
        raise Invalid(f"--format {file_format!r} is not known", remedy=", ".join(Format))
    with application() as one:
        content = one.reporter.reconciliation(parse_month(period), Format(file_format))
    if output is None:
        sys.stdout.buffer.write(content)
        return
    write_file(output, content)
    typer.echo(f"written to {output}")
