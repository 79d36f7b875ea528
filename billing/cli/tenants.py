"""`stablemeter tenant`: who is billed."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, cell, show, show_json
from billing.cli.options import AsJson, Reason

if TYPE_CHECKING:
    from billing.invoicing.standing import Prepaid
    from billing.tenants.tax import TaxRule
    from billing.tenants.tenant import GapRule

app = typer.Typer(help="Tenants: add, set, cycle, label, list, show.", no_args_is_help=True)

GapPolicyOption = Annotated[
    str,
    typer.Option(
        "--gap-policy", help="exclude, bridge (bill blind gaps up to the limit) or lease (bill leases in full)"
    ),
]
GapLimit = Annotated[int, typer.Option("--gap-limit-seconds", help="bridge: the longest gap that is billed")]


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
    address: Annotated[str, typer.Option(help="Postal address on invoices")] = "",
    tax_id: Annotated[str, typer.Option(help="Tax number on invoices")] = "",
    po: Annotated[str, typer.Option(help="Purchase order that its invoices name")] = "",
    gap_policy: GapPolicyOption = "exclude",
    gap_limit_seconds: GapLimit = 0,
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
        address=address,
        tax_id=tax_id,
        purchase_order=po,
    )
    with application() as one:
        gap = _gap(gap_policy, gap_limit_seconds)
        one.registrar.add(tenant, label or [], since=parse_time(since) if since else None, gap=gap, actor=actor())
        one.collector.apply_changes()  # what carried the label before is its usage from now on
    typer.echo(f"tenant {name} added")


@app.command("set")
def set_(
    name: str,
    gap_policy: Annotated[
        str,
        typer.Option(
            "--gap-policy", help="exclude, bridge (bill blind gaps up to the limit) or lease (bill leases in full)"
        ),
    ] = "",
    gap_limit_seconds: GapLimit = 0,
    tax_rate: Annotated[str, typer.Option(help="Share that is added: 0.10 is ten percent; needs --tax-name")] = "",
    tax_name: Annotated[str, typer.Option(help="What the tax is called on invoices: GST")] = "",
    tax_kind: Annotated[str, typer.Option(help="standard, exempt or reverse_charge (both need --tax-note)")] = "",
    tax_note: Annotated[str, typer.Option(help="Why there is no tax; printed on invoices")] = "",
    tax_id: Annotated[str | None, typer.Option(help="Tax number on invoices")] = None,
    address: Annotated[str | None, typer.Option(help="Postal address on invoices")] = None,
    po: Annotated[str | None, typer.Option(help="Purchase order that its invoices name; '' for none")] = None,
    since: Annotated[
        str,
        typer.Option("--from", help="Gaps, tax: from when on (RFC 3339); default: from where it was not invoiced yet"),
    ] = "",
    reason: Reason = "",
) -> None:
    """Change how a tenant's gaps are taken, how it is taxed, and what its invoices say of it. What was invoiced stays."""
    from billing.core.errors import Invalid
    from billing.core.period import parse_time, rfc3339
    from billing.tenants.registrar import Details, GapChange, TaxChange

    begin = parse_time(since) if since else None
    tax = _tax(tax_kind, tax_rate, tax_name, tax_note) if tax_kind or tax_rate or tax_name or tax_note else None
    details = Details(address, tax_id, po, reason) if (address, tax_id, po) != (None, None, None) else None
    if not gap_policy and tax is None and details is None:
        raise Invalid("nothing to set", remedy="--gap-policy, --tax-rate, --tax-id, --address or --po")
    if gap_limit_seconds and not gap_policy:
        raise Invalid("--gap-limit-seconds needs --gap-policy bridge")
    rule = _gap(gap_policy, gap_limit_seconds) if gap_policy else None
    with application() as one:
        if details is not None:
            one.registrar.set_details(name, details, actor=actor())
            typer.echo(f"tenant {name}: the next invoices say so")
        if tax is not None:
            begins = one.registrar.set_tax(name, TaxChange(tax, begin, reason), actor=actor())
            typer.echo(f"tenant {name}: tax {tax} for periods that end after {rfc3339(begins)}")
        if rule is not None:
            begins = one.registrar.set_gap(name, GapChange(rule, begin, reason), actor=actor())
            changed = one.collector.apply_changes()
            typer.echo(f"tenant {name}: gaps {rule} from {rfc3339(begins)} on; {changed} devices changed")


def _tax(kind: str, rate: str, name: str, note: str) -> "TaxRule":
    from decimal import Decimal

    from billing.core.errors import Invalid
    from billing.core.money import parse_rate
    from billing.tenants.tax import TaxKind, TaxRule

    if kind and kind not in list(TaxKind):
        raise Invalid(f"tax kind {kind!r} is not known", remedy=", ".join(TaxKind))
    if not rate and (kind or "standard") == TaxKind.STANDARD:
        raise Invalid("a tax needs its rate", remedy="--tax-rate 0.10 is ten percent; --tax-kind exempt has none")
    try:
        share = parse_rate(rate) if rate else Decimal(0)
    except Invalid:
        raise Invalid(f"{rate!r} is no tax rate", remedy="a share from 0 to 1: 0.10 is ten percent") from None
    return TaxRule(TaxKind(kind or "standard"), name, share, note)


