"""Payments that are made while an endpoint does everything that endpoints do wrong: right in the end, each once, and counted."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import psycopg
import pytest
from sqlalchemy import make_url, text

from billing.core.errors import StablemeterError
from billing.invoicing.invoice import Invoice
from billing.telemetry import metrics
from tests.chain.proxy import (
    HTML,
    LATER,
    Fault,
    Proxy,
    Reply,
    always,
    cut,
    each,
    error,
    for_logs,
    is_logs,
    lagging,
    length,
    proxied,
    refused,
)
from tests.world import World, issued, usd, world

SOMEBODY = "0x" + "0" * 24 + "99" * 20
TOO_LARGE: dict[str, Fault] = {
    f"too large: {message}": refused(code, message)
    for code, message in (
        (-32005, "query returned more than 10000 results"),
        (-32005, "query returned more than 10000 results. Try with this block range [0x9, 0x2]."),
        (-32602, "Log response size exceeded. Based on your parameters, this block range should work: [0x0, 0x1]"),
        (-32600, "Under the free tier plan, you can make eth_getLogs requests with up to a 10 block range"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32000, "exceed maximum block range: 5000"),
        (-32000, "block range is too wide"),
        (-32000, "requested too many blocks from 1 to 3, maximum is set to 2"),
        (-32000, "query timeout exceeded"),
        (-32000, "logs matched by query exceeds limit of 10000"),
        (-32701, "Please specify an address or limit the block range"),
        (-32008, "response is too big"),
        (-32020, "backend response too large"),
        (-32062, "block range is too large"),
        (35, "ranges over 10000 blocks are not supported on freetier"),
        (-32000, "query exceeds max results 20000, retry with the range 1-2"),
        (-32603, "request timed out"),
        (-32600, "eth_getLogs and eth_newFilter are limited to a 1000 blocks range"),
    )
}
FAULTS: dict[str, tuple[Fault, str]] = {
    **{name: (fault, "too_large") for name, fault in TOO_LARGE.items()},
    "too large, as 400": (refused(-32602, "block range too large", 400), "too_large"),
    "too large, as 413": (
        lambda call, _: Reply(HTML, 413) if is_logs(call) and length(call) > 2 else None,
        "too_large",
    ),
    "too large, in words that nobody knows": (
        refused(-32000, "maximum number of requested blocks is 2"),
        "unavailable",
    ),
    "rest in seconds": (always(Reply(b"", 429, {"Retry-After": "9"})), "busy"),
    "rest until a time": (always(Reply(b"", 429, {"Retry-After": LATER})), "busy"),
    "rest with 503": (always(Reply(HTML, 503, {"Retry-After": "9"})), "busy"),
    "too many requests": (always(Reply(b"slow down", 429)), "unavailable"),
    "a limit of rate in a good answer": (
        error(-32005, "daily request count exceeded, request rate limited"),
        "unavailable",
    ),
    "compute units": (error(429, "Your app has exceeded its compute units per second capacity"), "unavailable"),
    "500": (always(Reply(b"{}", 500)), "unavailable"),
    "502": (always(Reply(HTML, 502)), "unavailable"),
    "hangs": (always(Reply(hang=True)), "unavailable"),
    "drips": (always(Reply(b"{" * 200, drip=True)), "unavailable"),
    "breaks off": (always(Reply(b'{"jsonrpc"', promised=4_000)), "unavailable"),
    "half a JSON": (cut, "untrusted"),
    "HTML": (always(Reply(HTML)), "untrusted"),
    "nothing": (always(Reply(b"")), "untrusted"),
    "binary": (always(Reply(bytes(range(256)))), "untrusted"),
    "another answer": (always(Reply(b'{"jsonrpc":"2.0","id":999999,"result":"0x1"}')), "untrusted"),
    "no result": (always(Reply(b'{"jsonrpc":"2.0","id":1}')), "untrusted"),
    "pruned": (refused(-32000, "missing trie node: history has been pruned", most=0), "unavailable"),
    "lags": (lagging(5), ""),
    "logs of another branch": (for_logs(each(blockHash="0x" + "13" * 32)), ""),
    "logs of another block": (for_logs(each(blockNumber="0x1")), ""),
    "each log twice": (for_logs(lambda logs: [*logs, *logs]), ""),
    "logs that the block cannot hold": (
        for_logs(lambda logs: [{**one, "topics": [*one["topics"][:1], SOMEBODY, *one["topics"][2:]]} for one in logs]),
        "",
    ),
    "logs of another token": (for_logs(each(address="0x" + "77" * 20)), ""),
    "removed logs": (for_logs(each(removed=True)), ""),
    "no amount": (for_logs(each(data="0x")), ""),
    "no hex": (for_logs(each(data="0x" + "zz" * 32)), ""),
    "logs that are no list": (for_logs(lambda logs: {"logs": logs}), ""),
    "logs that are no objects": (for_logs(lambda logs: [1, None]), ""),
}


class Site:
    def __init__(self, made: World, proxy: Proxy, invoice: Invoice) -> None:
        self.made, self.proxy, self.invoice = made, proxy, invoice

    def paid(self) -> int:
        return self.made.invoice(self.invoice.number).paid

    def follow(self) -> bool:
        """What the daemon does; False when no endpoint has good answers. Time goes on, so that endpoints are rested."""
        self.made.clock.move_to(self.made.clock.now() + timedelta(minutes=3))
        try:
            self.made.follow()
        except StablemeterError:
            return False
        return True


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all faults, one after the other."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE faults TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    url = make_url(postgres).set(database="faults").render_as_string(hide_password=False)
    with world(url, tmp_path_factory.mktemp("faults")) as made, proxied(made.url) as proxy:
        (chain,) = made.settings.chains
        changed = chain.model_copy(update={"rpc_urls": [proxy.url], "timeout_seconds": 1})
        made.settings = made.settings.model_copy(update={"chains": [changed]})
        made.again()
        (invoice,) = issued(made, "acme")
        yield Site(made, proxy, invoice)


def outcomes() -> Counter[str]:
    found: Counter[str] = Counter()
    for metric in metrics.RPC_CALLS.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                found[sample.labels["outcome"]] += int(sample.value)
    return found


amounts = count(100)


@pytest.mark.parametrize("name", FAULTS)
def test_a_payment_is_right_in_the_end_and_the_fault_is_counted(site: Site, name: str) -> None:
    made, proxy = site.made, site.proxy
    fault, outcome = FAULTS[name]
    before, counted, played = site.paid(), outcomes(), proxy.played
    units = next(amounts)
    assert site.invoice.address is not None
    proxy.fault = fault
    made.node.transfer(made.usdc, site.invoice.address, units * 10_000)
    made.node.mine(40)
    for _ in range(2):
        site.follow()
    made.node.mine(1)
    site.follow()
    assert proxy.played > played, "the fault was played"
    assert site.paid() in (before, before + units)
    proxy.fault = None
    assert site.follow() and site.paid() == before + units
    if outcome:
        assert outcomes()[outcome] > counted[outcome]
    with made.app.database.transaction() as session:
        stopped = session.execute(text("SELECT stopped FROM chain_state")).scalar_one()
        twice = session.execute(text("SELECT count(*) - count(DISTINCT tx_hash) FROM transfer")).scalar_one()
    assert (stopped, twice) == ("", 0)


def test_after_all_that_books_and_chain_agree(site: Site) -> None:
    site.made.settle(40)
    assert site.made.findings() == []


def test_with_a_healthy_endpoint_beside_it_no_fault_delays_a_payment(site: Site) -> None:
    """The same site with two endpoints: the first hangs, lies or refuses, and the payment counts in the same tick."""
    made, proxy = site.made, site.proxy
    (chain,) = made.settings.chains
    both = chain.model_copy(update={"rpc_urls": [proxy.url, made.url]})
    made.settings = made.settings.model_copy(update={"chains": [both]})
    made.again()
    assert site.invoice.address is not None
    for name in ("502", "half a JSON", "each log twice", "rest in seconds", "pruned", "HTML"):
        before, proxy.fault = site.paid(), FAULTS[name][0]
        made.node.transfer(made.usdc, site.invoice.address, usd("1.00"))
        made.node.mine(3)
        assert site.follow() and site.paid() == before + 100, name
    proxy.fault = None
