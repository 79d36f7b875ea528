"""A local EVM node (anvil, from npm) with a test token. Its unlocked accounts play the payers; nothing else can send."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing.chain.rpc import HttpNode
from billing.core.errors import Invalid, Unavailable
from billing.core.onchain import Address, parse_address, selector, word
from billing.wallets.forwarder import Treasury, deployment

CHAIN_ID = 31337


def anvil_path() -> str:
    """Where anvil is: on the PATH, or installed by npm under contracts/. Raises Invalid when it is nowhere."""
    found = shutil.which("anvil")
    if found:
        return found
    package = Path(__file__).parents[2] / "contracts" / "node_modules" / "@foundry-rs"
    for path in sorted(package.glob("anvil-*/bin/anvil")):
        return str(path)
    raise Invalid("anvil is not installed", remedy="make setup, or: npm install -g @foundry-rs/anvil")


class DemoNode(HttpNode):
    """The node, with what only a local one does: send from unlocked accounts, mine, reorganise."""

    def accounts(self) -> list[Address]:
        return [Address(one) for one in self.request("eth_accounts", [])]

    def send(self, sender: Address, to: Address | None, data: bytes) -> dict[str, Any]:
        """Send a transaction and wait for its receipt."""
        transaction = {"from": sender, "data": "0x" + data.hex(), "gas": hex(10_000_000)}
        if to is not None:
            transaction["to"] = to
        tx_hash = self.request("eth_sendTransaction", [transaction])
        for _ in range(200):
            receipt: dict[str, Any] | None = self.request("eth_getTransactionReceipt", [tx_hash])
            if receipt is not None:
                if receipt["status"] != "0x1":
                    raise Unavailable(f"the local node reverted {tx_hash}")
                return receipt
            time.sleep(0.02)
        raise Unavailable("the local node does not mine")

    def deploy_token(self, sender: Address) -> Address:
        """USDC's likeness: six decimals, and anybody may mint."""
        code = json.loads((Path(__file__).parent / "token_code.json").read_text())["TestUSD"]["init_code"]
        name, symbol = _text("USD Coin"), _text("USDC")
        arguments = word(96) + word(96 + len(name)) + word(6) + name + symbol
        return parse_address(self.send(sender, None, bytes.fromhex(code[2:]) + arguments)["contractAddress"])

    def deploy_factory(self, sender: Address, treasury: Treasury) -> None:
        to, data = deployment(treasury)
        self.send(sender, to, data)

    def mint(self, sender: Address, token: Address, to: Address, units: int) -> None:
        self.send(sender, token, selector("mint(address,uint256)") + word(to) + word(units))

    def pay(self, sender: Address, token: Address, to: Address, units: int) -> str:
        """An ERC-20 transfer; its transaction hash."""
        receipt = self.send(sender, token, selector("transfer(address,uint256)") + word(to) + word(units))
        return str(receipt["transactionHash"])

    def mine(self, blocks: int) -> None:
        self.request("anvil_mine", [hex(blocks)])

    def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by empty ones."""
        self.request("anvil_reorg", [depth, []])


def _text(value: str) -> bytes:
    return word(len(value)) + value.encode().ljust(32, b"\0")


@contextmanager
def local_node() -> Iterator[tuple[str, DemoNode]]:
    """Start anvil on a free port; (URL, node). It ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    arguments = [anvil_path(), "--host", "127.0.0.1", "--port", str(port), "--silent", "--slots-in-an-epoch", "4"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    node = DemoNode(url)
    try:
        for _ in range(300):
            try:
                node.chain_id()
                break
            except Unavailable:
                time.sleep(0.05)
        else:
            raise Unavailable("the local EVM node did not start", remedy="run anvil by hand to see why")
        yield url, node
    finally:
        node.close()
        process.terminate()
        process.wait(10)
