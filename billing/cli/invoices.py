"""`stablemeter invoice`: preview, issue, show, list, void, write-off, credit, notes, pdf."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, busy, say, show, show_json
from billing.cli.options import AnyPeriod, AsJson, Reason, write_file

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.invoicing.draft import Draft, DraftLine
    from billing.invoicing.drafter import Drafted
    from billing.invoicing.invoice import Invoice
    from billing.invoicing.store.notes import CreditNote
    from billing.pricing.rating import Metered

app = typer.Typer(
    help="Invoices: preview, run, issue, show, list, void, write-off, credit, notes, pdf.", no_args_is_help=True
)

Tenant = Annotated[str, typer.Option("--tenant", help="Only this payer")]


@app.command()
def preview(period: AnyPeriod, tenant: Tenant = "", as_json: AsJson = False) -> None:
    """What would be invoiced for a period as things are now. Writes nothing."""
    from billing.core.money import decimal_text
    from billing.core.period import parse_period
    from billing.invoicing.draft import coverage_text
    from billing.pricing.rating import LineKind

    with application() as one, busy(f"rating {period}"):
        drafted = one.drafter.preview(parse_period(period), tenant)
    rows = [
        {
            "payer": draft.payer.slug,
            "tenant": line.consumer.slug,
            "description": line.description,
            "seconds": line.rated.seconds if line.rated.is_time else None,
            "quantity": _quantity(line.rated.metered),
            "unit_price": format(line.rated.key.unit_price, "f") if line.rated.kind is LineKind.USAGE else None,
            "amount": decimal_text(line.rated.amount, draft.currency.exponent),
            "currency": draft.currency.code,
            "coverage": coverage_text(line.evidence.measured_seconds, line.rated.seconds)
            if line.rated.is_time
            else None,
            "bridged": line.evidence.bridged_seconds,
            "note": note or (f"adjusts {line.adjusts.start:%Y-%m}" if line.adjusts else ""),
        }
        for draft, lines, note in _previewed(drafted)
        for line in lines
    ]
    columns = [
        "payer",
        "tenant",
        "description",
        "seconds",
        "unit_price",
        "amount",
        "currency",
        "coverage",
        "bridged",
        "note",
    ]
    show(rows, _with_quantity(columns, rows), as_json=as_json, empty="nothing to invoice")


def _quantity(metered: "Metered | None") -> str | None:
    """What a line of a meter is for: `2500000 token (priced by 1000000)`."""
    from billing.core.quantity import plain

    if metered is None:
        return None
    size = "" if metered.unit_size == 1 else f" (priced by {metered.unit_size})"
    return f"{plain(metered.quantity)} {metered.unit}{size}"


def _with_quantity(columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    """The column of quantities, where there is a line of a meter."""
    at = columns.index("seconds") + 1
    return [*columns[:at], "quantity", *columns[at:]] if any(row["quantity"] for row in rows) else columns


def _previewed(drafted: "Drafted") -> "Iterator[tuple[Draft, tuple[DraftLine, ...], str]]":
    """What comes on which invoice, with a word about what does not come on this one."""
    for draft in drafted.drafts:
        yield draft, draft.lines, ""
        yield draft, draft.carried, "carried: outweighs this invoice, comes with a later one"
    for draft in drafted.late:
        billed_on = drafted.billed_on[draft.payer.id]
        yield draft, draft.lines, f"late: comes as an adjustment on the invoice for {billed_on.start:%Y-%m}"
    for draft in drafted.carried:
        yield draft, draft.carried, "carried: nothing to set it off against, comes with a later invoice"


@app.command()
def run(period: AnyPeriod, as_json: AsJson = False) -> None:
    """Issue the invoices of a period that is over: those of everybody who is invoiced in such periods and has none yet."""
    _issue(period, "", as_json, "")


@app.command()
def issue(
    tenant: Annotated[str, typer.Argument(help="The payer")],
    period: AnyPeriod,
    po: Annotated[str, typer.Option(help="Purchase order that this invoice names; default: the tenant's")] = "",
    as_json: AsJson = False,
) -> None:
    """Issue one payer's invoice of a period; after a void, the one that replaces it."""
    _issue(period, tenant, as_json, po)


def _issue(period: str, tenant: str, as_json: bool, order: str) -> None:
    from billing.core.period import parse_period

    with application() as one:
        accept_chains(one)
        one.collector.apply_changes()
        with busy(f"issuing invoices of {period}"):
            issued = one.issuer.run(parse_period(period), tenant, actor=actor(), purchase_order=order)
        rows = [_row(one, invoice) for invoice in issued]
    show(rows, _COLUMNS, as_json=as_json, empty="nothing left to invoice")


