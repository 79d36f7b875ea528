"""An owner, its dated shares of physical GPUs, and the operator's fee."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from billing.core.errors import Invalid
from billing.core.period import Seconds, Span

WHOLE: Final = 720_720_000
"""The parts that a GPU has. Divides by 1 to 16, and by 10,000: every n-th up to a sixteenth, and every hundredth of a per
cent, is a whole number of parts."""

BASIS_POINTS: Final = 10_000

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
_FRACTION = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody whose servers the operator hosts. `slug` is its name in commands, accounts and URLs."""

    slug: str
    name: str
    legal_name: str = ""
    country: str = ""
    email: str = ""
    id: int = 0

    def __post_init__(self) -> None:
        if _SLUG.fullmatch(self.slug) is None:
            raise Invalid(f"owner {self.slug!r} is not a name", remedy="use a-z, 0-9 and -, at most 40 characters")
        if not 0 < len(self.name) <= 200 or not self.name.isprintable():
            raise Invalid(f"owner {self.slug} needs a printable display name of 1 to 200 characters")
        if len(self.legal_name) > 200 or not self.legal_name.isprintable():
            raise Invalid(f"owner {self.slug} needs a printable legal name of at most 200 characters")
        if self.country and not (len(self.country) == 2 and self.country.isalpha() and self.country.isupper()):
            raise Invalid(f"owner {self.slug}: country {self.country!r} is not a two-letter code", remedy="like AU")
        if self.email and _EMAIL.fullmatch(self.email) is None:
            raise Invalid(f"owner {self.slug}: {self.email!r} is not an e-mail address")


@dataclass(frozen=True, slots=True)
class Share:
    """During `span` an owner owns so many parts of a GPU (`WHOLE` is all of it)."""

    owner_id: int
    gpu_id: int
    parts: int
    span: Seconds


@dataclass(frozen=True, slots=True)
class Held:
    """A share as people see it."""

    id: int
    owner: str
    uuid: str
    host: str
    parts: int
    span: Span


@dataclass(frozen=True, slots=True)
class Fee:
    """From `since` (an epoch second) on the operator keeps so many basis points of what an owner's GPUs earn, until a fee
    with a later start. Of two with one start the one that was set last counts."""

    owner_id: int
    basis_points: int
    since: int

    def __post_init__(self) -> None:
        if not 0 <= self.basis_points <= BASIS_POINTS:
            raise Invalid(f"a fee of {self.basis_points} basis points is not between 0 and {BASIS_POINTS}")


def fee_at(fees: Sequence[Fee], at: int) -> int:
    """The basis points that hold at a moment; none before the first fee. `fees` are an owner's, in the order in which they were
    set."""
    begun = [fee for fee in fees if fee.since <= at]
    return max(enumerate(begun), key=lambda one: (one[1].since, one[0]))[1].basis_points if begun else 0


def parse_parts(text: str) -> int:
    """Read a share: `1` (all of it), `1/3`, `12.5%`. Raises Invalid for one that is not between nothing and all, or that
    no whole number of parts is."""
    if text == "1":
        return WHOLE
    if match := _FRACTION.fullmatch(text):
        over, under = int(match[1]), int(match[2])
    elif match := _PERCENT.fullmatch(text):
        over, under = int(match[1] + (match[2] or "").ljust(2, "0")), BASIS_POINTS
    else:
        raise Invalid(f"{text[:40]!r} is not a share", remedy="write 1, 1/3 or 12.5%")
    if not 0 < over <= under:
        raise Invalid(f"the share {text} is not between nothing and all of a GPU")
    if over * WHOLE % under:
        raise Invalid(f"the share {text} is no whole number of parts", remedy="n-ths up to 1/16, or like 5.88%")
    return over * WHOLE // under


def share_text(parts: int) -> str:
    """`1/3`; `1` is all of it."""
    return str(Fraction(parts, WHOLE))


def parse_fee(text: str) -> int:
    """A fee in basis points, as digits. Raises Invalid."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > BASIS_POINTS:
        raise Invalid(f"the fee {text[:40]!r} is not between 0 and {BASIS_POINTS} basis points", remedy="250 is 2.5 %")
    return int(text)


def too_much(shares: Sequence[Share]) -> tuple[int, int] | None:
    """(a moment, the parts that are owned then) at which shares of one GPU are more than all of it; None when never."""
    for at in sorted({share.span[0] for share in shares}):
        owned = sum(share.parts for share in shares if share.span[0] <= at < share.span[1])
        if owned > WHOLE:
            return at, owned
    return None
