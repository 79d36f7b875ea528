"""Private keys in settings: refused, and never shown."""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import SecretStr

_SECRET_FIELDS: Final = ("headers", "url", "rpc_urls")
_PRIVATE: Final = (
    (re.compile(r"\s*[xtyzuv]prv[0-9A-Za-z]{20,}\s*"), "an extended private key"),
    (re.compile(r"\s*0x[0-9a-fA-F]{64}\s*"), "what looks like a private key (0x and 64 hex digits)"),
    (re.compile(r"\s*(?:[a-z]{3,8}\s+){11,23}[a-z]{3,8}\s*"), "what looks like a recovery phrase"),
)
_BARE_HEX: Final = re.compile(r"\s*[0-9a-fA-F]{64}\s*")


def refuse_private(path: str, value: str) -> None:
    """Raises ValueError, without the value, when a setting holds a private key."""
    for pattern, what in _PRIVATE:
        if pattern.fullmatch(value):
            raise ValueError(f"{path} holds {what}; Stablemeter never needs one: remove it and treat it as exposed")
    secret = any(part in _SECRET_FIELDS for part in path.split("."))
    if not secret and _BARE_HEX.fullmatch(value):
        raise ValueError(f"{path} holds 64 hex digits, as a private key has; remove it and treat it as exposed")


def strings(data: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a tree of settings, and where it is."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from strings(value, (*path, str(name)))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from strings(value, (*path, str(index)))
    elif isinstance(data, SecretStr):
        yield path, data.get_secret_value()
