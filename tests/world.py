"""A small world for journeys: an EVM node with tokens and a factory, a fleet that plays a script, and the application."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from billing.bootstrap import App, build
from billing.chain.rpc import HttpNode
from billing.core.clock import ManualClock
from billing.core.money import parse_units
from billing.core.onchain import Address, parse_address, selector, word
from billing.core.period import Span, month
from billing.fleet.gpu import DeviceKey
from billing.invoicing.invoice import Invoice
from billing.invoicing.store import Filter, listed
from billing.settings import Settings
from billing.wallets.forwarder import Treasury, deployment
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, at, collector, tenant
from tests.parts import CONTRACTS, anvil

ARTIFACTS = json.loads((CONTRACTS / "artifacts" / "testing.json").read_text())
PERIOD = month(2026, 10)
BOOK = """
currency = "USD"
[[sku]]
code = "h100"
title = "NVIDIA H100"
models = ["NVIDIA H100 80GB HBM3"]
[[sku.price]]
from = 2026-01-01
per_hour = "2.00"
"""


class Node(HttpNode):
    """The node, with what only a test may do: send from unlocked accounts, mine, reorganise."""

    automine = True

    @property
    def accounts(self) -> list[Address]:
        return [Address(one) for one in self.request("eth_accounts", [])]

    def send(self, to: str | None, data: bytes = b"", *, sender: int = 0, value: int = 0) -> dict[str, Any]:
        """Send a transaction, and its receipt once it is mined."""
        transaction = {
            "from": self.accounts[sender],
            "data": "0x" + data.hex(),
            "value": hex(value),
            "gas": hex(8_000_000),
        }
        if to is not None:
            transaction["to"] = to
        tx_hash = self.request("eth_sendTransaction", [transaction])
        if not self.automine:
            return {"transactionHash": tx_hash}
        receipt: dict[str, Any] | None = None
        deadline = time.monotonic() + 10
        while receipt is None and time.monotonic() < deadline:
            receipt = self.request("eth_getTransactionReceipt", [tx_hash])
        assert receipt is not None, "the transaction was not mined"
        assert receipt["status"] == "0x1", "the transaction failed"
        return receipt

    def deploy(self, name: str, *arguments: Any) -> Address:
        artifact = ARTIFACTS[name]
        types = [one.partition(" ")[0] for one in artifact["constructor"]]
        code = bytes.fromhex(artifact["init_code"][2:]) + (encode(types, arguments) if types else b"")
        return parse_address(self.send(None, code)["contractAddress"])

    def mine(self, blocks: int = 1) -> None:
        self.request("anvil_mine", [hex(blocks)])

    def reorg(self, depth: int, transactions: Sequence[tuple[dict[str, Any], int]] = ()) -> None:
        """Replace the newest blocks by other ones, with these transactions at these offsets."""
        self.request("anvil_reorg", [depth, [list(one) for one in transactions]])

    def mint(self, token: Address, to: str, units: int) -> None:
        self.send(token, selector("mint(address,uint256)") + word(parse_address(to)) + word(units))

    def transfer(self, token: Address, to: str, units: int, *, sender: int = 0) -> dict[str, Any]:
        """An ERC-20 transfer from an unlocked account."""
        return self.send(token, transfer_data(to, units), sender=sender)

    def balance(self, token: Address, owner: str) -> int:
        return int.from_bytes(self.call(token, selector("balanceOf(address)") + word(parse_address(owner))), "big")


def transfer_data(to: str, units: int) -> bytes:
    return selector("transfer(address,uint256)") + word(parse_address(to)) + word(units)


@dataclass
class World:
    """`usdc` is accepted, `usdt` (no return value) too, `other` is only watched. Account 9 is the treasury, an EOA."""

    node: Node
    url: str
    clock: ManualClock
    app: App
    settings: Settings
    usdc: Address
    usdt: Address
    other: Address
    treasury: Address

    def invoice(self, number: str) -> Invoice:
        with self.app.database.transaction() as session:
            return listed(session, Filter(number=number))[0]

    def follow(self) -> None:
        """Everything that the daemon does about chains."""
        for watcher in self.app.watchers.values():
            watcher.sync()
        self.app.reconciler.tick()

    def settle(self, blocks: int = 12) -> None:
        """Mine until all is final, and follow."""
        self.node.mine(blocks)
        self.follow()

    def findings(self) -> list[str]:
        result = self.app.auditor.run()
        assert not result.skipped, result.skipped
        return [str(one) for one in result.findings]

    def balance(self, account: str, asset: str = "USD") -> int:
        from billing.ledger import store

        with self.app.database.transaction() as session:
            return store.balance(session, account, asset)

    def again(self, **changes: Any) -> App:
        """The application of another process, on the same database; the old one is closed."""
        self.app.close()
        self.app = self._build()
        return self.app

    def _build(self) -> App:
        return build(self.settings, self.clock)


def usd(text: str) -> int:
    """Dollars as USDC units."""
    from billing.core.money import Asset

    return parse_units(text, Asset("USDC", 6)).units


@contextmanager
def world(
    database_url: str,
    folder: Path,
    *,
    xpub: str = "",
    archive: Sequence[str] = (),
    chain: Mapping[str, Any] | None = None,
) -> Iterator[World]:
    """`chain` holds settings of the chain beside, or instead of, those that most journeys need."""
    clock = ManualClock(at(24, day=31))
    with anvil("--timestamp", str(int(clock.now().timestamp()) - 5000)) as url:
        node = Node(url)
        usdc = node.deploy("TestUSD", "USD Coin", "USDC", 6)
        usdt = node.deploy("NoReturnUSD")
        other = node.deploy("TestUSD", "Other Dollar", "OUSD", 18)
        for token in (usdc, other):
            for account in node.accounts[:3]:
                node.mint(token, account, 10**24)
        node.mint(usdt, node.accounts[0], 10**15)
        treasury = parse_address(node.accounts[9])
        node.send(*deployment(Treasury(treasury, Address("0x" + "0" * 40), is_contract=False)))
        wallet: dict[str, Any] = {"treasury": treasury, "treasury_kind": "eoa"}
        if xpub:
            wallet = {"mode": "xpub", "xpub": xpub}
        wallet["archive"] = list(archive) or [str(folder / "archive")]
        settings = Settings(
            data_dir=folder,
            issuer={"name": "Test GPU Pty Ltd"},
            database={"url": database_url},
            wallet=wallet,
            chains=[
                {
                    "chain_id": 31337,
                    "name": "anvil",
                    "rpc_urls": [url],
                    "confirmations": 3,
                    "start_block": 0,
                    "tokens": [
                        {"symbol": "USDC", "address": usdc, "decimals": 6},
                        {"symbol": "NRUSD", "address": usdt, "decimals": 6},
                        {"symbol": "OUSD", "address": other, "decimals": 18, "listing": "watch"},
                    ],
                    **(chain or {}),
                }
            ],
        )
        made = World(node, url, clock, build(settings, clock), settings, usdc, usdt, other, treasury)
        try:
            yield made
        finally:
            made.app.close()
            node.close()


def metered(made: World, *tenants: str, hours: int = 100) -> None:
    """October usage: each tenant leases a GPU of its own for exactly so many hours, at 2.00 USD an hour."""
    gpus = {slug: DeviceKey(f"GPU-{slug}") for slug in tenants}
    source = ScriptedSource({gpu: [(0, 10**11, "")] for gpu in gpus.values()}, up=[(0, 10**11)], interval=3600)
    made.clock.move_to(at(5))
    collector(made.app.database, made.clock, source, rule=NO_EXCLUSIONS).collect(Span(OCTOBER, at(2)))
    for slug, gpu in gpus.items():
        made.app.registrar.add(tenant(slug, "lease"), [], actor="test")
        span = Span(OCTOBER, at(hours))
        made.app.leaser.add(slug, span, uuids=[gpu.uuid], reference=f"lease-{slug}", actor="test")
    made.clock.move_to(at(30, day=31))
    collecting = collector(made.app.database, made.clock, source, rule=NO_EXCLUSIONS)
    collecting.apply_changes()
    collecting.collect(Span(OCTOBER, at(24, day=31)))
    while collecting.tick(240).windows:
        pass
    made.app.rater.apply(BOOK, actor="test")
    head = made.node.block("latest")
    assert head is not None
    made.node.request("evm_setTime", [max(int(made.clock.now().timestamp()), int(head.mined_at.timestamp()) + 1)])
    made.node.mine(1)


def issued(made: World, *tenants: str, hours: int = 100) -> list[Invoice]:
    """Metered, and invoiced for October."""
    metered(made, *tenants, hours=hours)
    made.app.check_chain(31337)
    return made.app.issuer.run(PERIOD, actor="test")
