"""Shares from a file: all of them, or none."""

import pytest

from billing.core.errors import Invalid
from billing.owners import store
from billing.owners.share import Owner, share_text
from tests.web.scene import Scene

HEADER = "owner,gpu,host,share,from,to\r\n"


@pytest.fixture
def owned(scene: Scene) -> Scene:
    scene.meter("acme", "beta")
    for slug in ("north", "south"):
        scene.app.owner_registrar.add(Owner(slug, slug), actor="test")
    return scene


def held(scene: Scene) -> list[tuple[str, str, str]]:
    with scene.app.database.transaction() as session:
        return sorted((one.owner, one.uuid, share_text(one.parts)) for one in store.shares(session))


def read(scene: Scene, *lines: str, dry_run: bool = False) -> tuple[int, int]:
    content = ("\ufeff" + HEADER + "".join(f"{line}\r\n" for line in lines)).encode()
    done = scene.app.share_importer.read(content, dry_run=dry_run, actor="test")
    return done.lines, done.gpus


def test_a_file_as_a_spreadsheet_writes_it(owned: Scene) -> None:
    lines = ("north,GPU-acme,,1/3,2026-10-01,", "south,,n1,50%,2026-10-01,2027-01-01")
    assert read(owned, *lines, dry_run=True) == (2, 3)
    assert held(owned) == []
    assert read(owned, *lines) == (2, 3)
    assert held(owned) == [("north", "GPU-acme", "1/3"), ("south", "GPU-acme", "1/2"), ("south", "GPU-beta", "1/2")]
    with pytest.raises(Invalid, match="line 2: of GPU GPU-acme 7/6 would be owned"):
        read(owned, lines[0])


def test_one_wrong_line_gives_nothing_and_every_wrong_line_is_named(owned: Scene) -> None:
    with pytest.raises(Invalid) as caught:
        read(
            owned,
            "north,GPU-acme,,1,2026-10-01,",
            "nobody,GPU-beta,,1,2026-10-01,",
            "north,GPU-none,,1,2026-10-01,",
            "south,GPU-acme,,1/3,2026-10-05,",
        )
    for words in ("line 3: there is no owner nobody", "line 4: no GPU is known", "line 5: of GPU GPU-acme 4/3"):
        assert words in str(caught.value)
    assert held(owned) == []
    with pytest.raises(Invalid) as caught:
        read(
            owned,
            "north,GPU-acme,,1/17,2026-10-01,",
            "north,,,1,2026-10-01,",
            "north,GPU-acme,,1,soon,",
            ",n1,,1,2026-10-01,",
        )
    for words in ("line 2: the share 1/17", "line 3: a share needs", "line 4: 'soon'", "line 5: no owner"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", HEADER.encode(), b"owner,gpu\r\nx,y\r\n", b"\xff\xfe", b"owner,share,from\r\nnorth,1,2026"]
)
def test_what_is_no_such_file_is_refused(owned: Scene, content: bytes) -> None:
    with pytest.raises(Invalid):
        owned.app.share_importer.read(content, actor="test")
