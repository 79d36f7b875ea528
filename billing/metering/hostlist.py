"""Host lists as Slurm writes them: `gpu[001-003,007],login1` are five hosts."""

import re
from typing import Final

from billing.core.errors import Invalid

HOSTS_MAX: Final = 65_536
"""Of one list: a typing mistake must not fill the memory."""

_PART: Final = re.compile(r"([^\[\],]*)(?:\[([^\[\]]*)\])?")
_RANGE: Final = re.compile(r"(\d{1,12})(?:-(\d{1,12}))?")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


def expand(text: str) -> list[str]:
    """The hosts of a list, in order, each once. Raises Invalid for anything that is no list."""
    hosts: dict[str, None] = {}
    at = 0
    while at <= len(text):
        names, at = _names(text, at)
        for name in names:
            if not _HOST.fullmatch(name):
                raise Invalid(f"{text[:80]!r} is no list of hosts", remedy="write it like node[01-16,20],login1")
            hosts[name] = None
        if len(hosts) > HOSTS_MAX:
            raise _too_many(text)
    return list(hosts)


def _names(text: str, at: int) -> tuple[list[str], int]:
    """The hosts of the entry that begins at `at`, and where the next one begins."""
    names = [""]
    while True:
        match = _PART.match(text, at)
        assert match is not None
        at = match.end()
        numbers = _numbers(match.group(2), text) if match.group(2) is not None else [""]
        if len(names) * len(numbers) > HOSTS_MAX:
            raise _too_many(text)
        names = [name + match.group(1) + number for name in names for number in numbers]
        if at == len(text) or text[at] == ",":
            return names, at + 1
        if match.end() == match.start():  # a bracket without its partner
            raise Invalid(f"{text[:80]!r} is no list of hosts", remedy="write it like node[01-16,20],login1")


def _numbers(inside: str, text: str) -> list[str]:
    numbers: list[str] = []
    for part in inside.split(","):
        match = _RANGE.fullmatch(part)
        if match is None or int(match.group(2) or match.group(1)) < int(match.group(1)):
            raise Invalid(f"{text[:80]!r} has the range {part[:40]!r}", remedy="write it like 001-016")
        low, high = match.group(1), match.group(2) or match.group(1)
        if int(high) - int(low) >= HOSTS_MAX:
            raise _too_many(text)
        numbers += [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
    return numbers


def _too_many(text: str) -> Invalid:
    return Invalid(f"{text[:80]!r} names more than {HOSTS_MAX} hosts")
