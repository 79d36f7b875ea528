"""`stablemeter apikey`: keys for the HTTP API."""

from typing import Annotated

import typer

from billing.cli.context import actor, application, say, show
from billing.cli.options import AsJson

app = typer.Typer(help="Keys for the HTTP API: create, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for")],
    role: Annotated[
        str, typer.Option(help="operator, finance, auditor, tenant, owner, or gateway (pushes events, nothing else)")
    ],
    tenant: Annotated[str, typer.Option(help="For role tenant: which one")] = "",
    owner: Annotated[str, typer.Option(help="For role owner: which one")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once, and only its digest is kept."""
    from billing.core.errors import Invalid
    from billing.tenants.keys import KeyRole

    if role not in list(KeyRole):
        raise Invalid(f"--role {role!r} is no role", remedy=", ".join(KeyRole))
    with application() as one:
        key = one.registrar.create_key(name=name, role=KeyRole(role), tenant=tenant, owner=owner, actor=actor())
    say(key, as_json, name=name, role=role, tenant=tenant or None, owner=owner or None, key=key)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All keys, never in plain."""
    from billing.tenants import store

    with application() as one, one.database.transaction() as session:
        rows = [{name: value for name, value in row.items() if name != "id"} for row in store.keys(session)]
    columns = ("prefix", "name", "role", "tenant", "owner", "created_at", "last_used_at", "revoked_at")
    show(rows, columns, as_json=as_json, empty="no keys yet")


@app.command()
def revoke(prefix: Annotated[str, typer.Argument(help="The eight characters after smk_")]) -> None:
    """Stop a key from working, at once."""
    with application() as one:
        one.registrar.revoke_key(prefix, actor=actor())
    typer.echo(f"key {prefix} revoked")
