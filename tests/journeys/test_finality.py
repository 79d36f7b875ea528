"""A chain that goes on without becoming final, on a real node: what waits, what does not, and who is told."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from billing.cli.doctor import told_tag
from billing.core.errors import StablemeterError
from billing.invoicing.lifecycle import InvoiceStatus
from tests.chain.proxy import Fault, Honest, Proxy, Reply, proxied
from tests.world import World, issued, usd, world

LIMIT = 600


def standing() -> Fault:
    """`finalized` is for ever the block that it is now."""
    told: list[Any] = []

    def play(call: Any, honest: Honest) -> Reply | None:
        if not _is_tag(call):
            return None
        told.append(orjson.loads(honest())["result"])
        return Reply(orjson.dumps({"jsonrpc": "2.0", "id": call["id"], "result": told[0]}))

    return play


def refusing(call: Any, honest: Honest) -> Reply | None:
    """A node that does not know the word, or was just started."""
    if not _is_tag(call):
        return None
    error = {"code": -39001, "message": "finalized block not found"}
    return Reply(orjson.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}))


def _is_tag(call: Any) -> bool:
    return isinstance(call, dict) and call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[tuple[World, Proxy]]:
    settings = {"confirmations": 2, "final_confirmations": None, "finality_stall_seconds": LIMIT}
    with world(database_url, tmp_path, chain=settings) as made, proxied(made.url) as proxy:
        (chain,) = made.settings.chains
        changed = chain.model_copy(update={"rpc_urls": [proxy.url]})
        made.settings = made.settings.model_copy(update={"chains": [changed]})
        made.again()
        yield made, proxy


def states(made: World) -> set[str]:
    with made.app.database.transaction() as session:
        return set(session.execute(text("SELECT state FROM transfer")).scalars())


@pytest.mark.parametrize("fault", [standing, lambda: refusing], ids=["stands still", "is refused"])
def test_payments_count_by_depth_while_finality_stands_and_all_is_final_together_after(
    site: tuple[World, Proxy], fault: Any
) -> None:
    made, proxy = site
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    watcher = made.app.watchers[31337]
    proxy.fault = fault()
    made.follow()
    stalls = []
    for amount in ("80.00", "70.00", "50.00"):
        made.node.transfer(made.usdc, invoice.address, usd(amount))
        made.node.mine(100)
        made.clock.move_to(made.clock.now() + timedelta(seconds=LIMIT // 2))
        watcher.sync()
        stalls.append(watcher.tick().stalled)
        made.app.reconciler.tick()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and states(made) == {"confirmed"}
    assert [one and (one.height, one.seconds >= LIMIT) for one in stalls] == [None, ("final", True), ("final", True)]
    with pytest.raises(StablemeterError, match="finalized"):
        told_tag(watcher, "finalized", made.clock.now())
    proxy.fault = None
    made.settle(100)
    assert states(made) == {"final"} and watcher.tick().stalled is None
    assert made.findings() == []
