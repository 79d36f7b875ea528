"""One application with an invoice in every state that a payer can meet, for pages that are only looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.invoicing.goodwill import Wish
from billing.invoicing.granter import Gift
from billing.invoicing.invoice import Invoice
from billing.tenants.registrar import TaxChange
from billing.tenants.tax import TaxKind, TaxRule
from billing.web.app import create_app
from tests.factories import at
from tests.web.client import USDC, WATCHED, application
from tests.web.scene import CHAIN, Scene
from tests.world import BOOK

USDT: Final = "0xcf7ed3acca5a467e9e704c703e8d87f634fb0fc9"
STATES: Final = (
    "waiting", "seen", "part", "paid", "over", "wrong", "void", "credit", "noted", "rich", "late", "north", "south",
)  # fmt: skip
"""The tenants. `rich` resells to north and south."""
AGREED: Final = """
[[override]]
tenant = "rich"
sku = "h100"
[[override.price]]
from = 2026-01-01
graduated = [{ up_to = 4, per_hour = "2.00" }, { per_hour = "1.50" }]
[[override]]
tenant = "north"
sku = "h100"
[[override.price]]
from = 2026-01-01
package = { hours = 4, price = "7.00" }
[[fee]]
code = "rack"
title = "Reserved rack"
tenant = "rich"
amount = "1200.00"
from = 2026-10-01
[[discount]]
code = "partner"
title = "Partner discount"
tenant = "rich"
percent = "10"
from = 2026-10-01
"""


@dataclass(repr=False)
class Gallery:
    """`base` is where it is served; `invoices` by the name of the tenant, which is that of the state."""

    app: App
    scene: Scene
    api: FastAPI
    invoices: dict[str, Invoice] = field(default_factory=dict)
    base: str = ""

    def pay(self, state: str) -> str:
        """The path of the page of an invoice."""
        return f"/pay/{self.invoices[state].pay_token}"


def chain(**more: Any) -> dict[str, Any]:
    """A chain with two tokens to choose from, and one that pays nothing."""
    return {
        "chain_id": CHAIN,
        "name": "base",
        "rpc_urls": ["http://127.0.0.1:1"],
        "confirmations": 3,
        "block_seconds": 2,
        "tokens": [
            {"symbol": "USDC", "address": USDC, "decimals": 6},
            {"symbol": "USDT", "address": USDT, "decimals": 6},
            {"symbol": "OUSD", "address": WATCHED, "decimals": 18, "listing": "watch"},
        ],
        **more,
    }


@contextmanager
def gallery(database_url: str, folder: Path) -> Iterator[Gallery]:
    clock = ManualClock(at(24, day=31))
    app = application(database_url, folder, clock, chains=[chain()], issuer={"name": "Brisbane GPU Cloud Pty Ltd"})
    scene = Scene(app, clock)
    made = Gallery(app, scene, create_app(app))
    try:
        _prepare(made)
        made.invoices = {one.tenant: one for one in scene.issue()}
        _happen(made)
        yield made
    finally:
        app.close()


def _prepare(made: Gallery) -> None:
    app, scene = made.app, made.scene
    scene.meter(*STATES)
    with app.database.transaction() as session:
        session.execute(text("UPDATE tenant SET terms_days = 1 WHERE slug = 'late'"))
        customers = "slug IN ('north', 'south')"
        session.execute(
            text(f"UPDATE tenant SET reseller_id = (SELECT id FROM tenant WHERE slug = 'rich') WHERE {customers}")
        )
    app.rater.apply(BOOK + AGREED, actor="test")
    app.registrar.set_tax("rich", TaxChange(TaxRule(TaxKind.STANDARD, "GST", Decimal("0.1"))), actor="test")
    app.granter.grant(Gift("credit", "20.00", "welcome"), actor="test")
    app.granter.grant(Gift("rich", "100.00", "welcome"), actor="test")


def _happen(made: Gallery) -> None:
    scene, invoices = made.scene, made.invoices
    scene.app.issuer.void(invoices["void"].number, reason="wrong price", actor="test")
    scene.app.noter.credit(invoices["noted"].number, Wish(1, 500), reason="slow network", actor="test")
    scene.pay(invoices["part"], 7_123_456)
    scene.pay(invoices["paid"], 20_000_000)
    scene.pay(invoices["over"], 25_000_000)
    scene.mine(12)
    scene.clock.advance(timedelta(days=2))
    scene.mine(1)
    scene.pay(invoices["wrong"], 7 * 10**18, token=WATCHED)
    scene.mine(3)
    scene.pay(invoices["seen"], 20_000_000)
