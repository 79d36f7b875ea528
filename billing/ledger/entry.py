"""An entry: postings that sum to zero in every asset. Debits are positive, credits negative."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from billing.core.errors import Invalid
from billing.ledger.account import check


class EntryKind(StrEnum):
    """Why something was booked. ARCHITECTURE shows the posting table."""

    ISSUE = "issue"
    CREDIT = "credit"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    SUSPENSE = "suspense"
    FLUSH = "flush"
    EXTERNAL = "external"
    RESOLVE = "resolve"
    TOP_UP = "top_up"
    GRANT = "grant"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Posting:
    """`units` of an asset's smallest unit on an account; never zero."""

    account: str
    asset: str
    units: int
    tenant_id: int | None = None
    invoice_id: int | None = None

    def __post_init__(self) -> None:
        check(self.account)


@dataclass(frozen=True, slots=True)
class Entry:
    """`kind` says why; `transfer_id` and `incarnation` say for which sighting of which transfer, if for one."""

    kind: str
    booked_on: date
    happened_at: datetime
    postings: tuple[Posting, ...]
    invoice_id: int | None = None
    transfer_id: int | None = None
    incarnation: int | None = None
    memo: str = ""
    id: int = 0
    reverses_id: int | None = None

    def __post_init__(self) -> None:
        wrong = unbalanced(self.postings)
        if wrong or not self.postings:
            raise Invalid(f"entry {self.kind} does not balance in {', '.join(wrong) or 'anything: it is empty'}")

    def reversed(self, now: datetime) -> "Entry":
        """The entry that takes this one back."""
        return replace(
            self,
            kind=f"{self.kind}.reversal",
            booked_on=now.date(),
            happened_at=now,
            postings=tuple(replace(posting, units=-posting.units) for posting in self.postings),
            id=0,
            reverses_id=self.id,
        )


def entry_postings(*postings: Posting) -> tuple[Posting, ...]:
    """Postings without the zero ones: an amount of nothing is not booked."""
    return tuple(posting for posting in postings if posting.units)


def unbalanced(postings: Sequence[Posting]) -> list[str]:
    """The assets in which postings do not sum to zero."""
    sums: dict[str, int] = defaultdict(int)
    for posting in postings:
        sums[posting.asset] += posting.units
    return sorted(asset for asset, total in sums.items() if total)
