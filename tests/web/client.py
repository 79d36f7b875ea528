"""A client that calls the application in this process, and small worlds to call it about."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from billing.bootstrap import App, build
from billing.core.clock import ManualClock
from billing.settings import Settings
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from tests.factories import at

USDC = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
WATCHED = "0x9fe46736679d2d9a65f0992f2272de9f3c7fa6e0"
TREASURY = "0xa0ee7a142d267c1f36714e4a8f75612f20a79720"


class Client:
    """Calls routes one after the other. `key` is sent as the bearer token. A bug is answered with 500, as in production."""

    def __init__(self, api: FastAPI, key: str = "") -> None:
        self.api, self.key = api, key

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= options.pop("headers", {})

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.api, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(go())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.ask("POST", path, json=body, **options)

    def json(self, path: str) -> Any:
        """The answer's JSON; it must be a 200."""
        answer = self.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


async def chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    """A body whose length nobody tells beforehand."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def application(database_url: str, folder: Path, clock: ManualClock | None = None, **settings: Any) -> App:
    """The application without a node: chain 31337 is configured, and nothing is ever asked of it."""
    chain = {
        "chain_id": 31337,
        "name": "anvil",
        "rpc_urls": ["http://127.0.0.1:1"],
        "confirmations": 3,
        "tokens": [
            {"symbol": "USDC", "address": USDC, "decimals": 6},
            {"symbol": "OUSD", "address": WATCHED, "decimals": 18, "listing": "watch"},
        ],
    }
    values: dict[str, Any] = {
        "data_dir": folder,
        "issuer": {"name": "Test GPU Pty Ltd"},
        "database": {"url": database_url},
        "wallet": {"treasury": TREASURY, "treasury_kind": "eoa", "archive": [str(folder / "archive")]},
        "chains": [chain],
    }
    return build(Settings(**{**values, **settings}), clock or ManualClock(at(24, day=31)))


def client(app: App, role: KeyRole, tenant: str = "", owner: str = "") -> Client:
    """A client with a new key of that role."""
    key = app.registrar.create_key(name=role.value, role=role, tenant=tenant, owner=owner, actor="test")
    return Client(create_app(app), key)
