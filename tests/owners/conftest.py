"""A world of invoices and payments without a node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.core.clock import ManualClock
from tests.factories import at
from tests.web.client import application
from tests.web.scene import Scene


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    clock = ManualClock(at(24, day=31))
    app = application(database_url, tmp_path, clock)
    yield Scene(app, clock)
    app.close()
