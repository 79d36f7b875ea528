"""A desk for each test."""

from collections.abc import Iterator

import pytest

from tests.reconciliation.desk import Desk, Site


@pytest.fixture(scope="session")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(postgres, tmp_path_factory.mktemp("desk"))
    made.build()
    return made


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    with site.copy() as one:
        yield one
