"""`stablemeter payment`, `exception` and `reconcile`: what came in, and what waits for a person."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, cell, say, show, show_json
from billing.cli.options import AsJson, Reason

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.core.money import Asset
    from billing.reconciliation.applier import To
    from billing.reconciliation.suggestion import Suggestion

app = typer.Typer(help="Payments: list.", no_args_is_help=True)
exceptions = typer.Typer(help="What waits for a person: list, show, odd, resolve.", no_args_is_help=True)


@app.command("list")
def list_(
    invoice: Annotated[str, typer.Option(help="Only this invoice's")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Flushes and the treasury's own movements too")] = False,
    as_json: AsJson = False,
) -> None:
    """Transfers to payment addresses, and what was done with them."""
    from billing.invoicing import store as invoicing
    from billing.reconciliation import store

    with application() as one:
        with one.database.transaction() as session:
            ids = [invoicing.by_number(session, invoice).id] if invoice else None
            found = store.payments(session, invoice_ids=ids, incoming_only=not all_, limit=100_000)
        rows = [_row(one, row) for row in found]
    columns = (
        "id",
        "invoice",
        "deposit",
        "tenant",
        "amount",
        "token",
        "chain",
        "status",
        "confirmations",
        "kind",
        "disposition",
        "tx_hash",
    )
    show(rows, columns, as_json=as_json, empty="no payments seen")


def _row(one: "App", row: dict[str, Any]) -> dict[str, Any]:
    from billing.core.money import decimal_text
    from billing.core.onchain import Address, checksum

    token = next((t for t in one.tokens if (t.chain_id, t.address) == (row["chain_id"], row["token_address"])), None)
    chain = next((c.name for c in one.chains if c.chain_id == row["chain_id"]), str(row["chain_id"]))
    shown = {name: checksum(Address(row[name])) for name in ("token_address", "from_address", "to_address")}
    units = row.pop("units")
    return {
        **row,
        **shown,
        "amount_units": str(units),
        "amount": decimal_text(units, token.decimals) if token else None,
        "token": token.symbol if token else row["token_address"],
        "chain": chain,
    }


@exceptions.command("list")
def list_exceptions(
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too")] = False, as_json: AsJson = False
) -> None:
    """What waits for a person."""
    from billing.reconciliation import store
    from billing.reconciliation.suggester import suggested

    with application() as one, one.database.transaction() as session:
        rows = store.exceptions(session, status=None if everything else "open")
        currency, found = suggested(session, [row["id"] for row in rows])
    for row in rows:
        row["suggestions"] = [_suggestion(one, currency) for one in found.get(row["id"], ()) if currency]
        if row["suggestions"] and row["suggestions"][0]["action"] != "acknowledge":
            row["suggestion"] = row["suggestions"][0]["words"]
    columns = ("id", "kind", "tenant", "invoice", "detail", "suggestion", "status", "created_at")
    show(rows, columns, as_json=as_json, empty="nothing waits for a person")


@exceptions.command("show")
def show_exception(
    number: Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The exception's id")], as_json: AsJson = False
) -> None:
    """One exception, and what may be done about it, the likeliest first."""
    from billing.core.errors import NotFound
    from billing.reconciliation import store
    from billing.reconciliation.suggester import suggested

    with application() as one, one.database.transaction() as session:
        found = store.exceptions(session, status=None, only=number)
        if not found:
            raise NotFound(f"there is no exception {number}", remedy="see: stablemeter exception list --all")
        currency, suggestions = suggested(session, [number])
    row = found[0]
    row["suggestions"] = [_suggestion(one, currency) for one in suggestions.get(number, ()) if currency]
    if as_json:
        show_json(row)
        return
    for key, value in row.items():
        if key != "suggestions" and value not in (None, ""):
            typer.echo(f"{key}: {cell(value)}")
    for place, suggestion in enumerate(row["suggestions"], 1):
        typer.echo(f"{place}. {suggestion['words']}")


@exceptions.command()
def odd(as_json: AsJson = False) -> None:
    """What asks nobody and is odd all the same: overdue invoices that were paid in part, and credit that nothing has used."""
    from billing.core.money import decimal_text
    from billing.pricing import store as pricing
    from billing.reconciliation.store.facts import oddities
    from billing.reconciliation.suggestion import suggest

    with application() as one, one.database.transaction() as session:
        currency = pricing.currency(session)
        found = oddities(session, currency, one.clock.now())
    rows = []
    for odd in found:
        suggestions = [_suggestion(suggestion, currency) for suggestion in suggest(odd.facts)]
        row = {"kind": odd.facts.kind, "tenant": odd.tenant, "invoice": odd.invoice or None, "since": odd.since}
        row |= {"amount": decimal_text(odd.amount, currency.exponent), "currency": currency.code}
        rows.append({**row, "suggestion": suggestions[0]["words"], "suggestions": suggestions})
    columns = ("kind", "tenant", "invoice", "amount", "currency", "since", "suggestion")
    show(rows, columns, as_json=as_json, empty="nothing is odd")


def _suggestion(one: "Suggestion", currency: "Asset") -> dict[str, Any]:
    from billing.core.money import decimal_text

    return {
        "action": one.action.value,
        "to": [{"invoice": number, "amount": decimal_text(units, currency.exponent)} for number, units in one.to],
        "together": list(one.together),
        "tenant": one.tenant or None,
        "rest": decimal_text(one.rest, currency.exponent),
        "currency": currency.code,
        "reason": one.reason,
        "words": one.words(currency),
    }


@exceptions.command()
def resolve(
    numbers: Annotated[
        list[int], typer.Argument(min=1, max=2**63 - 1, help="The exception's id; several with --as apply")
    ],
    how: Annotated[str, typer.Option("--as", help="apply, credit, refund, release or acknowledge")],
    reason: Reason,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", help="With apply: an invoice, or how much of the money it shall have: INV-000007=100.00; repeat"
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose money it is, when that is not known, or another one's")] = "",
    rate: Annotated[str, typer.Option(help="What one token is worth, when no feed could say: 0.998")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide. What is booked is told; nothing is ever sent from here."""
    from billing.core.errors import Invalid
    from billing.core.money import parse_rate
    from billing.reconciliation.resolver import Credited, Resolution

    if how not in list(Resolution):
        raise Invalid(f"--as {how!r} is no resolution", remedy=", ".join(Resolution))
    if rate and how not in (Resolution.CREDIT, Resolution.APPLY):
        raise Invalid("--rate is for money that is credited or applied", remedy="--as credit")
    if how != Resolution.APPLY and (to or len(numbers) > 1):
        raise Invalid(f"--as {how} is for one exception, without --to", remedy="--as apply pays invoices")
    credited = Credited(tenant, parse_rate(rate) if rate else None)
    with application() as one:
        if how == Resolution.APPLY:
            done = one.applier.apply(
                numbers, [_to(text) for text in to or []], reason=reason, actor=actor(), credited=credited
            )
        else:
            done = one.resolver.resolve(numbers[0], Resolution(how), reason=reason, actor=actor(), credited=credited)
    what = "exception" if len(numbers) == 1 else "exceptions"
    say(
        f"{what} {', '.join(map(str, numbers))} resolved: {done}",
        as_json,
        exceptions=numbers,
        resolution=how,
        done=done,
    )


def _to(text: str) -> "To":
    """`INV-000007` or `INV-000007=100.00`."""
    from billing.core.errors import Invalid
    from billing.reconciliation.applier import To

    number, given, amount = text.partition("=")
    if not number or (given and not amount):
        raise Invalid(f"--to {text!r} names no invoice and amount", remedy="--to INV-000007=100.00")
    return To(number, amount)


def reconcile(as_json: AsJson = False) -> None:
    """Match what came in with invoices, book it, and take back what left the chain."""
    with application() as one:
        done = one.reconciler.tick()
    say(
        f"{done.booked} booked, {done.reversed} taken back, {done.invoices_paid} invoices paid, "
        f"{done.invoices_reopened} reopened, {done.exceptions} wait for a person, {done.waiting} for an answer",
        as_json,
        booked=done.booked,
        reversed=done.reversed,
        paid=done.invoices_paid,
        reopened=done.invoices_reopened,
        exceptions=done.exceptions,
        waiting=done.waiting,
    )


def add_to(app: typer.Typer) -> None:
    app.command()(reconcile)
