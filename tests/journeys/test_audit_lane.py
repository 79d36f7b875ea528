"""A payment that an endpoint keeps silent about, on a real node: found by the audit lane, credited, books and chain agree."""

from pathlib import Path

import httpx
import orjson

from billing.invoicing.lifecycle import InvoiceStatus
from tests.parts import NO_TLS, http_server
from tests.world import issued, usd, world


def test_a_payment_that_the_first_endpoint_leaves_out_is_found_and_pays(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path) as made:
        asked: list[str] = []

        def forgetful(path: str, body: bytes) -> tuple[int, bytes]:
            """Answers as the node does, and without logs: what nodes behind a load balancer do now and then."""
            answer = httpx.post(
                made.url, content=body, headers={"content-type": "application/json"}, verify=NO_TLS
            ).content
            call = orjson.loads(body)
            if isinstance(call, dict) and call["method"] == "eth_getLogs":
                asked.append(call["method"])
                answer = orjson.dumps({**orjson.loads(answer), "result": []})
            return 200, answer

        with http_server(forgetful) as liar:
            (chain,) = made.settings.chains
            urls = chain.model_copy(update={"rpc_urls": [liar, made.url]})
            made.settings = made.settings.model_copy(update={"chains": [urls]})
            made.again()
            (invoice,) = issued(made, "acme")
            assert invoice.address is not None
            made.node.transfer(made.usdc, invoice.address, usd("200.00"))
            made.settle(40)
            assert asked and made.invoice(invoice.number).status is InvoiceStatus.OPEN, "nobody told us"
            done = made.app.proofreaders[31337].tick()
            assert (done.found, done.doubted) == (1, 0)
            made.follow()
            assert made.invoice(invoice.number).status is InvoiceStatus.PAID
            while made.app.proofreaders[31337].tick().behind:
                pass
            assert made.findings() == []
