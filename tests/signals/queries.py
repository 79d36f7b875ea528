"""What queries and texts speak of: metrics with their labels, and commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import typer

from billing.cli.reference import walk
from billing.telemetry import metrics

_SERIES = re.compile(r"\b(stablemeter_[a-z_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)")
_TEMPLATE = re.compile(r"\$labels\.(\w+)")
_COMMAND = re.compile(r"\bstablemeter((?: [a-z][a-z-]*)+)")


@dataclass(frozen=True, slots=True)
class Names:
    """{name of a series: labels that it may have}."""

    labels: dict[str, set[str]]

    @classmethod
    def of_the_program(cls) -> "Names":
        found: dict[str, set[str]] = {gauge.name: set(gauge.labels) for gauge in metrics.GAUGES}
        for one in metrics.COUNTERS:
            described, labels = next(iter(one.describe())), set(one._labelnames)
            if described.type == "histogram":
                found |= {f"{described.name}_{part}": labels for part in ("sum", "count")}
                found[f"{described.name}_bucket"] = labels | {"le"}
            else:
                found[described.name + ("_total" if described.type == "counter" else "")] = labels
        return cls(found)


def names_in(text: str) -> dict[str, set[str]]:
    """{series: labels that are asked of it} of a query, or of a rule with its texts. Labels that several series are grouped
    by, or that a text shows, must be of one of them: here they are asked of the first."""
    found: dict[str, set[str]] = {}
    for name, matchers in _SERIES.findall(text):
        found.setdefault(name, set()).update(_LABEL.findall(matchers))
    if found:
        shown = {label.strip() for group in _GROUPED.findall(text) for label in group.split(",") if label.strip()}
        next(iter(found.values())).update(shown | set(_TEMPLATE.findall(text)))
    return found


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that a text tells somebody to type."""

    typed: str
    is_known: bool


def commands_in(text: str, app: typer.Typer) -> Iterator[Typed]:
    """Every `stablemeter noun verb` in a text. Words after a whole command are its arguments, or the sentence's."""
    paths = {path for path, _ in walk(typer.main.get_command(app), ())}
    for words in _COMMAND.findall(text):
        typed = tuple(word for word in words.split() if word != "stablemeter")
        yield Typed(" ".join(typed), any(typed[: len(path)] == path for path in paths))