@app.command()
def cycle(
    name: str,
    every: Annotated[str, typer.Option(help="month, week or day")] = "month",
    anchor: Annotated[int, typer.Option(help="Day of the month (1 to 28) or of the week (1 is Monday)")] = 1,
    timezone: Annotated[str, typer.Option(help="Where its midnights are, like Australia/Brisbane")] = "UTC",
    threshold: Annotated[str, typer.Option(help="Invoice within a period what costs so much; empty: never")] = "",
    reason: Reason = "",
) -> None:
    """Set how often a payer is invoiced. What was invoiced stays; the next period begins where that ended."""
    from billing.core.errors import Invalid
    from billing.core.money import parse_units
    from billing.pricing import store as pricing
    from billing.tenants.cycle import Cycle, Every

    if every not in list(Every):
        raise Invalid(f"{every!r} is no period", remedy="month, week or day")
    with application() as one:
        units = None
        if threshold:
            with one.database.transaction() as session:
                units = parse_units(threshold, pricing.currency(session)).units
        wanted = Cycle(Every(every), anchor, timezone, units)
        one.registrar.set_cycle(name, wanted, reason=reason, actor=actor())
    typer.echo(f"tenant {name} is invoiced {wanted}")


@app.command()
def label(
    name: str,
    label: Annotated[list[str], typer.Argument(help="Labels that mean this tenant, or source:label")],
    since: Annotated[str, typer.Option("--from", help="From when on (RFC 3339); default: always")] = "",
) -> None:
    """Let labels mean a tenant. What they held is billed from then on, as far as it was read."""
    from billing.core.period import parse_time

    with application() as one:
        one.registrar.label(name, label, since=parse_time(since) if since else None, actor=actor())
        changed = one.collector.apply_changes()
    typer.echo(f"tenant {name}: {', '.join(label)}; {changed} devices changed")


def _gap(policy: str, limit_seconds: int) -> "GapRule":
    from billing.core.errors import Invalid
    from billing.tenants.tenant import GapPolicy, GapRule

    if policy not in list(GapPolicy):
        raise Invalid(f"gap policy {policy!r} is not known", remedy=", ".join(GapPolicy))
    return GapRule(GapPolicy(policy), limit_seconds)


def _rows() -> list[dict[str, Any]]:
    from billing.tenants import store
    from billing.tenants.cycle import MONTHLY

    with application() as one, one.database.transaction() as session:
        now, cycles = one.clock.now(), store.cycles(session)
        return [
            {
                **asdict(tenant),
                "labels": store.labels_of(session, tenant.id),
                "gaps": str(store.gap_of(session, tenant.id, now)),
                "invoiced": str(cycles.get(tenant.id, MONTHLY)),
                "tax": str(store.tax_of(session, tenant.id, now) or "none"),
            }
            for tenant in store.listed(session)
        ]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All tenants."""
    columns = ("slug", "name", "attribution", "labels", "gaps", "tax", "reseller", "terms_days")
    show(_rows(), columns, as_json=as_json, empty="no tenants yet; add one with: stablemeter tenant add")


@app.command()
def standing(name: str, as_json: AsJson = False) -> None:
    """May a tenant go on: good, overdue, or suspended (dunning.suspend_after_days, or a prepaid tenant without credit). Exit
    code 1 when it is suspended."""
    from billing.core.money import decimal_text
    from billing.invoicing.judging import judged
    from billing.invoicing.standing import Standing
    from billing.tenants import store

    with application() as one, one.database.transaction() as session:
        payer_id, payer = store.payer_of(session, name)
        verdict = judged(session, payer_id, one.clock.now(), one.suspend_after)
    overdue = [
        {
            "invoice": debt.invoice,
            "due_at": debt.due_at,
            "remaining": decimal_text(debt.remaining, debt.exponent),
            "currency": debt.currency,
            "payment_on_its_way": debt.is_paying,
        }
        for debt in verdict.overdue
    ]
    found = {
        "tenant": name,
        "payer": payer,
        "standing": verdict.standing.value,
        "since": verdict.since,
        "suspends_at": verdict.suspends_at,
        "available": _available(verdict.prepaid),
    }
    if as_json:
        show_json({**found, "overdue": overdue})
    else:
        for key, value in found.items():
            typer.echo(f"{key}: {cell(value)}")
        columns = ("invoice", "due_at", "remaining", "currency", "payment_on_its_way")
        show(overdue, columns, as_json=False, empty="nothing is overdue")
    if verdict.standing is Standing.SUSPENDED:
        raise typer.Exit(1)


def _available(prepaid: "Prepaid | None") -> str | None:
    """What is left of a prepaid tenant's credit."""
    from billing.core.money import Money

    return None if prepaid is None else str(Money(prepaid.available, prepaid.currency))


@app.command("show")
def show_(name: str, as_json: AsJson = False) -> None:
    """One tenant, with its credit."""
    from billing.invoicing.store import credit
    from billing.tenants import store

    with application() as one, one.database.transaction() as session:
        tenant_id = store.by_slug(session, name).id
        held = credit.credits_of(session, tenant_id)
    found = {**next(row for row in _rows() if row["id"] == tenant_id), "credits": held}
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        typer.echo(f"{key}: {value}")
