"""What a person may do about money that waits, the likeliest first, each with its reason. Pure: the store gathers the facts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Final

from billing.core.money import Asset, Money

TOGETHER_MAX: Final = 4
"""So many invoices, or transfers, are tried together."""
TRIED_MAX: Final = 12
"""So many of a payer's invoices, the oldest first, are tried in combinations."""
SHOWN_MAX: Final = 8
UNDERPAID: Final = "underpaid"
OVERPAID: Final = "overpaid"


class Action(StrEnum):
    APPLY = "apply"
    CREDIT = "credit"
    REFUND = "refund"
    WRITE_OFF = "write_off"
    ACKNOWLEDGE = "acknowledge"


@dataclass(frozen=True, slots=True)
class Due:
    """An invoice that somebody still has to pay. The oldest come first wherever there are several."""

    number: str
    tenant: str
    remaining: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Other money that waits for a person: its exception, and its worth at par."""

    exception: int
    value: int


@dataclass(frozen=True, slots=True)
class Facts:
    """`value` is what the money is worth at par; None when nobody knows, 0 when no money came in. `own` is the invoice that it came
    in for, `replacement` the one that replaced it."""

    kind: str
    currency: Asset
    value: int | None = 0
    tenant: str = ""
    tolerance: int = 0
    own: Due | None = None
    replacement: Due | None = None
    open: tuple[Due, ...] = ()
    """The tenant's."""
    senders: tuple[Due, ...] = ()
    """Open invoices of other tenants that the same address paid for before."""
    alike: tuple[Due, ...] = ()
    """Anybody's open invoices of exactly this amount."""
    waiting: tuple[Waiting, ...] = ()
    """Of the same tenant, or from the same address."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`to` are (invoice, amount), in the currency's smallest unit; `together` are other exceptions to resolve with it; what is not
    applied is `rest`, the tenant's credit."""

    action: Action
    reason: str
    to: tuple[tuple[str, int], ...] = ()
    together: tuple[int, ...] = ()
    tenant: str = ""
    rest: int = 0

    def words(self, currency: Asset) -> str:
        """`apply 20.00 USD to INV-000001: it owes exactly this`."""
        link = "of" if self.action is Action.WRITE_OFF else "to"
        parts = " and ".join(f"{Money(units, currency)} {link} {number}" for number, units in self.to)
        whose = f" for {self.tenant}" if self.tenant and self.action in (Action.CREDIT, Action.REFUND) else ""
        with_ = f" together with exception {', '.join(map(str, self.together))}" if self.together else ""
        rest = f", {Money(self.rest, currency)} to its credit" if self.rest else ""
        return f"{self.action}{' ' if parts else ''}{parts}{with_}{whose}{rest}: {self.reason}"


@dataclass(slots=True)
class _Found:
    """Suggestions in order; one thing is suggested once, for its best reason."""

    items: list[Suggestion] = field(default_factory=list)

    def add(self, one: Suggestion) -> None:
        same = (one.action, frozenset(number for number, _ in one.to), one.together, one.tenant)
        if all((o.action, frozenset(n for n, _ in o.to), o.together, o.tenant) != same for o in self.items):
            self.items.append(one)


def suggest(facts: Facts) -> list[Suggestion]:
    """The likeliest first. Empty when there is nothing to decide about money."""
    if facts.kind == UNDERPAID and facts.own is not None:
        return [*_missing(facts, facts.own), _give_up(facts, facts.own)]
    if facts.kind == OVERPAID:
        return [
            Suggestion(Action.CREDIT, "its next invoice uses it", tenant=facts.tenant),
            Suggestion(Action.REFUND, "if the tenant wants it back: stablemeter refund credit", tenant=facts.tenant),
        ]
    if facts.value == 0:
        return [Suggestion(Action.ACKNOWLEDGE, "no money waits here: it can only be seen")]
    found = _Found()
    if facts.value is None:
        for one in (facts.own, facts.replacement):
            if one is not None and one.remaining > 0:
                found.add(
                    Suggestion(
                        Action.APPLY, "it came in for it; say with --rate what a token is worth", ((one.number, 0),)
                    )
                )
    else:
        for suggestion in _matches(facts, facts.value):
            found.add(suggestion)
    whose = facts.tenant or "the payer, once somebody knows who it is"
    last = [Suggestion(Action.REFUND, f"it is owed back to {whose}", tenant=facts.tenant)]
    if facts.tenant:
        last.insert(0, Suggestion(Action.CREDIT, "its next invoice uses it", tenant=facts.tenant))
    return found.items[: SHOWN_MAX - len(last)] + last


