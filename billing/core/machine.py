"""A lifecycle is one table. An event that the table does not list for a state is a Conflict. Diagrams come from the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from billing.core.errors import Conflict

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S, E]):
    """`table[(state, event)]` is the next state."""

    name: str
    initial: S
    table: Mapping[tuple[S, E], S]

    def next(self, state: S, event: E) -> S:
        """The state after `event`. Raises Conflict when the table does not list it."""
        after = self.table.get((state, event))
        if after is None:
            raise Conflict(f"the {self.name} is {state}; that does not allow: {event}")
        return after

    def allows(self, state: S, event: E) -> bool:
        return (state, event) in self.table

    def mermaid(self) -> str:
        """The state diagram, one arrow a row of the table."""
        rows = [f"    [*] --> {self.initial}"]
        rows += [f"    {state} --> {after}: {event}" for (state, event), after in self.table.items()]
        return "\n".join(["stateDiagram-v2", *rows])