def accept_chains(one: "App") -> None:
    """Verify the chains that the wallet is not accepted on yet. One that is not ready is simply not offered."""
    from billing.core.errors import Conflict, Unavailable

    for chain in one.chains:
        if chain.chain_id not in one.accepter.accepted():
            try:
                one.check_chain(chain.chain_id)
            except (Conflict, Unavailable) as error:
                typer.echo(f"note: {chain.name} is not offered: {error}", err=True)


_COLUMNS = ("number", "tenant", "period", "status", "currency", "total", "remaining", "due_at", "address")


def _row(one: "App", invoice: "Invoice") -> dict[str, Any]:
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum

    def money(units: int) -> str:
        return decimal_text(units, invoice.currency.exponent)

    return {
        "number": invoice.number,
        "tenant": invoice.tenant,
        "period": f"{invoice.period.start:%Y-%m}",
        "status": invoice.status.value + (" (overdue)" if invoice.overdue(one.clock.now()) else ""),
        "currency": invoice.currency.code,
        "tax": money(invoice.tax),
        "total": money(invoice.total),
        "credits": money(invoice.credits),
        "amount_due": money(invoice.amount_due),
        "credited": money(invoice.noted),
        "paid": money(invoice.paid),
        "remaining": money(invoice.remaining),
        "issued_at": invoice.issued_at,
        "due_at": invoice.due_at,
        "address": checksum(invoice.address) if invoice.address else None,
        "digest": invoice.digest,
        "purchase_order": invoice.purchase_order or None,
        "replaces": invoice.replaces,
        "url": f"{one.settings.public_url}/pay/{invoice.pay_token}",
    }


def _note(note: "CreditNote") -> dict[str, Any]:
    from billing.core.money import decimal_text

    return {
        "number": note.number,
        "invoice": note.invoice,
        "tenant": note.tenant,
        "effect": "void" if note.is_void else "partial",
        "currency": note.currency.code,
        "tax": decimal_text(note.tax, note.currency.exponent),
        "total": decimal_text(note.total, note.currency.exponent),
        "reason": note.reason,
        "issued_at": note.issued_at,
        "digest": note.digest,
    }


@app.command("list")
def list_(
    tenant: Tenant = "",
    status: Annotated[str, typer.Option(help="open, paid, void or uncollectible")] = "",
    as_json: AsJson = False,
) -> None:
    """All invoices."""
    from billing.core.errors import Invalid
    from billing.invoicing import store
    from billing.invoicing.lifecycle import InvoiceStatus
    from billing.tenants import store as tenants

    if status and status not in list(InvoiceStatus):
        raise Invalid(f"{status!r} is no status", remedy=", ".join(InvoiceStatus))
    with application() as one:
        with one.database.transaction() as session:
            tenant_id = tenants.by_slug(session, tenant).id if tenant else None
            only = store.Filter(tenant_id=tenant_id, status=InvoiceStatus(status) if status else None)
            found = store.listed(session, only)
        rows = [_row(one, invoice) for invoice in found]
    show(rows, _COLUMNS, as_json=as_json, empty="no invoices")


