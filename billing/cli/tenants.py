"""`stablemeter tenant`: who is billed."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from billing.cli.context import actor, application, show, show_json
from billing.cli.options import AsJson

app = typer.Typer(help="Tenants: add, list, show.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Short name: a-z, 0-9 and -")],
    title: Annotated[str, typer.Option("--title", help="Name for people; default: the short name")] = "",
    attribution: Annotated[str, typer.Option(help="lease or observed")] = "observed",
    label: Annotated[
        list[str] | None, typer.Option(help="Label that means this tenant, or source:label; repeat")
    ] = None,
    since: Annotated[str, typer.Option(help="From when on the labels count (RFC 3339); default: always")] = "",
    reseller: Annotated[str, typer.Option(help="Tenant that pays in its place")] = "",
    legal_name: Annotated[str, typer.Option(help="Name on invoices")] = "",
    country: Annotated[str, typer.Option(help="Two letters")] = "",
    email: Annotated[str, typer.Option(help="Where notices go")] = "",
    terms_days: Annotated[int, typer.Option(help="Days until an invoice is due")] = 14,
) -> None:
    """Add a tenant."""
    from billing.core.errors import Invalid
    from billing.core.period import parse_time
    from billing.tenants.tenant import Attribution, Tenant

    if attribution not in list(Attribution):
        raise Invalid(f"attribution {attribution!r} is neither lease nor observed")
    tenant = Tenant(
        slug=name,
        name=title or name,
        attribution=Attribution(attribution),
        legal_name=legal_name,
        country=country,
        email=email,
        reseller=reseller,
        terms_days=terms_days,
    )
    with application() as one:
        one.registrar.add(tenant, label or [], since=parse_time(since) if since else None, actor=actor())
        one.collector.apply_changes()  # what carried the label before is its usage from now on
    typer.echo(f"tenant {name} added")


def _rows() -> list[dict[str, Any]]:
    from billing.tenants import store

    with application() as one, one.database.transaction() as session:
        return [{**asdict(tenant), "labels": store.labels_of(session, tenant.id)} for tenant in store.listed(session)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All tenants."""
    columns = ("slug", "name", "attribution", "labels", "reseller", "terms_days")
    show(_rows(), columns, as_json=as_json, empty="no tenants yet; add one with: stablemeter tenant add")


@app.command("show")
def show_(name: str, as_json: AsJson = False) -> None:
    """One tenant, with its credit."""
    from billing.core.errors import NotFound
    from billing.invoicing.store import credit

    found = next((row for row in _rows() if row["slug"] == name), None)
    if found is None:
        raise NotFound(f"there is no tenant {name}", remedy="see: stablemeter tenant list")
    with application() as one, one.database.transaction() as session:
        found["credits"] = credit.credits_of(session, found["id"])
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        typer.echo(f"{key}: {value}")
