"""Worlds for the tests of the web."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.bootstrap import App
from billing.core.clock import ManualClock
from tests.factories import at
from tests.web.client import application
from tests.web.scene import Scene
from tests.world import World, world


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(24, day=31))


@pytest.fixture
def app(database_url: str, tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    """The application on a fresh database, without a node."""
    made = application(database_url, tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def scene(app: App, clock: ManualClock) -> Scene:
    return Scene(app, clock)


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world with a node."""
    with world(database_url, tmp_path) as one:
        yield one
