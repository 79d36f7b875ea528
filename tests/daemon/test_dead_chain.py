"""A chain whose endpoint hangs delays no other one: two chains in the real scheduler, on a real node."""

import socket
from pathlib import Path
from typing import Any

from billing.daemon.jobs import Runner
from billing.daemon.schedule import RoleName, jobs
from billing.invoicing.lifecycle import InvoiceStatus
from tests.daemon.test_jobs import Everything
from tests.parts import wait_for
from tests.world import issued, usd, world


def test_a_payment_counts_while_another_chain_hangs(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path) as made, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)  # connections are taken, and nothing is ever said
        (invoice,) = issued(made, "acme")
        assert invoice.address is not None
        (chain,) = made.settings.chains
        dead: dict[str, Any] = {
            "chain_id": 1,
            "name": "dead",
            "rpc_urls": [f"http://127.0.0.1:{silent.getsockname()[1]}"],
            "timeout_seconds": 2,
        }
        hanging = chain.model_copy(update=dead)
        made.settings = made.settings.model_copy(update={"chains": [hanging, chain]})
        app = made.again()
        runner = Runner(jobs(app, frozenset({RoleName.WATCHER})), Everything())  # type: ignore[arg-type]
        runner.start()
        try:
            for amount in ("50.00", "150.00"):
                made.node.transfer(made.usdc, invoice.address, usd(amount))
                made.node.mine(4)
                before = made.invoice(invoice.number).paid
                wait_for(lambda before=before: made.invoice(invoice.number).paid > before, "the payment")  # type: ignore[misc]
            assert made.invoice(invoice.number).status is InvoiceStatus.PAID
            wait_for(lambda: runner.last.get("watch dead", {}).get("outcome") == "failed", "the dead chain's failure")
            assert not runner.failed.is_set()
        finally:
            runner.stop()
