"""What a private key looks like. Stablemeter never needs one, so no setting may hold one."""

import re
from typing import Any, Final

_SECRET_FIELDS: Final = ("headers", "url", "rpc_urls", "password", "bearer_token")
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


def refuse_private_in(data: Any, path: tuple[str, ...] = ()) -> None:
    """The same for every text in tables, lists and secrets (what has a `get_secret_value`)."""
    if isinstance(data, str):
        refuse_private(".".join(path), data)
    elif isinstance(data, dict):
        for name, value in data.items():
            refuse_private_in(value, (*path, str(name)))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            refuse_private_in(value, (*path, str(index)))
    elif hasattr(data, "get_secret_value"):
        refuse_private_in(data.get_secret_value(), path)
