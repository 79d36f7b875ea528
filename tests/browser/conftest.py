"""One browser for this room, one context a tab, one served application for pages that only need to be looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import make_url

from billing.web.app import create_app
from tests.browser.desks import Desks, desks
from tests.browser.gallery import Gallery, gallery
from tests.browser.serving import Tab, tab
from tests.parts import program
from tests.web.serving import served

Open = Callable[..., Tab]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Open]:
    """Opens tabs, and closes them after the test. Nothing may go wrong in one unseen."""
    opened: list[Tab] = []

    def make(base: str, **options: Any) -> Tab:
        opened.append(tab(browser, base, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.page.context.close()
        assert not one.foreign, "a page asks somebody else"


@contextmanager
def fresh_database(postgres: str, name: str) -> Iterator[str]:
    """For what lives longer than a test."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stablemeter_template")
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="package")
def shown(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Invoices in every state, served; nothing changes in it."""
    folder: Path = tmp_path_factory.mktemp("gallery")
    with fresh_database(postgres, "gallery") as url, gallery(url, folder) as made, served(made.api) as base:
        made.base = base
        yield made


@pytest.fixture(scope="package")
def behind(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """What is behind sign-in, served."""
    folder: Path = tmp_path_factory.mktemp("desks")
    with fresh_database(postgres, "desks") as url, desks(url, folder) as made, served(create_app(made.app)) as base:
        made.base = base
        yield made
