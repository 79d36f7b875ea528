"""The real application on loopback, and Debian's Chromium in front of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.parts import wait_for

AXE: Final = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
GRAVE: Final = ("serious", "critical")


@contextmanager
def served(api: FastAPI) -> Iterator[str]:
    """Its URL, while it is served from a thread as the daemon serves it."""
    config = uvicorn.Config(
        api, host="127.0.0.1", port=0, log_level="critical", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, "the web server")
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@dataclass
class Tab:
    """A page in a context of its own. It remembers what a reader would never see: errors, and whom the page asked."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    @property
    def foreign(self) -> list[str]:
        return [one for one in self.requests if not one.startswith(self.base + "/")]

    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def findings(self, *rules: str) -> list[str]:
        """What axe-core finds grave, each with the first place: by all of its rules, or by these. The library is read from
        disk; no page loads it."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found: list[dict[str, Any]] = self.page.evaluate(
            "options => axe.run(document, options).then(found => found.violations)",
            {"resultTypes": ["violations"], "preload": False, **({"runOnly": list(rules)} if rules else {})},
        )
        return [
            f"{one['id']}: {one['nodes'][0]['target']}: {one['nodes'][0]['failureSummary']}"
            for one in found
            if one["impact"] in GRAVE
        ]


def tab(browser: Browser, base: str, **options: Any) -> Tab:
    """A new page; `options` are those of a Playwright context."""
    context: BrowserContext = browser.new_context(**{"viewport": {"width": 375, "height": 812}, **options})
    context.set_default_timeout(20_000)
    made = Tab(context.new_page(), base)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            made.errors.append(message.text)

    made.page.on("console", said)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.on("request", lambda request: made.requests.append(request.url))
    return made
