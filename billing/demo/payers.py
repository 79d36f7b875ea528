"""Three payers and one reorganisation: how invoices are settled, and how the books follow the chain."""

from collections.abc import Callable

from billing.bootstrap import App
from billing.core.money import decimal_text
from billing.core.period import Span
from billing.demo.evm import CHAIN_ID, DemoNode
from billing.invoicing.invoice import Invoice
from billing.invoicing.store import Filter, listed
from billing.ledger import store as ledger
from billing.reconciliation.valuation import units_due
from billing.treasury.planner import Wish

ACTOR = "demo"


class Story:
    def __init__(self, app: App, node: DemoNode, period: Span, say: Callable[[str], None]) -> None:
        self._app, self._node, self._period, self._say = app, node, period, say
        self._accounts = node.accounts()
        self._token = app.tokens[0]

    def invoices(self) -> list[Invoice]:
        with self._app.database.transaction() as session:
            return listed(session, Filter(period=self._period))

    def tell(self) -> None:
        """Issue, pay, reorganise, pay again, sweep."""
        self._app.check_chain(CHAIN_ID)
        issued = {invoice.tenant: invoice for invoice in self._app.issuer.run(self._period, actor=ACTOR)}
        for invoice in issued.values():
            self._say(
                f"issued {invoice.number} to {invoice.tenant}: {decimal_text(invoice.amount_due, 2)} USD at {invoice.address}"
            )
        acme, beta, orbit = issued["acme"], issued["beta"], issued["orbit"]
        for account in self._accounts[1:4]:
            self._node.mint(self._accounts[0], self._token.address, account, 10**15)
        self._follow()
        self._reorganised(acme)
        half = units_due(beta.amount_due, beta.currency, self._token.decimals) // 2
        self._pay(2, beta, half)
        self._settle()
        self._say(f"beta paid a half of {beta.number}: {self._status(beta)}, {self._remaining(beta)} USD remain")
        self._pay(2, beta, units_due(beta.amount_due, beta.currency, self._token.decimals) - half)
        self._pay(3, orbit, units_due(orbit.amount_due + 10_000, orbit.currency, self._token.decimals))
        self._settle()
        self._say(
            f"beta paid the rest: {self._status(beta)}; orbit paid 100.00 too much: {self._status(orbit)}, the rest is its credit"
        )
        self._sweep()

    def _reorganised(self, acme: Invoice) -> None:
        """The exact payment, taken back by the chain, and paid again."""
        units = units_due(acme.amount_due, acme.currency, self._token.decimals)
        self._pay(1, acme, units)
        self._node.mine(2)
        self._follow()
        self._say(
            f"acme paid {acme.number} exactly: {self._status(acme)} after 3 confirmations, receivable {self._receivable()} USD"
        )
        self._node.reorganise(3)
        self._node.mine(1)
        self._follow()
        self._say(
            f"the chain was reorganised under that payment: {self._status(acme)} again, receivable {self._receivable()} USD"
        )
        self._pay(1, acme, units)
        self._settle()
        self._say(f"acme's wallet sent it again: {self._status(acme)}, receivable {self._receivable()} USD")

    def _pay(self, account: int, invoice: Invoice, units: int) -> None:
        assert invoice.address is not None
        self._node.pay(self._accounts[account], self._token.address, invoice.address, units)

    def _sweep(self) -> None:
        """The plan's transaction, sent by somebody: anybody may empty the addresses, and only into the treasury. Then everything
        is read once more."""
        watcher = self._app.watchers[CHAIN_ID]
        (batch,) = self._app.planner.plan(watcher, Wish({self._token.address: 1})).batches
        self._node.send(self._accounts[5], batch.to, batch.data)
        self._settle()
        while self._app.proofreaders[CHAIN_ID].tick().behind:
            pass
        asset = self._token.asset.code
        with self._app.database.transaction() as session:
            units = ledger.balance(session, f"treasury:{CHAIN_ID}:{self._token.symbol}", asset)
        self._say(
            f"one transaction swept {len(batch.deposits)} addresses: {decimal_text(units, 6)} USDC in the treasury,"
            " by no key of ours"
        )

    def _settle(self) -> None:
        """Until nothing can take it back."""
        self._node.mine(12)
        self._follow()

    def _follow(self) -> None:
        self._app.watchers[CHAIN_ID].sync()
        self._app.reconciler.tick()

    def _status(self, invoice: Invoice) -> str:
        return next(one.status.value for one in self.invoices() if one.id == invoice.id)

    def _remaining(self, invoice: Invoice) -> str:
        return decimal_text(next(one.remaining for one in self.invoices() if one.id == invoice.id), 2)

    def _receivable(self) -> str:
        with self._app.database.transaction() as session:
            return decimal_text(ledger.balance(session, "receivable", "USD"), 2)