def _missing(facts: Facts, due: Due) -> Iterator[Suggestion]:
    """Money of the same tenant that waits is what is missing."""
    for count in range(1, TOGETHER_MAX):
        for some in combinations(facts.waiting[:TRIED_MAX], count):
            whole = sum(one.value for one in some)
            if 0 <= due.remaining - whole <= facts.tolerance:
                yield _apply([due], whole, "what waits is what is missing", tuple(one.exception for one in some))
                return
    for one in facts.waiting[:1]:
        yield _apply([due], one.value, "money of the same tenant waits", (one.exception,))


def _give_up(facts: Facts, due: Due) -> Suggestion:
    small = due.remaining <= facts.tolerance
    why = "the rest is within the tolerance" if small else "if nobody will pay the rest: stablemeter invoice write-off"
    return Suggestion(Action.WRITE_OFF, why, ((due.number, due.remaining),), tenant=due.tenant)


def _matches(facts: Facts, value: int) -> Iterator[Suggestion]:
    near = [one for one in (facts.own, facts.replacement) if one is not None and one.remaining > 0]
    why = {id(facts.own): "it came in for it", id(facts.replacement): "it replaced the void invoice"}
    for one in near:
        if one.remaining == value:
            yield _apply([one], value, f"{why[id(one)]}, and it owes exactly this")
    exact = [one for one in facts.open if one.remaining == value]
    for one in exact:
        alone = "" if len(exact) == 1 else f"; {len(exact)} invoices do"
        yield _apply([one], value, f"it owes exactly this{alone}")
    for one in (*near, *facts.open):
        if 0 < one.remaining - value <= facts.tolerance:
            yield _apply(
                [one], value, f"{Money(one.remaining - value, facts.currency)} less than it owes: within the tolerance"
            )
    yield from _several(facts, value)
    yield from _joined(facts, value)
    for one in near:
        yield _apply([one], value, why[id(one)])
    for one in facts.senders:
        if one.remaining == value:
            yield _apply([one], value, f"its sender paid for {one.tenant} before, and it owes exactly this")
    for one in facts.alike:
        yield _apply(
            [one], value, f"it owes exactly this; whether {one.tenant} paid is to be asked: equal amounts are chance"
        )
    if facts.open:
        yield _apply(_oldest(facts.open, value), value, "the oldest invoices first")
    for one in () if facts.tenant else facts.senders[:1]:
        yield _apply([one], value, f"its sender paid for {one.tenant} before; an exchange's address pays for many")


def _apply(to: Sequence[Due], value: int, reason: str, together: tuple[int, ...] = ()) -> Suggestion:
    parts, left = [], value
    for one in to:
        part = min(one.remaining, left)
        left -= part
        parts.append((one.number, part))
    return Suggestion(Action.APPLY, reason, tuple(parts), together, to[0].tenant, left)


def _several(facts: Facts, value: int) -> Iterator[Suggestion]:
    """Several open invoices that are exactly this together."""
    tried = facts.open[:TRIED_MAX]
    for count in range(2, TOGETHER_MAX + 1):
        for some in combinations(tried, count):
            if sum(one.remaining for one in some) == value:
                yield _apply(some, value, f"these {count} owe exactly this together")
                return


def _joined(facts: Facts, value: int) -> Iterator[Suggestion]:
    """Several transfers that wait are exactly one invoice together."""
    others = facts.waiting[:TRIED_MAX]
    near = [one for one in (facts.own, facts.replacement) if one is not None and one.remaining > 0]
    for due in dict.fromkeys((*near, *facts.open[:TRIED_MAX])):
        for count in range(1, TOGETHER_MAX):
            for some in combinations(others, count):
                whole = value + sum(one.value for one in some)
                if whole == due.remaining:
                    reason = f"{count + 1} transfers that wait are exactly what it owes"
                    yield _apply([due], whole, reason, tuple(one.exception for one in some))
                    return


def _oldest(due: Sequence[Due], value: int) -> list[Due]:
    taken: list[Due] = []
    for one in due:
        if value <= sum(t.remaining for t in taken) or len(taken) == TOGETHER_MAX:
            break
        taken.append(one)
    return taken
