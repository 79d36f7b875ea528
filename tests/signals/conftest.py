"""The world of the web's tests: an application with invoices, payments and a chain that is written down."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.bootstrap import App
from billing.core.clock import ManualClock
from tests.factories import at
from tests.web.client import application
from tests.web.scene import Scene


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    clock = ManualClock(at(24, day=31))
    app: App = application(database_url, tmp_path, clock)
    yield Scene(app, clock)
    app.close()
