"""`stablemeter ledger` and `audit`: the books, and whether everything adds up."""

from typing import Annotated

import typer

from billing.cli.context import actor, application, show, show_json
from billing.cli.options import AsJson

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


def audit(
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what needs the chains")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every invariant. Exit code 1 when one does not hold, or could not be checked."""
    with application() as one:
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
