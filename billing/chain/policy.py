"""How sure is sure: when a transfer counts, and when nothing can take it back."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finality:
    """`confirmed_by` and `final_by` are a depth in blocks (1 is the newest block) or a tag that the chain sets."""

    confirmed_by: int | Literal["safe", "finalized"]
    final_by: int | Literal["finalized"]

    def confirmed_up_to(self, cursor: int, safe: int | None, finalized: int | None) -> int:
        """The newest block whose transfers count, given the cursor and what the tags say. Never past the cursor."""
        return min(cursor, _reach(self.confirmed_by, cursor, safe, finalized))

    def final_up_to(self, cursor: int, finalized: int | None) -> int:
        return min(cursor, _reach(self.final_by, cursor, None, finalized))

    @property
    def tags(self) -> set[str]:
        """The tags that must be asked for."""
        return {tag for tag in (self.confirmed_by, self.final_by) if isinstance(tag, str)}


def _reach(by: int | str, cursor: int, safe: int | None, finalized: int | None) -> int:
    if isinstance(by, int):
        return cursor - by + 1
    tagged = safe if by == "safe" else finalized
    return -1 if tagged is None else tagged
