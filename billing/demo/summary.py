"""The end of the story: who was billed what, how it was paid, and that it is the same money everywhere."""

from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from billing.bootstrap import App
from billing.core.money import decimal_text
from billing.core.onchain import checksum
from billing.core.period import Span
from billing.demo.evm import CHAIN_ID
from billing.invoicing import store as invoicing
from billing.invoicing.invoice import Invoice
from billing.invoicing.verify import verify
from billing.ledger import store as ledger
from billing.reports.rows import ReconciliationRow

COLUMNS = ("number", "payer", "GPU-hours", "total USD", "received", "credit", "status", "how it was paid")


@dataclass(frozen=True, slots=True)
class Totals:
    """The same money at each stage, in cents; `treasury` is what the ledger has there, in cents of a dollar token."""

    seconds: int
    invoiced: int
    received: int
    credited: int
    treasury: int

    @property
    def agree(self) -> bool:
        return self.received == self.invoiced + self.credited == self.treasury


def show(app: App, period: Span, console: Console) -> bool:
    """Print the table and the totals. True when all stages agree."""
    rows = app.reporter.reconciliation_rows(period)
    table = Table(title=f"Invoices for {period.start:%B %Y}", title_justify="left", box=None, header_style="bold")
    for column in COLUMNS:
        right = column in ("GPU-hours", "total USD", "received", "credit")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    totals = Totals(0, 0, 0, 0, _treasury(app))
    with app.database.transaction() as session:
        found = invoicing.listed(session, invoicing.Filter(period=period))
        used = {one.id: sum(line.quantity_seconds for line in invoicing.lines(session, one.id)) for one in found}
    for invoice in found:
        mine = [row for row in rows if row.invoice == invoice.number]
        standing = [row for row in mine if row.status != "orphaned"]
        received, credited = (sum(_cents(getattr(row, name)) for row in standing) for name in ("value", "credited"))
        table.add_row(
            invoice.number, invoice.tenant, f"{used[invoice.id] / 3600:,.0f}", _usd(invoice.total), _usd(received),
            _usd(credited), invoice.status.value, _how(mine),
        )  # fmt: skip
        totals = Totals(
            totals.seconds + used[invoice.id], totals.invoiced + invoice.amount_due, totals.received + received,
            totals.credited + credited, totals.treasury,
        )  # fmt: skip
    console.print()
    console.print(table)
    console.print(
        f"\n{totals.seconds / 3600:,.0f} GPU-hours metered = {_usd(totals.invoiced)} USD invoiced; "
        f"{_usd(totals.received)} received = invoiced + {_usd(totals.credited)} credit = "
        f"{_usd(totals.treasury)} in the treasury" + ("" if totals.agree else "  NOT THE SAME MONEY"),
        highlight=False,
        soft_wrap=True,
    )
    return totals.agree


def _how(rows: list[ReconciliationRow]) -> str:
    """`exact, after one payment was taken back by the chain`."""
    kinds = Counter(row.kind for row in rows if row.status != "orphaned")
    orphaned = sum(row.status == "orphaned" for row in rows)
    words = " + ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
    return words + (f", after the chain took {orphaned} back" if orphaned else "")


def _cents(text: str) -> int:
    return int(text.replace(".", "")) if text else 0


def _usd(cents: int) -> str:
    return decimal_text(cents, 2)


def _treasury(app: App) -> int:
    token = app.tokens[0]
    with app.database.transaction() as session:
        units = ledger.balance(session, f"treasury:{CHAIN_ID}:{token.symbol}", token.asset.code)
    return int(units * 100 // 10**token.decimals)


def verified(app: App, invoices: list[Invoice]) -> tuple[int, int]:
    """As a payer does it, offline: (documents that are genuine with the pin and their address, forgeries that pass)."""
    assert app.wallet is not None
    genuine = forged = 0
    for invoice in invoices:
        with app.database.transaction() as session:
            content = invoicing.document(session, invoice.id)
        other = next(one.address for one in invoices if one.id != invoice.id)
        genuine += verify(content, [app.wallet.pin()], invoice.address).genuine
        forged += verify(content, [app.wallet.pin()], other).genuine
    return genuine, forged


SETTINGS = """\
data_dir = "{folder}"
[issuer]
name = "{issuer}"
[wallet]
treasury = "{treasury}"
treasury_kind = "eoa"
[[chains]]
chain_id = {chain_id}
name = "{chain}"
rpc_urls = ["{rpc}"]
confirmations = {confirmations}
start_block = 0
[[chains.tokens]]
symbol = "{token}"
address = "{address}"
decimals = {decimals}
"""


def farewell(app: App, invoices: list[Invoice], console: Console, *, kept: bool) -> None:
    """What a newcomer can do next with what is kept."""
    if kept:
        lines = _next_steps(app, invoices[0])
    else:
        lines = [
            "That is all; nothing of it was kept. Without --exit the pages stay up; --dir FOLDER keeps everything."
        ]
    console.print("\n" + "\n".join(lines), highlight=False, soft_wrap=True)


def _next_steps(app: App, first: Invoice) -> list[str]:
    assert app.wallet is not None and first.address is not None
    folder = app.settings.data_dir
    with app.database.transaction() as session:
        content = invoicing.document(session, first.id)
    path = folder / f"{first.number}.json"
    path.write_bytes(content)
    chain = app.settings.chains[0]
    token = chain.tokens[0]
    config = folder / "stablemeter.toml"
    config.write_text(
        SETTINGS.format(
            folder=folder, issuer=app.settings.issuer.name, treasury=app.settings.wallet.treasury, chain=chain.name,
            chain_id=chain.chain_id, rpc=chain.rpc_urls[0], confirmations=chain.confirmations, token=token.symbol,
            address=token.address, decimals=token.decimals,
        )
    )  # fmt: skip
    return [
        f"everything is in {folder}",
        "ask it what you like; other commands are in docs/cli.md:",
        f"  stablemeter --config {config} usage explain {first.number} 1",
        "check an invoice as its payer does, without network or database:",
        f"  stablemeter verify {path} --issuer {app.wallet.pin()} --address {checksum(first.address)}",
    ]
