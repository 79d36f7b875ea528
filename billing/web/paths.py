"""Which paths people open in a browser, and which of them are behind sign-in."""

from typing import Final

AREAS: Final = ("portal", "owner", "finance", "operations", "account")
"""The first parts of the paths of pages that need a session. A new area is named here, and in desk/nav.py."""

_DOOR: Final = ("", "home", "login", "logout")
_PROGRAMS: Final = ("/status", "/events", "/document")


def is_desk(path: str) -> bool:
    """Pages of people who sign in, with the door itself."""
    return path.partition("?")[0].split("/", 2)[1:2] != [] and path.split("/", 2)[1] in (*AREAS, *_DOOR)


def is_pay(path: str) -> bool:
    """Pages of whoever has an invoice's link."""
    return path.startswith("/pay/") and not path.endswith(_PROGRAMS)


def needs_rule(path: str) -> bool:
    """Whether nothing is served there without a rule about who may see it: the API, and every page behind sign-in."""
    return path.startswith("/api/v1/") or path.split("/", 2)[1] in (*AREAS, "home", "logout")
