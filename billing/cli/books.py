"""`stablemeter ledger`, `books` and `audit`: the books, and whether everything adds up."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, busy, show, show_json
from billing.cli.options import AsJson, Period

if TYPE_CHECKING:
    from billing.closing.closed import Closed

ledger = typer.Typer(help="The ledger: trial-balance.", no_args_is_help=True)


@ledger.command("trial-balance")
def trial_balance(as_json: AsJson = False) -> None:
    """Every account and asset with its balance; per asset they sum to zero."""
    from billing.core.money import decimal_text
    from billing.ledger import store

    with application() as one:
        exponents = {token.asset.code: token.decimals for token in one.tokens}
        with one.database.transaction() as session:
            balances = store.trial_balance(session)
    rows = []
    for line in balances:
        exponent = exponents.get(line.asset, 2)
        rows.append(
            {
                "account": line.account,
                "asset": line.asset,
                "debits": decimal_text(line.debits, exponent),
                "credits": decimal_text(line.credits, exponent),
                "balance": decimal_text(line.units, exponent),
                "balance_units": str(line.units),
            }
        )
    show(rows, ("account", "asset", "debits", "credits", "balance"), as_json=as_json, empty="nothing was booked yet")


books = typer.Typer(help="Months: close, list.", no_args_is_help=True)


@books.command("close")
def close(
    period: Period,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what keeps the month open, and close nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Close the books of a month: nothing is booked into it any more, and its files never change. Exit code 1 when something may
    still change in it."""
    from billing.core.period import parse_month

    with application() as one:
        month = parse_month(period)
        if dry_run:
            with busy(f"looking at {period}"):
                blockers = one.closer.blockers(month)
            rows = [{"keeps_open": line} for line in blockers]
            show(rows, ("keeps_open",), as_json=as_json, empty=f"{period} can be closed")
            if blockers:
                raise typer.Exit(1)
            return
        with busy(f"closing {period}"):
            found = one.closer.close(month, actor=actor())
    if as_json:
        show_json(_told(found))
        return
    typer.echo(f"the books of {period} are closed; {len(found.carried)} open questions are carried on")
    if found.usage is not None:
        typer.echo(f"usage is frozen: {found.usage.charges} charges, digest {found.usage.digest}")
    files = [{"file": kept.name, "bytes": kept.size, "sha256": kept.sha256} for kept in found.files]
    show(files, ("file", "bytes", "sha256"), as_json=False)


@books.command("list")
def list_(as_json: AsJson = False) -> None:
    """The closed months, with the SHA-256 of their files as JSON."""
    with application() as one:
        found = one.closer.listed()
    rows = [_told(closed) for closed in found]
    if as_json:
        show_json(rows)
        return
    shown = [{**row, "files": len(row["files"]), "carried": len(row["carried"])} for row in rows]
    columns = ("period", "closed_at", "closed_by", "carried", "files", "charges", "usage_digest")
    show(shown, columns, as_json=False, empty="no month is closed")


def _told(closed: "Closed") -> dict[str, Any]:
    return {
        "period": closed.period,
        "closed_at": closed.closed_at,
        "closed_by": closed.closed_by,
        "carried": [dict(zip(("kind", "subject", "detail"), one, strict=True)) for one in closed.carried],
        "charges": None if closed.usage is None else closed.usage.charges,
        "usage_digest": None if closed.usage is None else closed.usage.digest,
        "files": [{"name": one.name, "sha256": one.sha256, "bytes": one.size} for one in closed.files],
    }


def audit(
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what needs the chains")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every invariant. Exit code 1 when one does not hold, or could not be checked."""
    with application() as one, busy("checking every invariant"):
        result = one.auditor.run(chains=not offline, actor=actor())
    if as_json:
        show_json(
            {
                "checked": result.checked,
                "skipped": result.skipped,
                "findings": [{"check": f.check, "subject": f.subject, "detail": f.detail} for f in result.findings],
            }
        )
    else:
        for name in result.checked:
            wrong = sum(finding.check == name for finding in result.findings)
            typer.echo(f"{'WRONG' if wrong else 'ok   '}  {name}")
        for line in result.skipped:
            typer.echo(f"not checked: {line}")
        for finding in result.findings:
            typer.echo(f"finding: {finding}")
    if result.findings or result.skipped:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    app.command()(audit)
