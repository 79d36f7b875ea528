"""At the head of a chain: two new blocks at each look, as with blocks every two seconds and a look every four. The watcher with
100,000 addresses on a real node; against a client that only asks for the same headers and logs. And how long it takes until a
payment is on its invoice page, with the daemon as it is started."""

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import orjson
from requests import Session as Connections

from benchmarks import blocks, postgres
from benchmarks.chain import NOW, prepare
from benchmarks.measure import Cost, Result, measured, memory, middle, note, require
from billing.chain.policy import Finality
from billing.chain.pool import Pool
from billing.chain.rpc import HttpNode
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.clock import ManualClock
from billing.core.onchain import TRANSFER_TOPIC, Address
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.wallets.watchlist import WatchList
from tests.daemon.process import daemon
from tests.factories import no_fence
from tests.journeys.test_killed import settings
from tests.parts import anvil
from tests.world import Node, issued, usd, world

LOOKS, LOOKS_SMALL = 300, 20
WATCHED, WATCHED_SMALL = 100_000, 1_000
FEW: Final = 100
LOOKS_AN_HOUR: Final = 900
PAYMENTS, PAYMENTS_SMALL = 10, 2
REPEATS: Final = 5
TARGET: Final = 3.0


def run(small: bool = False) -> Result:
    looks, watched = (LOOKS_SMALL, WATCHED_SMALL) if small else (LOOKS, WATCHED)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded.start(folder / "pg")
        prepare(postgres.database(server, "template_many"), blocks.watched_addresses(watched))
        prepare(postgres.database(server, "template_few"), blocks.watched_addresses(FEW))
        note(f"steady: {watched:,} addresses")
        ours: list[Cost[Counter[str]]] = []
        few: list[Cost[Counter[str]]] = []
        plain: list[Cost[int]] = []
        for number in range(1 if small else REPEATS):
            with anvil() as url:
                token = Node(url).deploy("TestUSD", "USD Coin", "USDC", 6)
                many = postgres.database(server, f"many_{number}", "template_many")
                ours.append(measured(follow, url, many, token, looks))
                plain.append(measured(poll, url, token, looks))
                less = postgres.database(server, f"few_{number}", "template_few")
                few.append(measured(follow, url, less, token, looks))
        migrate.upgrade(site := Database(postgres.database(server, "page")))
        site.close()
        times = to_the_page(postgres.named(server, "page"), folder / "page", PAYMENTS_SMALL if small else PAYMENTS)
    result = Result(f"chain: {looks} looks at the head", TARGET, middle(ours), middle(plain))
    result.compare(ours, plain)
    less_time = median(a.wall / b.wall for a, b in zip(ours, few, strict=True))
    result.say(f"{watched:,} addresses watched; with {FEW} it takes {less_time:.2f} times less")
    calls = ours[-1].answer
    each = ", ".join(f"{method} {count / looks:.1f}" for method, count in sorted(calls.items()))
    result.say(f"{calls.total() / looks * LOOKS_AN_HOUR:,.0f} calls an hour (a look every 4 s): each look {each}")
    milliseconds = sorted(round(one * 1000) for one in times)
    result.say(
        f"from a mined payment to its invoice page (a look every second): {milliseconds[0]} to {milliseconds[-1]} ms,"
        f" median {round(median(milliseconds))} ms of {len(milliseconds)}"
    )
    result.say(f"peak memory with {FEW} addresses {memory(middle(few))}, with {watched:,} {memory(result.ours)}")
    return result


def follow(url: str, database_url: str, token: Address, looks: int) -> Callable[[], Counter[str]]:
    """The watcher, one tick for every two blocks. Its work returns the calls that it made, by method."""
    database, clock, watched = Database(database_url), ManualClock(NOW), WatchList()
    calls: Counter[str] = Counter()

    def count(method: str, outcome: str, number: int) -> None:
        calls[method] += number

    chain = Chain(31337, "bench", (Token(31337, "USDC", token, 6),), Finality(12, "finalized"))
    watcher = Watcher(database, clock, chain, Pool([HttpNode(url, observer=count)], clock), watched, no_fence)
    watcher.sync()
    payer = Payer(url, token)

    def work() -> Counter[str]:
        calls.clear()
        for _ in range(looks):
            payer.two_blocks()
            done = watcher.tick()
            require(done.blocks == 2 and done.behind == 0, f"a look saw {done}")
        return Counter(calls)

    return work


def poll(url: str, token: Address, looks: int) -> Callable[[], int]:
    """What anybody would write: the newest header, then each new block's header and logs by its hash."""
    session, payer = Connections(), Payer(url, token)

    def ask(method: str, *params: Any) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"content-type": "application/json"}
        return orjson.loads(session.post(url, data=body, headers=headers, timeout=60).content)["result"]

    def work() -> int:
        last, logs = int(ask("eth_getBlockByNumber", "latest", False)["number"], 16), 0
        for _ in range(looks):
            payer.two_blocks()
            head = int(ask("eth_getBlockByNumber", "latest", False)["number"], 16)
            for number in range(last + 1, head + 1):
                block = ask("eth_getBlockByNumber", hex(number), False)
                wanted = {"address": [token], "topics": [TRANSFER_TOPIC], "blockHash": block["hash"]}
                logs += len(ask("eth_getLogs", wanted))
            last = head
        require(logs == looks, f"{logs} logs in {looks} looks")
        return logs

    return work


class Payer:
    """Makes two blocks with one transfer of a stranger to a stranger in them."""

    def __init__(self, url: str, token: Address) -> None:
        self._node, self._token = Node(url), token

    def two_blocks(self) -> None:
        self._node.mint(self._token, "0x" + "77" * 20, 1)
        self._node.mine(1)


def to_the_page(database_url: str, folder: Path, payments: int) -> list[float]:
    """Seconds from the block that confirms a payment to the page that tells it."""
    folder.mkdir()
    times = []
    with world(database_url, folder, chain={"confirmations": 1}) as made:
        (invoice,) = issued(made, "acme")
        assert invoice.address is not None
        text = settings(folder, made, "http://127.0.0.1:9", made.clock.now())
        text = re.sub(r"(?s)\[\[metering.*?(?=\[wallet\])", "", text).replace("confirmations = 3", "confirmations = 1")
        made.app.close()
        with daemon(folder, text) as running, httpx.Client(timeout=10) as client:
            running.wait_ready()
            page = f"{running.url}/pay/{invoice.pay_token}/status"
            for number in range(1, payments + 1):
                made.node.transfer(made.usdc, invoice.address, usd("1.00"))
                started = time.monotonic()
                while client.get(page).json()["amount_paid"] != f"{number}.00":
                    require(time.monotonic() - started < 60, "the page does not tell the payment")
                    time.sleep(0.02)
                times.append(time.monotonic() - started)
            running.stop()
    return times
