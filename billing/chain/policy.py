"""How sure is sure: when a transfer counts, and when nothing can take it back."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Depth = int
"""In blocks; 1 is the newest block."""
Rule = Depth | Literal["safe", "finalized"]
"""A depth, or a tag that the chain sets."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The heights of the chain's own tags; None when it does not say."""

    safe: int | None = None
    finalized: int | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """As long as what came to one invoice's address on the chain is no more than `up_to`, at par, this rule is enough."""

    up_to: Decimal
    confirmed_by: Rule


@dataclass(frozen=True, slots=True)
class Finality:
    """`confirmed_by` is for every amount; `bands`, smallest first, let small amounts count sooner."""

    confirmed_by: Rule
    final_by: Depth | Literal["finalized"]
    bands: tuple[Band, ...] = ()

    def confirmed_up_to(self, cursor: int, tags: Tags) -> int:
        """The newest block whose transfers count, whatever their amount. Never past the cursor."""
        return min(cursor, _reach(self.confirmed_by, cursor, tags))

    def bands_up_to(self, cursor: int, tags: Tags) -> list[tuple[Decimal, int]]:
        """(amount, the newest block whose transfers count up to it), for each band."""
        return [(band.up_to, min(cursor, _reach(band.confirmed_by, cursor, tags))) for band in self.bands]

    def final_up_to(self, cursor: int, tags: Tags) -> int:
        return min(cursor, _reach(self.final_by, cursor, tags))

    def rule_of(self, height: Literal["counting", "final"]) -> str:
        """What sets a height, in words: `finalized`, `12 blocks`."""
        rule = self.final_by if height == "final" else self.confirmed_by
        return f"{rule} blocks" if isinstance(rule, int) else rule

    @property
    def tags(self) -> set[str]:
        """The tags that must be asked for."""
        rules = (self.confirmed_by, self.final_by, *(band.confirmed_by for band in self.bands))
        return {rule for rule in rules if isinstance(rule, str)}


def _reach(by: Rule, cursor: int, tags: Tags) -> int:
    if isinstance(by, int):
        return cursor - by + 1
    tagged = tags.safe if by == "safe" else tags.finalized
    return -1 if tagged is None else tagged
