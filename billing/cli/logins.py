"""`stablemeter login`: who may open the pages."""

from typing import Annotated

import typer

from billing.cli.context import actor, application, say, show
from billing.cli.options import AsJson, Why

app = typer.Typer(help="Sign-in to the pages: make links, list and end sessions.", no_args_is_help=True)


@app.command()
def link(
    name: Annotated[str, typer.Option("--name", help="Who signs in, for the audit trail")],
    role: Annotated[str, typer.Option("--role", help="operator, finance, auditor, tenant or owner")],
    tenant: Annotated[str, typer.Option("--tenant", help="For role tenant: which one")] = "",
    owner: Annotated[str, typer.Option("--owner", help="For role owner: which one")] = "",
    minutes: Annotated[int, typer.Option("--minutes", help="How long it works, at most 1440")] = 60,
    as_json: AsJson = False,
) -> None:
    """Make a link that signs somebody in, once. It is shown once, and only its digest is kept: hand it over safely."""
    from billing.access.login import Holder
    from billing.core.errors import Invalid
    from billing.tenants.keys import KeyRole

    if role not in list(KeyRole):
        raise Invalid(f"--role {role!r} is no role", remedy="operator, finance, auditor, tenant, owner")
    holder = Holder(name, KeyRole(role), tenant, owner)
    with application() as one:
        found = one.doorkeeper.issue(holder, minutes=minutes, actor=actor())
    say(found, as_json, name=name, role=role, tenant=tenant or None, owner=owner or None, link=found)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Links that wait, and sessions: the newest first."""
    from billing.access import store

    with application() as one, one.database.transaction() as session:
        rows = store.listed(session, one.clock.now())
    columns = (
        "id",
        "kind",
        "state",
        "name",
        "role",
        "tenant",
        "owner",
        "issued_by",
        "created_at",
        "seen_at",
        "expires_at",
    )
    show(rows, columns, as_json=as_json, empty="nobody is signed in, and no link waits")


@app.command()
def revoke(
    login: Annotated[str, typer.Argument(help="The id of a link or session, as `login list` tells it")], reason: Why
) -> None:
    """End a session at once, or stop a link and what it opened."""
    with application() as one:
        one.doorkeeper.revoke(login, reason=reason, actor=actor())
    typer.echo(f"login {login} revoked")