@app.command("show")
def show_(
    number: str,
    document: Annotated[Path | None, typer.Option(help="Write the document's exact bytes to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """One invoice with its lines; or its document, byte for byte."""
    from billing.core.money import decimal_text
    from billing.invoicing import store
    from billing.invoicing.draft import coverage_text
    from billing.invoicing.store import notes as credit_notes
    from billing.pricing.rating import LineKind

    with application() as one:
        with one.database.transaction() as session:
            invoice = store.by_number(session, number)
            lines = store.lines(session, invoice.id)
            content = store.document(session, invoice.id)
            notes = [_note(one) for one in credit_notes.of_invoice(session, invoice.id)]
        row = _row(one, invoice)
    if document is not None:
        write_file(document, [content])
        typer.echo(f"{number}: {len(content)} bytes to {document}")
        return
    row["lines"] = [
        {
            "line": line.position,
            "tenant": line.tenant,
            "description": line.description,
            "from": line.period.start,
            "to": line.period.end,
            "seconds": line.quantity_seconds if line.is_time else None,
            "quantity": _quantity(line.metered),
            "unit_price": format(line.unit_price, "f") if line.kind is LineKind.USAGE else None,
            "amount": decimal_text(line.amount, invoice.currency.exponent),
            "coverage": coverage_text(line.measured_seconds, line.quantity_seconds) if line.is_time else None,
            "bridged": line.bridged_seconds,
            "excluded": [f"{seconds} s {reason}" for reason, seconds in line.excluded],
        }
        for line in lines
    ]
    row["credit_notes"] = notes
    if as_json:
        show_json(row)
        return
    for key, value in row.items():
        if key not in ("lines", "credit_notes") and value is not None:
            typer.echo(f"{key}: {value}")
    typer.echo()
    columns = ["line", "tenant", "description", "seconds", "unit_price", "amount", "coverage", "bridged", "excluded"]
    show(row["lines"], _with_quantity(columns, row["lines"]), as_json=False)
    for note in notes:
        what = "taken back" if note["effect"] == "void" else f"{note['total']} {note['currency']} taken off"
        typer.echo(f"{what} by {note['number']}: {note['reason']}")


@app.command()
def void(
    number: str, reason: Annotated[str, typer.Option(help="Why; on the credit note")], as_json: AsJson = False
) -> None:
    """Take an open invoice back with a credit note. Its usage may be invoiced again."""
    with application() as one:
        note = one.issuer.void(number, reason=reason, actor=actor())
    say(f"{number} is void; credit note {note}", as_json, number=number, status="void", credit_note=note)


@app.command("write-off")
def write_off(number: str, reason: Reason, as_json: AsJson = False) -> None:
    """Give up what remains on an open invoice: it is uncollectible. A payment that comes all the same is taken."""
    from billing.core.money import Money

    with application() as one:
        invoice = one.abandoner.write_off(number, reason=reason, actor=actor())
    given_up = Money(invoice.remaining, invoice.currency)
    told = f"{number} is {invoice.status}: {given_up} are given up"
    say(
        told,
        as_json,
        number=number,
        status=invoice.status.value,
        given_up=given_up.text(),
        currency=given_up.asset.code,
    )


@app.command()
def credit(
    number: str,
    reason: Annotated[str, typer.Option(help="Why; on the credit note")],
    line: Annotated[int | None, typer.Option(help="Off which line; default: spread over all lines")] = None,
    amount: Annotated[str, typer.Option(help="How much, before tax; default: all that is left")] = "",
    as_json: AsJson = False,
) -> None:
    """Take something off an open or paid invoice with a credit note. What was paid beyond the rest becomes the tenant's credit;
    the usage stays charged."""
    from billing.core.errors import Invalid
    from billing.core.money import decimal_text, parse_units
    from billing.invoicing import store
    from billing.invoicing.goodwill import Wish

    if line is None and not amount:
        raise Invalid("say what to credit", remedy="--line 2, --amount 10.00, or both; to take all back: invoice void")
    with application() as one:
        with one.database.transaction() as session:
            currency = store.by_number(session, number).currency
        units = parse_units(amount, currency).units if amount else None
        note = one.noter.credit(number, Wish(line, units), reason=reason, actor=actor())
        with one.database.transaction() as session:
            invoice = store.by_number(session, number)
    left = decimal_text(max(0, invoice.remaining), currency.exponent)
    status = invoice.status.value
    told = f"credit note {note}; {number} is {status}, {left} {currency.code} remains"
    say(told, as_json, credit_note=note, number=number, status=status, remaining=left, currency=currency.code)


@app.command()
def pdf(
    number: Annotated[str, typer.Argument(help="Of an invoice or a credit note")],
    output: Annotated[Path, typer.Option(help="The file to write")],
) -> None:
    """Print an invoice or a credit note as PDF. It says what its document says, which is attached to it."""
    from billing.invoicing import store
    from billing.invoicing.numbering import counter_of
    from billing.invoicing.store import notes

    with application() as one:
        with one.database.transaction() as session:
            if counter_of(number)[0].endswith("-CN"):
                content = notes.document(session, notes.by_number(session, number).id)
            else:
                content = store.document(session, store.by_number(session, number).id)
        printed = one.printer.pdf(content)
    write_file(output, [printed])
    typer.echo(f"{number}: {len(printed)} bytes to {output}")


@app.command("notes")
def notes_(tenant: Tenant = "", as_json: AsJson = False) -> None:
    """All credit notes."""
    from billing.invoicing.store import notes
    from billing.tenants import store as tenants

    with application() as one, one.database.transaction() as session:
        tenant_id = tenants.by_slug(session, tenant).id if tenant else None
        rows = [_note(note) for note in notes.listed(session, notes.Filter(tenant_id=tenant_id))]
    columns = ("number", "invoice", "tenant", "effect", "currency", "tax", "total", "reason", "issued_at")
    show(rows, columns, as_json=as_json, empty="no credit notes")
