"""Tabs of Debian's Chromium, and what must never happen in one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

AXE: Final = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
GRAVE: Final = ("serious", "critical")


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

    def overflow(self, part: str = "html") -> int:
        """How many pixels the page, or the first such part of it, is wider than its window. Nothing, where there is no such part."""
        measure = (
            "part => { const one = document.querySelector(part); return one ? one.scrollWidth - one.clientWidth : 0 }"
        )
        found: int = self.page.evaluate(measure, part)
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
