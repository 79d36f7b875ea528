"""Asks every route of the API once, in a small world: what is asked and answered are the examples of its description.

`python -m tests.web.examples` writes them.
"""

import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from billing.core.clock import ManualClock
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.tenants.keys import KeyRole
from tests.factories import at
from tests.web.client import application
from tests.web.scene import Scene
from tests.web.test_auth import BODIES, QUERIES, RULES, asked, places, prepared

FILE: Final = Path(__file__).parents[2] / "billing" / "web" / "examples.json"
HASH: Final = "0x" + "12" * 32
CALL: Final = {
    "to": "0x5FbDB2315678afecb367f032d93F642f64180aa3", "value": "0", "data": "0xa9059cbb", "payee": "0x" + "12" * 20,
    "token": "0x5FbDB2315678afecb367f032d93F642f64180aa3", "amount_units": "25000000",
}  # fmt: skip
FLUSH: Final = {
    "to": "0x" + "fa" * 20, "value": "0", "data": "0x2f1d8e9a", "gas_limit": 230000, "gas_limit_estimated": 91000, "sender": "anyone",
    "treasury": "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720", "token": CALL["token"], "amount_units": "20000000",
    "deposits": [{"address": "0x" + "ad" * 20, "token": CALL["token"], "amount_units": "20000000", "invoice": "INV-000001"}],
}  # fmt: skip
BY_HAND: Final[dict[tuple[str, str], tuple[int, Any]]] = {
    ("GET", "/api/v1/plans/sweep/{chain_id}"): (200, {
        "chain_id": 31337, "final_block": 120, "gas_price": "1000000000", "cost_units": "91000000000000", "transactions": [FLUSH],
        "by_hand": [], "too_small": [], "not_worth_the_gas": [], "waits_for_a_person": [], "held": [], "different_on_chain": 0,
        "unreadable": 0,
    }),
    ("GET", "/api/v1/plans/refunds/{chain_id}"): (200, {
        "chain_id": 31337, "transactions": [{**CALL, "pays": "refund 1"}], "left_out": [], "treasury_lacks": [],
    }),
    ("GET", "/api/v1/plans/payouts/{chain_id}"): (200, {
        "chain_id": 31337, "transactions": [{**CALL, "pays": "acme"}], "left_out": [], "treasury_lacks": [],
    }),
    ("POST", "/api/v1/chains/{chain_id}/resume"): (200, {"stopped": "block 120 is another one than was seen"}),
    ("POST", "/api/v1/invoices"): (201, {"invoices": [
        {"number": "INV-000001", "tenant": "acme", "currency": "USD", "total": "20.00", "due_at": "2026-11-15T06:00:00Z"},
    ]}),
    ("POST", "/api/v1/refunds"): (201, {"booked": "25.00 USDC of transaction " + HASH}),
    ("POST", "/api/v1/refunds/{refund}/paid"): (200, {"booked": "25.00 USDC went to 0x" + "12" * 20}),
    ("POST", "/api/v1/owners/{slug}/paid"): (200, {"paid": "25.00 USD"}),
    ("POST", "/api/v1/notices/{notice}/replay"): (200, {"deliveries": 1}),
    ("POST", "/api/v1/deliveries/replay-dead"): (200, {"deliveries": 3}),
}  # fmt: skip
"""What this world cannot answer: it has no node, nothing to pay back, and leases that changed a moment ago."""


def record(scene: Scene) -> dict[str, dict[str, Any]]:
    """{method and path: what was asked and answered}, in the order of the routes."""
    invoice = prepared(scene)
    callers = {
        role: scene.client(role, "acme" if role is KeyRole.TENANT else "", "acme" if role is KeyRole.OWNER else "")
        for role in KeyRole
    }
    found = {}
    for (method, path), allowed in sorted(RULES.items()):
        caller = callers[next(role for role in KeyRole if role in allowed)]
        answer = asked(caller, method, path, invoice.number)
        status, told = answer.status_code, None
        if (method, path) in BY_HAND:
            status, told = BY_HAND[method, path]
        elif answer.headers.get("content-type") == "application/json":
            told = _short(orjson.loads(answer.content))
        found[f"{method} {path}"] = {
            "path": {
                name: _short(value) for name, value in places(path, invoice.number).items() if f"{{{name}}}" in path
            },
            "query": dict(parse_qsl(QUERIES.get(path, "").removeprefix("?"))),
            "body": _told(BODIES.get((method, path))),
            "status": status,
            "answer": told,
        }
    return found


def _told(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if body is None else {name: "letter 7" if one == "letter of KEY" else one for name, one in body.items()}


def _short(value: Any) -> Any:
    """The first item of each list stands for all; what is random in each world is not."""
    if isinstance(value, dict):
        return {name: "1a2b3c4d" if name == "prefix" else _short(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_short(one) for one in value[:1]]
    if isinstance(value, str):
        value = re.sub(r"/pay/[A-Za-z0-9_-]{20,}", "/pay/TOKEN", value)
        value = re.sub(r"smk_[0-9a-f]{8}_[A-Za-z0-9_-]+", "smk_1a2b3c4d_KEY", value)
        return re.sub(r"api:(\w+) \([0-9a-f]{8}\)", r"api:\1 (1a2b3c4d)", value)
    return value


def write(folder: Path) -> None:
    """On a database of its own under a folder."""
    url = embedded.start(folder / "pg")
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    clock = ManualClock(at(24, day=31))
    app = application(url, folder, clock)
    try:
        FILE.write_bytes(
            orjson.dumps(record(Scene(app, clock)), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    finally:
        app.close()


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sm-", ignore_cleanup_errors=True) as given:
        Path(given).chmod(0o755)
        write(Path(given))
    sys.exit(0)
