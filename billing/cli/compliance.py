"""`stablemeter compliance`: what is known of tenants, and the lists that senders are looked up in."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, show, show_json
from billing.cli.options import AsJson, Why

if TYPE_CHECKING:
    from datetime import date

app = typer.Typer(help="Compliance: tenant, lists.", no_args_is_help=True)
tenant = typer.Typer(help="What is known of a tenant: show, kyc, attest, revoke.", no_args_is_help=True)
app.add_typer(tenant, name="tenant")

Slug = Annotated[str, typer.Argument(help="The tenant; behind a reseller, the end customer")]
Kind = Annotated[str, typer.Option(help="What is attested, as the rules name it: end-use")]
Reference = Annotated[str, typer.Option(help="The paper that it is on")]


class Kyc(StrEnum):
    """As `billing.compliance.register.KycStatus`, which is not loaded for `--help`."""

    NONE = "none"
    PENDING = "pending"
    VERIFIED = "verified"
    REJECTED = "rejected"


@tenant.command("show")
def show_(slug: Slug, as_json: AsJson = False) -> None:
    """KYC and attestations, the older ones too, and which rules would refuse a lease that begins now."""
    from billing.compliance.register import UNKNOWN
    from billing.compliance.registrar import Gate
    from billing.compliance.store import known as store
    from billing.core.period import FOREVER, Span, rfc3339
    from billing.leasing.leaser import party
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        found = tenants.by_slug(session, slug)
        known = store.known(session, [found.id]).get(found.id, UNKNOWN)
        now = one.clock.now()
        models = {model for control in one.rules.controls for model in control.models}
        refused = Gate(one.rules, one.clock).reasons(session, party(session, found), models, Span(now, FOREVER))
    attestations = [
        {
            "kind": given.kind,
            "granted_on": given.granted_on.isoformat(),
            "expires_on": given.expires_on.isoformat(),
            "reference": given.reference,
            "valid": given.valid_at(now),
            "revoked_at": None if given.revoked_at is None else rfc3339(given.revoked_at),
            "revoked_reason": given.revoked_reason,
        }
        for given in known.attestations
    ]
    kyc = [
        {"status": one.status.value, "on": one.decided_on.isoformat(), "by": one.recorded_by, "reason": one.reason}
        for one in known.kyc
    ]
    if as_json:
        person = {"tenant": slug, "legal_name": found.legal_name, "country": found.country, "reseller": found.reseller}
        show_json(
            {**person, "kyc": known.status.value, "history": kyc, "attestations": attestations, "refused": refused}
        )
        return
    of = f", customer of {found.reseller}" if found.reseller else ""
    typer.echo(
        f"{slug}: {found.legal_name or 'no legal name'}, {found.country or 'no country'}{of}; KYC {known.status}"
    )
    show(kyc, ("status", "on", "by", "reason"), as_json=False, empty="nobody has decided about its KYC")
    columns = ("kind", "granted_on", "expires_on", "reference", "valid", "revoked_reason")
    show(attestations, columns, as_json=False, empty="no attestations")
    for reason in refused:
        typer.echo(f"a lease now would be refused by {reason}")


@tenant.command()
def kyc(
    slug: Slug,
    status: Annotated[Kyc, typer.Option(help="What was found out")],
    reason: Why,
    on: Annotated[str, typer.Option(help="The day on which it was decided; default: today")] = "",
) -> None:
    """Say what is known about who a tenant is. Earlier decisions are kept."""
    from billing.compliance.register import KycStatus

    with application() as one:
        found = _found(one, slug)
        day = _day("--on", on) if on else None
        one.register.decide_kyc(found, KycStatus(status.value), on=day, reason=reason, actor=actor())
    typer.echo(f"the KYC of {slug} is {status.value}")


@tenant.command()
def attest(
    slug: Slug,
    kind: Kind,
    granted: Annotated[str, typer.Option(help="The day from which on it counts: 2026-10-01")],
    expires: Annotated[str, typer.Option(help="The first day on which it does not count any more")],
    reference: Reference,
) -> None:
    """Record what somebody attested of a tenant."""
    from billing.compliance.register import Attestation

    given = Attestation(kind, _day("--granted", granted), _day("--expires", expires), reference)
    with application() as one:
        one.register.attest(_found(one, slug), given, actor=actor())
    typer.echo(f"{slug} has the attestation {kind} until {given.expires_on}")


@tenant.command()
def revoke(slug: Slug, kind: Kind, reference: Reference, reason: Why) -> None:
    """An attestation does not count any more, from now on. Leases that run on it are asked about."""
    with application() as one:
        one.register.revoke(_found(one, slug), kind, reference, reason=reason, actor=actor())
    typer.echo(f"the attestation {kind} of {slug} does not count any more")


@app.command()
def lists(as_json: AsJson = False) -> None:
    """The lists of sanctioned addresses, as they count now."""
    from billing.compliance import store

    with application() as one:
        one.screener.refresh()
        alarms = one.screener.alarms()
        with one.database.transaction() as session:
            known = {row["name"]: row for row in store.lists(session)}
    rows: list[dict[str, Any]] = [
        {
            "name": wanted.name,
            "path": str(wanted.path),
            "dated": known[wanted.name]["dated"] if wanted.name in known else None,
            "addresses": known[wanted.name]["addresses"] if wanted.name in known else None,
            "digest": known[wanted.name]["digest"] if wanted.name in known else None,
            "problem": alarms.get(wanted.name, ""),
        }
        for wanted in one.screener.policy.files
    ]
    columns = ("name", "dated", "addresses", "path", "problem")
    show(rows, columns, as_json=as_json, empty="no list is configured; add [[compliance.lists]]")


def _found(one: Any, slug: str) -> tuple[int, str]:
    from billing.tenants import store as tenants

    with one.database.transaction() as session:
        return tenants.by_slug(session, slug).id, slug


def _day(option: str, text: str) -> "date":
    from datetime import date

    from billing.core.errors import Invalid

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{option} {text!r} is no day", remedy="like 2026-10-01") from None
