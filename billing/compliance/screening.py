"""Lists of sanctioned addresses, as files hold them, and what they say of an address. Pure."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from billing.core.errors import Invalid
from billing.core.onchain import Address

LINES_MAX: Final = 1_000_000
SHOWN_MAX: Final = 60
_BOM: Final = b"\xef\xbb\xbf"
_LINE: Final = re.compile(r"(0[xX][0-9a-fA-F]{40})(?:[\t ].*)?")
"""An address, and after a tab or a space what the list's maker says about it: OFAC lists name the coins there. Capitals
prove nothing: lists hold addresses in every spelling, so a checksum is not asked for."""


@dataclass(frozen=True, slots=True)
class SanctionsList:
    """One version of a list. `digest` is the SHA-256 of its addresses in order, whatever the file's comments and spelling."""

    name: str
    addresses: frozenset[Address]
    dated: datetime

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(sorted(self.addresses)).encode()).hexdigest()

    def older_than(self, days: int, now: datetime) -> bool:
        return now - self.dated > timedelta(days=days)


def parse(file: str, content: bytes) -> frozenset[Address]:
    """The addresses of a list file: one a line; blank lines and `#` comments are passed over. Raises Invalid, naming file and
    line, for anything else: half a list must not look like a whole one."""
    try:
        text = content.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        broken = content.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{file} line {broken} is no UTF-8 text") from None
    lines = re.split(r"\r\n|\n|\r", text)
    if len(lines) > LINES_MAX:
        raise Invalid(f"{file} has more than {LINES_MAX} lines")
    found = set()
    for number, raw in enumerate(lines, 1):
        line = raw.strip(" \t")
        if not line or line.startswith("#"):
            continue
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise Invalid(
                f"{file} line {number}: {line[:SHOWN_MAX]!r} is no address", remedy="0x and 40 hex digits, one a line"
            )
        found.add(Address(matched[1].lower()))
    if not found:
        raise Invalid(f"{file} holds no address", remedy="an empty list is taken for a broken one; leave it out")
    return frozenset(found)


class Part(StrEnum):
    """What an address is in a payment, or wants to be."""

    SENDER = "sender"
    SIGNER = "signer of the transaction"
    PAYEE = "payee"


@dataclass(frozen=True, slots=True)
class Hit:
    """`by` names the list, or the oracle, that has the address."""

    address: Address
    part: Part
    by: str

    def __str__(self) -> str:
        return f"the {self.part} is on {self.by}"


@dataclass(frozen=True, slots=True)
class Screened:
    """What the screening of a payment said, and by which versions. `signer` is empty where a list had the sender already."""

    sender: Address
    signer: str
    hit: Hit | None
    by: tuple[str, ...] = ()


def listed(lists: Iterable[SanctionsList], wanted: Sequence[tuple[Address, Part]]) -> Hit | None:
    """The first of some addresses that is on a list."""
    kept = list(lists)
    return next((Hit(a, part, f"list {one.name}") for a, part in wanted for one in kept if a in one.addresses), None)
