"""Gas per settled invoice, measured on transactions of a real anvil node.

Owns: the gas table of README.md. Run `npm ci` and `python build.py write` first.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CODE: dict[str, Any] = json.loads((HERE.parent / "billing/wallets/forwarder_code.json").read_text())
TOKENS: dict[str, Any] = json.loads((HERE / "artifacts/testing.json").read_text())
TREASURY = "0x" + "7e" * 20
NATIVE = "0x" + "00" * 20
GAS_LIMIT = 16_000_000  # below the 2**24 that one transaction may use on many chains


class Node:
    """One anvil, spoken to in JSON-RPC."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            reply = json.load(answer)
        if "error" in reply:
            raise SystemExit(f"{method}: {reply['error']}")
        return reply["result"]

    def send(self, to: str | None, data: str, value: int = 0) -> dict[str, Any]:
        sender = self.call("eth_accounts")[0]
        fields = {"from": sender, "data": data, "value": hex(value), "gas": hex(GAS_LIMIT)}
        tx_hash = self.call("eth_sendTransaction", fields | ({"to": to} if to else {}))
        receipt: dict[str, Any] | None = None
        while receipt is None:
            receipt = self.call("eth_getTransactionReceipt", tx_hash)
        if receipt["status"] != "0x1":
            raise SystemExit(f"transaction {tx_hash} failed")
        return receipt

    def read(self, to: str, data: str) -> str:
        return str(self.call("eth_call", {"to": to, "data": data}, "latest"))


@contextmanager
def anvil() -> Iterator[Node]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = next(HERE.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"), None)
    if program is None:
        raise SystemExit("anvil is not installed: run `npm ci` in contracts first")
    with subprocess.Popen([program, "--silent", "--port", str(port)]) as process:
        node = Node(f"http://127.0.0.1:{port}")
        try:
            for _ in range(100):
                try:
                    node.call("eth_chainId")
                    break
                except OSError:
                    time.sleep(0.1)
            yield node
        finally:
            process.terminate()


def word(value: int | str) -> str:
    number = int(value, 16) if isinstance(value, str) else value
    return f"{number:064x}"


def flush_data(salts: list[str], token: str) -> str:
    return str(CODE["flush_selector"]) + word(64) + word(token) + word(len(salts)) + "".join(salts)


def deploy_factory(node: Node) -> str:
    init = CODE["factory_init_code"][2:] + word(TREASURY) + word(0) + word(0)
    data = "0x" + "00" * 32 + init
    proxy = CODE["deployment_proxy"]["address"]
    factory = node.read(proxy, data)
    node.send(proxy, data)
    return factory


def deploy_token(node: Node) -> str:
    text = "".join(word(len(t)) + t.encode().hex().ljust(64, "0") for t in ("USD",))
    data = TOKENS["TestUSD"]["init_code"] + word(96) + word(160) + word(6) + text + text
    return str(node.send(None, data)["contractAddress"])


class Desk:
    """One factory with a token, and payers that never run dry."""

    def __init__(self, node: Node) -> None:
        self.node, self.factory, self.token = node, deploy_factory(node), deploy_token(node)
        self.next_salt = 1

    def salts(self, count: int) -> list[str]:
        first, self.next_salt = self.next_salt, self.next_salt + count
        # Digests have no zero bytes to speak of, and zero bytes are cheaper: fill the words.
        return [("5a" * 24) + f"{n:016x}".replace("00", "a7") for n in range(first, first + count)]

    def pay(self, salts: list[str], token: str) -> None:
        for salt in salts:
            address = "0x" + self.node.read(self.factory, CODE["address_of_selector"] + salt)[-40:]
            if token == NATIVE:
                self.node.send(address, "0x", 1_000_000)
            else:
                self.node.send(
                    token,
                    TOKENS["TestUSD"]["selectors"]["mint(address,uint256)"] + word(address) + word(25_000_000),
                )

    def flush(self, salts: list[str], token: str) -> int:
        receipt = self.node.send(self.factory, flush_data(salts, token))
        flushed = [log for log in receipt["logs"] if log["topics"][0] == CODE["flushed_topic"]]
        if len(flushed) != len(salts):
            raise SystemExit(f"{len(salts)} salts, {len(flushed)} flushed")
        return int(receipt["gasUsed"], 16) // len(salts)


def main() -> int:
    with anvil() as node:
        desk = Desk(node)
        print(f"factory {desk.factory}, token {desk.token}")
        print(f"{'':24}{'alone':>10}{'in tens':>10}{'in hundreds':>13}")
        for name, token in (("ERC-20", desk.token), ("native coin", NATIVE)):
            warm_up = desk.salts(1)
            desk.pay(warm_up, token)
            desk.flush(warm_up, token)
            first: list[int] = []
            again: list[int] = []
            for count in (1, 10, 100):
                salts = desk.salts(count)
                for row in (first, again):
                    desk.pay(salts, token)
                    row.append(desk.flush(salts, token))
            for title, row in ((name, first), (f"{name}, second time", again)):
                print(f"{title:24}{row[0]:>10,}{row[1]:>10,}{row[2]:>13,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
