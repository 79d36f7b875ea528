"""A day of traffic in a hurry: payments of every kind, faults, reorganisations and restarts in any order. At the end the books,
the chain, and a naive replay of the branch that won agree to the last unit.

`STABLEMETER_DAY_STEPS` makes it longer: 1,440 is a step a minute.
"""

import os
import random
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.chain.block import log
from billing.core.errors import StablemeterError
from billing.core.onchain import Address
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation import store as payments
from tests.chain.proxy import Proxy, proxied
from tests.journeys.test_faults import FAULTS
from tests.world import World, issued, transfer_data, world

STEPS = int(os.environ.get("STABLEMETER_DAY_STEPS", "60"))
TENANTS = ("acme", "beta", "gamma", "delta")
QUICK = [fault for name, (fault, _) in FAULTS.items() if name not in ("hangs", "drips")]
CENTS = (1, 9_999, 10_000, 19_999, 20_000, 20_001, 35_050)
TOLERANCE = 1


class Day:
    def __init__(self, made: World, proxy: Proxy, invoices: list[Invoice], seed: int) -> None:
        self.made, self.proxy, self.invoices = made, proxy, invoices
        self.dice = random.Random(seed)
        self.did: defaultdict[str, int] = defaultdict(int)

    def address(self) -> Address:
        found = self.dice.choice(self.invoices).address
        assert found is not None
        return found

    def step(self) -> None:
        actions = (
            "pay",
            "pay",
            "pay",
            "several",
            "wrong",
            "nothing",
            "mine",
            "reorg",
            "fault",
            "heal",
            "restart",
            "follow",
            "follow",
        )
        action = self.dice.choice(actions)
        self.did[action] += 1
        getattr(self, action)()

    def pay(self) -> None:
        token = self.dice.choice((self.made.usdc, self.made.usdt))
        self.made.node.transfer(
            token, self.address(), self.dice.choice(CENTS) * 10_000 + self.dice.choice((0, 0, 1, 4_999))
        )

    def several(self) -> None:
        """Transfers in one block, in any order."""
        self.made.node.request("evm_setAutomine", [False])
        self.made.node.automine = False
        for _ in range(self.dice.randint(2, 4)):
            self.made.node.transfer(self.made.usdc, self.address(), self.dice.choice(CENTS) * 10_000)
        self.made.node.request("evm_setAutomine", [True])
        self.made.node.automine = True
        self.made.node.mine(1)

    def wrong(self) -> None:
        self.made.node.transfer(self.made.other, self.address(), 10**18)

    def nothing(self) -> None:
        self.made.node.transfer(self.made.usdc, self.address(), 0)

    def mine(self) -> None:
        self.made.node.mine(self.dice.choice((1, 2, 5, 40)))

    def reorg(self) -> None:
        """Up to six blocks are taken back; some payments are in the new branch, others are not."""
        depth = self.dice.randint(1, 6)
        again: list[tuple[dict[str, Any], int]] = []
        for _ in range(self.dice.randint(0, 2)):
            units = self.dice.choice(CENTS) * 10_000
            call = {
                "from": self.made.node.accounts[0],
                "to": self.made.usdc,
                "data": "0x" + transfer_data(self.address(), units).hex(),
                "gas": hex(200_000),
                "gasPrice": hex(10**11),
            }
            again.append((call, self.dice.randrange(depth)))
        self.made.node.reorg(depth, again)

    def fault(self) -> None:
        self.proxy.fault = self.dice.choice(QUICK)

    def heal(self) -> None:
        self.proxy.fault = None

    def restart(self) -> None:
        self.made.again()

    def follow(self) -> None:
        self.made.clock.move_to(self.made.clock.now() + timedelta(minutes=3))
        try:
            self.made.follow()
        except StablemeterError as error:
            assert "is stopped" not in str(error)


def replay(made: World, invoices: list[Invoice]) -> dict[str, Any]:
    """What must be in the books, from nothing but the logs of the chain as it is."""
    of = {one.address: one for one in invoices}
    tokens = {made.usdc: 10_000, made.usdt: 10_000}
    came: defaultdict[str, defaultdict[Address, int]] = defaultdict(lambda: defaultdict(int))
    deposits: defaultdict[Address, int] = defaultdict(int)
    raw = made.node.request(
        "eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest", "address": [made.usdc, made.usdt, made.other]}]
    )
    suspended = 0
    for one in (log(found) for found in raw if len(found["topics"]) == 3):
        invoice = of.get(one.receiver)
        if invoice is None or one.units == 0:
            continue
        deposits[one.token] += one.units
        if one.token in tokens and invoice.status is not InvoiceStatus.VOID:
            came[invoice.number][one.token] += one.units
        else:
            suspended += 1
    found: dict[str, Any] = {}
    for invoice in invoices:
        value = sum(units // tokens[token] for token, units in came[invoice.number].items())
        rest = max(0, invoice.amount_due - value)
        settled = rest == 0 or (value > 0 and rest <= TOLERANCE)
        if invoice.status is InvoiceStatus.VOID:
            found[invoice.number] = ("void", 0, 0)
        else:
            found[invoice.number] = (
                "paid" if settled else "open",
                0 if settled else rest,
                max(0, value - invoice.amount_due),
            )
    return {"invoices": found, "deposits": {t: u for t, u in deposits.items() if u}, "suspended": suspended}


def booked(made: World, invoices: list[Invoice]) -> dict[str, Any]:
    """The same from the books."""
    found = {}
    with made.app.database.transaction() as session:
        credited = dict(
            session.execute(
                text(
                    "SELECT invoice_id, sum(credited_units)::bigint FROM payment WHERE disposition = 'matched' GROUP BY 1"
                )
            ).all()
        )
        waiting = len(payments.exceptions(session))
    for invoice in invoices:
        now = made.invoice(invoice.number)
        found[invoice.number] = (now.status.value, now.remaining, int(credited.get(now.id, 0)))
    symbols = {made.usdc: "USDC", made.usdt: "NRUSD", made.other: "OUSD"}
    deposits = {token: made.balance(f"deposit:31337:{name}", f"31337:{name}") for token, name in symbols.items()}
    return {"invoices": found, "deposits": {t: u for t, u in deposits.items() if u}, "suspended": waiting}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_books_chain_and_a_naive_replay_agree_after_a_day_of_everything(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    seed += int(os.environ.get("STABLEMETER_DAY_SEED", "0"))
    with world(database_url, tmp_path) as made, proxied(made.url) as proxy:
        (chain,) = made.settings.chains
        both = chain.model_copy(
            update={"rpc_urls": [proxy.url, made.url] if seed % 2 else [proxy.url], "timeout_seconds": 2}
        )
        made.settings = made.settings.model_copy(update={"chains": [both]})
        made.again()
        invoices = issued(made, *TENANTS)
        made.app.issuer.void(invoices[-1].number, reason="wrong", actor="test")
        invoices[-1] = made.invoice(invoices[-1].number)
        made.node.mine(20)
        day = Day(made, proxy, invoices, seed)
        for _ in range(STEPS):
            day.step()
        proxy.fault = None
        for _ in range(3):
            day.follow()
        made.settle(40)
        while made.app.proofreaders[31337].tick().behind:
            pass
        assert booked(made, invoices) == replay(made, invoices), dict(day.did)
        assert made.findings() == []
