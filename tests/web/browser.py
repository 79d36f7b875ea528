"""A browser without a screen: it keeps cookies, follows no redirect by itself, and sends forms with the tokens of the page before."""

import asyncio
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI

from billing.access.login import Holder
from billing.bootstrap import App
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from billing.web.forms import MEDIA_TYPE

_HIDDEN = re.compile(r'<input type="hidden" name="(form_token|once)" value="([^"]*)">')


class Browser:
    """One person's browser. `tokens` are those of the forms of the page that was looked at last."""

    def __init__(self, api: FastAPI, client: tuple[str, int] = ("127.0.0.1", 1)) -> None:
        self.api, self._client = api, client
        self.cookies = httpx.Cookies()
        self.tokens: dict[str, str] = {}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.api, raise_app_exceptions=False, client=self._client)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(go())

    def get(self, path: str, **options: Any) -> httpx.Response:
        answer = self.ask("GET", path, **options)
        if found := dict(_HIDDEN.findall(answer.text)):
            self.tokens = {name: unescape(value) for name, value in found.items()}
        return answer

    def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        """Send a form, with the tokens of the last page unless `fields` has others."""
        own = {"Origin": "http://test", "Sec-Fetch-Site": "same-origin", "Content-Type": MEDIA_TYPE}
        content = urlencode({**self.tokens, **(fields or {})}, doseq=True)
        return self.ask("POST", path, content=content, headers={**own, **options.pop("headers", {})}, **options)

    def text(self, path: str) -> str:
        """The page; it must be a 200."""
        answer = self.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.text

    def enter(self, link: str) -> httpx.Response:
        """Open a link and press its button."""
        path = httpx.URL(link).path
        self.get(path)
        answer = self.post(path)
        self.tokens = {}
        return answer


def browser(app: App, role: KeyRole, *, tenant: str = "", owner: str = "", name: str = "Ada") -> Browser:
    """A browser that is signed in."""
    one = Browser(create_app(app))
    link = app.doorkeeper.issue(Holder(name, role, tenant, owner), minutes=60, actor="test")
    answer = one.enter(link)
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
    return one
