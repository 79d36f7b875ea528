"""What is known of large networks, as data in `presets.toml`; and the networks on which our addresses would be wrong."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

OTHER_CREATE2: Final = frozenset(
    {324, 300, 260, 270, 272, 232, 388, 626, 627, 2741, 11124, 50104, 531050104, 61166, 978658}
)
"""zkSync Era and chains of its kind (Lens, Cronos zkEVM, Abstract, Sophon, Treasure and test networks): they compute contract
addresses in another way, so a forwarder could never be deployed at the address that was paid."""


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """{name: keys of a chain's settings}."""
    return tomllib.loads(Path(__file__).with_name("presets.toml").read_text())


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
