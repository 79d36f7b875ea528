"""`stablemeter tenant deposit-address`, `credit`, `runway`, `prepaid`: tenants that pay before they use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, cell, say, show, show_json
from billing.cli.options import AsJson, Reason, Why, write_file

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.invoicing.depositor import Shown

credits_ = typer.Typer(help="Credit that tenants hold: grant, list.", no_args_is_help=True)


def deposit_address(
    name: Annotated[str, typer.Argument(help="The tenant")],
    document: Annotated[Path | None, typer.Option(help="Write the document's exact bytes to this file")] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Make a new one with today's terms; the old one still counts")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """A tenant's permanent address: what comes to it is credit that its invoices use. Made once, shown afterwards."""
    from billing.cli.invoices import accept_chains
    from billing.invoicing.depositor import Wanted

    wanted = Wanted(name, renew, reason)
    with application() as one:
        accept_chains(one)
        shown = one.depositor.give(wanted, actor=actor())
        found = _shown(one, shown)
    if document is not None:
        write_file(document, [shown.deposit.content])
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        if key != "settlement":
            typer.echo(f"{key}: {cell(value)}")
    show(found["settlement"], ("chain", "token", "token_address", "rule"), as_json=False)
    if shown.outdated:
        typer.echo(f"note: {' and '.join(shown.outdated)} changed since; --renew makes an address with today's terms")


def _shown(one: "App", shown: "Shown") -> dict[str, Any]:
    from billing.core.onchain import Address, checksum

    deposit = shown.deposit
    names = {chain.chain_id: chain.name for chain in one.chains}
    return {
        "tenant": deposit.tenant,
        "number": deposit.number,
        "currency": deposit.currency.code,
        "address": checksum(deposit.address),
        "digest": deposit.digest,
        "issued_at": deposit.issued_at,
        "replaces": deposit.replaces,
        "made": shown.made,
        "outdated": shown.outdated,
        "settlement": [
            {
                "chain": names.get(terms.chain_id, f"chain {terms.chain_id}"),
                "chain_id": terms.chain_id,
                "token": terms.token,
                "token_address": checksum(Address(terms.token_address)),
                "rule": terms.rule.kind,
            }
            for terms in deposit.document.settlement
        ],
    }


@credits_.command()
def grant(
    name: Annotated[str, typer.Argument(help="The tenant")],
    amount: Annotated[str, typer.Argument(help="In the currency of the prices, like 100.00")],
    reason: Why,
    reference: Annotated[str, typer.Option(help="Its name on invoices; default: one is made up")] = "",
    as_json: AsJson = False,
) -> None:
    """Give a tenant promotional credit. Invoices use it before money that was paid."""
    from billing.invoicing.granter import Gift

    with application() as one:
        given = one.granter.grant(Gift(name, amount, reason, reference), actor=actor())
    told = f"{name} was given {given.amount}: {given.reference}"
    say(told, as_json, tenant=name, amount=str(given.amount), reference=given.reference)


@credits_.command("list")
def list_(name: Annotated[str, typer.Argument(help="The tenant")], as_json: AsJson = False) -> None:
    """All credit that a tenant was ever given, and what is left of it. What is not final waits for its chain."""
    from billing.core.money import decimal_text
    from billing.invoicing.store import credit
    from billing.pricing import store as pricing
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        found = credit.credits_of(session, tenants.by_slug(session, name).id)
        exponent = pricing.currency(session).exponent if found else 0
    rows = [
        {**row, "amount": decimal_text(row.pop("units"), exponent), "left": decimal_text(row["left"], exponent)}
        for row in found
    ]
    columns = ("kind", "reference", "currency", "amount", "left", "final", "reversed", "created_at")
    show(rows, columns, as_json=as_json, empty=f"{name} holds no credit")


def runway(
    name: Annotated[str, typer.Argument(help="The tenant")],
    days: Annotated[int, typer.Option(help="Take the rate over so many days")] = 7,
    as_json: AsJson = False,
) -> None:
    """How long a tenant's credit lasts: what it holds, what it used and was not invoiced for, and its rate."""
    from billing.core.money import decimal_text
    from billing.invoicing.store import prepaid
    from billing.tenants import store as tenants

    with application() as one:
        found = one.forecaster.forecast(name, days)
        with one.database.transaction() as session:
            terms = prepaid.terms_of(session, tenants.by_slug(session, name).id)

    def money(units: int) -> str:
        return decimal_text(units, found.currency.exponent)

    told: dict[str, Any] = {
        "tenant": name,
        "currency": found.currency.code,
        "held": money(found.held),
        "pending": money(found.pending),
        "accrued": money(found.accrued),
        "available": money(found.available),
        "per_day": money(found.per_day),
        "days_left": found.days_left,
        "runs_out_at": found.runs_out_at,
        "prepaid": terms is not None,
        "low_balance": None if terms is None or terms.low_units is None else money(terms.low_units),
        "low_days": None if terms is None else terms.low_days,
        "suspend_at_zero": terms is not None and terms.suspend_at_zero,
    }
    if as_json:
        show_json(told)
        return
    for key, value in told.items():
        typer.echo(f"{key}: {cell(value)}")
    if terms is None:
        typer.echo(f"note: {name} pays after it used, so this suspends nobody; stablemeter tenant prepaid changes that")


def prepaid_(
    name: Annotated[str, typer.Argument(help="The tenant")],
    reason: Why,
    low: Annotated[str, typer.Option(help="Tell when less than this is left, like 100.00")] = "",
    low_days: Annotated[int | None, typer.Option(help="Tell when it lasts for fewer days")] = None,
    suspend_at_zero: Annotated[
        bool, typer.Option("--suspend-at-zero", help="Its standing is suspended while nothing is left")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="It pays after it used, as everybody")] = False,
) -> None:
    """Let a tenant pay before it uses. All terms are set anew: what is left out holds no more."""
    from billing.core.errors import Invalid
    from billing.core.money import parse_units
    from billing.invoicing.runway import Terms
    from billing.pricing import store as pricing

    if off and (low or low_days is not None or suspend_at_zero):
        raise Invalid("--off takes no terms beside it")
    with application() as one:
        terms = None
        if not off:
            with one.database.transaction() as session:
                units = parse_units(low, pricing.currency(session)).units if low else None
            terms = Terms(units, low_days, suspend_at_zero)
        one.prepayer.agree(name, terms, reason=reason, actor=actor())
    typer.echo(f"{name} pays {'after' if off else 'before'} it uses")


def add_to(tenant: typer.Typer) -> None:
    tenant.command("deposit-address")(deposit_address)
    tenant.command("runway")(runway)
    tenant.command("prepaid")(prepaid_)
    tenant.add_typer(credits_, name="credit")
