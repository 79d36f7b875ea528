"""`stablemeter owner`: who owns which GPUs, and what they earned."""

from pathlib import Path
from typing import Annotated, Any

import typer

from billing.cli.context import actor, application, busy, say, show, show_json
from billing.cli.exports import Output
from billing.cli.exports import _known as known
from billing.cli.exports import _write as write
from billing.cli.options import AsJson, Period, Why, about, read_bytes, span

app = typer.Typer(help="Owners of GPUs: their shares, what they earned, and what they are paid.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Short name: a-z, 0-9 and -")],
    title: Annotated[str, typer.Option("--title", help="Name for people; default: the short name")] = "",
    legal_name: Annotated[str, typer.Option(help="Name on statements")] = "",
    country: Annotated[str, typer.Option(help="Two letters")] = "",
    email: Annotated[str, typer.Option(help="Where to reach them")] = "",
    fee: Annotated[str, typer.Option("--fee", help="What the operator keeps, in basis points: 250 is 2.5 %")] = "0",
) -> None:
    """Add an owner."""
    from billing.owners.share import Owner, parse_fee

    owner, basis_points = Owner(name, title or name, legal_name, country, email), parse_fee(fee)
    with application() as one:
        one.owner_registrar.add(owner, fee_basis_points=basis_points, actor=actor())
    typer.echo(f"owner {name} added")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All owners, and what they are owed."""
    from billing.core.money import decimal_text
    from billing.owners import store
    from billing.owners.store import settled

    with application() as one, one.database.transaction() as session:
        exponents = settled.exponents(session)
        rows = [
            {
                "owner": owner.slug,
                "name": owner.name,
                "legal_name": owner.legal_name,
                "country": owner.country,
                "email": owner.email,
                "owed": [
                    f"{decimal_text(units, exponents[currency])} {currency}"
                    for currency, units in settled.owed(session, owner.slug).items()
                ],
            }
            for owner in store.listed(session)
        ]
    show(rows, ("owner", "name", "country", "email", "owed"), as_json=as_json, empty="no owners yet")


@app.command("show")
def show_(name: str, as_json: AsJson = False) -> None:
    """An owner's shares and fees."""
    from billing.core.period import at_second
    from billing.owners import store
    from billing.owners.share import share_text

    with application() as one, one.database.transaction() as session:
        owner = store.by_slug(session, name)
        fees = [
            {"basis_points": fee.basis_points, "from": at_second(fee.since)} for fee in store.fees(session, owner.id)
        ]
        shares: list[dict[str, Any]] = [
            {
                "id": held.id,
                "gpu": held.uuid,
                "host": held.host,
                "share": share_text(held.parts),
                "from": held.span.start,
                "to": None if held.span.is_open else held.span.end,
            }
            for held in store.shares(session, owner_id=owner.id)
        ]
    if as_json:
        show_json({"owner": owner.slug, "name": owner.name, "fees": fees, "shares": shares})
        return
    show(shares, ("id", "gpu", "host", "share", "from", "to"), as_json=False, empty=f"{name} owns nothing")
    show(fees, ("basis_points", "from"), as_json=False, empty="without a fee")


@app.command()
def share(
    name: str,
    part: Annotated[str, typer.Argument(help="How much of each GPU: 1, 1/3 or 12.5%")],
    start: Annotated[str, typer.Option("--from", help="First moment (RFC 3339)")],
    end: Annotated[str, typer.Option("--to", help="End; left out: open")] = "",
    host: Annotated[list[str] | None, typer.Option(help="A host, with all its GPUs; repeat")] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A GPU by UUID; repeat")] = None,
) -> None:
    """Give an owner a share of GPUs: of all of the named ones, or none. What nobody owns is the operator's."""
    from billing.owners.registrar import Wanted
    from billing.owners.share import parse_parts

    wanted = Wanted(name, parse_parts(part), span(start, end), tuple(host or ()), tuple(gpu or ()))
    with application() as one:
        count = one.owner_registrar.share([wanted], actor=actor())
    typer.echo(f"owner {name}: {part} of {count} GPUs")


@app.command("end-share")
def end_share(
    share_id: Annotated[int, typer.Argument(help="The share's id, as `owner show` tells it")],
    reason: Why,
    at: Annotated[str, typer.Option("--at", help="When it ends (RFC 3339); default: now")] = "",
) -> None:
    """End a share. At or before its start: it never was. What was settled otherwise is mended by the next settlement."""
    from billing.core.period import parse_time, rfc3339

    with application() as one:
        moment = parse_time(at) if at else one.clock.now().replace(microsecond=0)
        held = one.owner_registrar.end_share(share_id, moment, reason=reason, actor=actor())
    ends = f"ends at {rfc3339(moment)}" if moment > held.span.start else "was cancelled"
    typer.echo(f"owner {held.owner}: the share of {held.uuid} {ends}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with owner, host or gpu, share, from, to; header in any order")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; change nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Give shares as a file says: all lines, or none. An empty `to` is open."""
    content = read_bytes(file)
    with application() as one, about(file, "no share was given"):
        done = one.share_importer.read(content, dry_run=dry_run, actor=actor())
    told = f"{done.lines} shares of {done.gpus} GPUs{': the file is fine, nothing was changed' if dry_run else ''}"
    say(told, as_json, shares=done.lines, gpus=done.gpus, dry_run=dry_run)


@app.command()
def fee(
    name: str,
    basis_points: Annotated[str, typer.Argument(help="250 is 2.5 %")],
    start: Annotated[str, typer.Option("--from", help="For what GPUs earn by use from this moment on (RFC 3339)")],
    reason: Why,
) -> None:
    """Give an owner another fee. A settlement that took the old one is mended by the next."""
    from billing.core.period import parse_time, rfc3339
    from billing.owners.share import parse_fee

    wanted, since = parse_fee(basis_points), parse_time(start)
    with application() as one:
        one.owner_registrar.set_fee(name, wanted, since, reason=reason, actor=actor())
    typer.echo(f"owner {name}: a fee of {wanted} basis points from {rfc3339(since)} on")


@app.command()
def settle(as_json: AsJson = False) -> None:
    """Book what owners are owed more, or less, than was booked before. The daemon does so every hour."""
    with application() as one, busy("settling"):
        done = one.settler.settle(everything=True, actor=actor())
    told = f"{done.lines} lines settled in {done.entries} entries" if done.lines else "nothing to settle"
    facts = {"lines": done.lines, "entries": done.entries, "invoices": done.invoices}
    say(f"{told}: {done.invoices} invoices were looked at", as_json, **facts)


@app.command()
def statement(
    name: str,
    period: Period,
    file_format: Annotated[str, typer.Option("--format", help="csv, json, xlsx or pdf")] = "csv",
    output: Output = None,
) -> None:
    """What an owner's GPUs brought in, GPU by GPU, the fee, what was paid out, and what is owed. By the day of booking, like
    the journal. As PDF it is for the owner; its figures are attached to it."""
    from billing.core.errors import Invalid
    from billing.core.period import parse_month
    from billing.reports.reporter import Format

    wanted, month = known(file_format, "pdf"), parse_month(period)
    if wanted == "pdf" and output is None:
        raise Invalid("a PDF needs a file", remedy="--output FILE")
    with application() as one:
        if wanted == "pdf":
            write(iter([one.owner_printer.pdf(name, month)]), output)
        else:
            write(one.reporter.owner_statement(name, month, Format(wanted)), output)
