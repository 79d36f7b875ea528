"""`stablemeter export`: files for finance."""

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from billing.cli.context import application
from billing.cli.options import Period, write_file

app = typer.Typer(
    help="Files for finance: reconciliation, journal, aging, statement, usage, compliance.", no_args_is_help=True
)

FileFormat = Annotated[str, typer.Option("--format", help="csv, json or xlsx")]
Output = Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output")]


@app.callback()
def exports() -> None:
    """Files for finance."""


@app.command()
def reconciliation(period: Period, file_format: FileFormat = "csv", output: Output = None) -> None:
    """One row for each invoice and payment of a month. Of a closed month: the file that was made at the close."""
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = Format(_known(file_format))
    with application() as one:
        month = parse_month(period)
        kept = one.closer.kept(month, f"reconciliation.{wanted}")
        _write(one.reporter.reconciliation(month, wanted) if kept is None else kept, output)


@app.command()
def journal(
    period: Period,
    file_format: Annotated[str, typer.Option("--format", help="csv, json, xlsx or beancount")] = "csv",
    output: Output = None,
) -> None:
    """Every posting that was booked in a month. As beancount, after the balances that were brought forward.
    Of a closed month: the file that was made at the close."""
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = _known(file_format, "beancount")
    with application() as one:
        month = parse_month(period)
        kept = one.closer.kept(month, f"journal.{wanted}")
        made = one.reporter.beancount(month) if wanted == "beancount" else one.reporter.journal(month, Format(wanted))
        _write(made if kept is None else kept, output)


@app.command()
def aging(
    on: Annotated[
        datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="As booked until the end of this day; default: today"),
    ] = None,
    period: Annotated[
        str, typer.Option("--period", help="Of a closed month: the file that was made at the close")
    ] = "",
    file_format: FileFormat = "csv",
    output: Output = None,
) -> None:
    """What is owed, by how long it is overdue."""
    from billing.core.errors import Invalid
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = Format(_known(file_format))
    if period and on is not None:
        raise Invalid("--on and --period say two things", remedy="leave one of them out")
    with application() as one:
        kept = one.closer.kept(parse_month(period), f"aging.{wanted}") if period else None
        if period and kept is None:
            raise Invalid(f"the books of {period} are not closed", remedy="--on, for a day of an open month")
        _write(one.reporter.aging((on or one.clock.now()).date(), wanted) if kept is None else kept, output)


@app.command()
def statement(
    tenant: Annotated[str, typer.Argument(help="The tenant")],
    period: Period,
    file_format: FileFormat = "csv",
    output: Output = None,
) -> None:
    """What a tenant was charged, paid and was credited in a month, with what it owes after each line."""
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = Format(_known(file_format))
    with application() as one:
        _write(one.reporter.statement(tenant, parse_month(period), wanted), output)


@app.command()
def usage(period: Period, file_format: FileFormat = "csv", output: Output = None) -> None:
    """Every device's billable time in a month, at every price, with what was charged for it and what was left out and why.
    Of a closed month: the file that was made at the close."""
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = Format(_known(file_format))
    with application() as one:
        month = parse_month(period)
        kept = one.closer.kept(month, f"usage.{wanted}")
        _write(one.reporter.usage(month, wanted) if kept is None else kept, output)


@app.command()
def compliance(period: Period, file_format: FileFormat = "csv", output: Output = None) -> None:
    """Who used which controlled GPU when, and whether a rule forbade it, by what was known then ([[compliance.controls]])."""
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted = Format(_known(file_format))
    with application() as one:
        _write(one.reporter.compliance(one.rules, parse_month(period), one.clock.now(), wanted), output)


def _known(file_format: str, *more: str) -> str:
    from billing.core.errors import Invalid
    from billing.reports.reporter import Format

    known = [*Format, *more]
    if file_format not in known:
        raise Invalid(f"--format {file_format!r} is not known", remedy=", ".join(known))
    return file_format


def _write(content: Iterator[bytes], output: Path | None) -> None:
    if output is None:
        for chunk in content:
            sys.stdout.buffer.write(chunk)
        return
    write_file(output, content)
    typer.echo(f"written to {output}")
