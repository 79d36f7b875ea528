"""What is known of large networks, as data in `presets.toml`; and the networks on which our addresses would be wrong."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("presets.toml")


@cache
def _read() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text())


def other_create2() -> frozenset[int]:
    """Ids of chains that compute contract addresses in another way: a forwarder could never be deployed at the address that
    was paid."""
    return frozenset(_read()["other_create2"])


def presets() -> Mapping[str, Mapping[str, Any]]:
    """{name: keys of a chain's settings}."""
    return {name: one for name, one in _read().items() if isinstance(one, dict)}


def filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """A chain's settings with what its preset says where they are silent. Raises ValueError for an unknown preset."""
    name = given.get("preset")
    if not name:
        return dict(given)
    known = presets().get(str(name))
    if known is None:
        raise ValueError(f"there is no preset {str(name)[:40]!r}; there are {', '.join(presets())}")
    found = {"name": name, **known, **given}
    if given.get("confirmations") is not None and "finality" not in given:
        del found["finality"]
    return found
