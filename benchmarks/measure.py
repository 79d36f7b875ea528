"""How things are measured: each piece of work in a fresh process of its own, prepared first, then timed."""

import gc
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cost(Generic[T]):
    """What a piece of work took, and what it answered. `cpu` counts this process only, all of its threads; `peak_mib`
    is its largest resident size while it worked, libraries included."""

    wall: float
    cpu: float
    peak_mib: float
    answer: T


def measured(prepare: Callable[..., Callable[[], T]], *arguments: Any) -> Cost[T]:
    """Run `prepare(*arguments)` in a new process, untimed, and then what it returned, timed.

    A process of its own keeps the memory and the caches of one candidate out of the figures of the next.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, prepare, arguments))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        raise SystemExit("a measured process ended without an answer") from None
    finally:
        process.join()
        ours.close()
    cost: Cost[T] = found
    return cost


def _child(out: Connection, prepare: Callable[..., Callable[[], Any]], arguments: Sequence[Any]) -> None:
    work = prepare(*arguments)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    out.send(Cost(wall, cpu, peak_mib(), answer))


def peak_mib() -> float:
    """The largest resident size of this process since the peak was cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / _MIB


def middle(costs: Sequence[Cost[T]]) -> Cost[T]:
    """The median of each figure, with the last answer."""
    return Cost(
        median(one.wall for one in costs),
        median(one.cpu for one in costs),
        max(one.peak_mib for one in costs),
        costs[-1].answer,
    )


def ratio(ours: Sequence[Cost[Any]], plain: Sequence[Cost[Any]]) -> tuple[float, float, float]:
    """The median, the least and the largest of the ratios of neighbours: both sides of a pair had the same neighbours on
    the machine."""
    times = [a.wall / b.wall for a, b in zip(ours, plain, strict=True)]
    return median(times), min(times), max(times)


@dataclass
class Result:
    """One row of the report: what it took us, what it took a plain client, and what there is to say about it."""

    what: str
    target: float
    ours: Cost[Any]
    plain: Cost[Any]
    times: tuple[float, float, float] = (0, 0, 0)
    notes: list[str] = field(default_factory=list)

    def compare(self, ours: Sequence[Cost[Any]], plain: Sequence[Cost[Any]]) -> None:
        self.times = ratio(ours, plain)
        self.say(f"{len(ours)} runs: {self.times[1]:.2f} to {self.times[2]:.2f} times the plain client")
        self.say(f"CPU of our process {self.ours.cpu:.2f} s, of the plain client {self.plain.cpu:.2f} s")

    def lean(self, ours: Sequence[Cost[Any]], lean: Sequence[Cost[Any]]) -> None:
        """Compare with a client that was tuned, too: Python's cycle collector is off in it, and its garbage left alone."""
        tuned, least, most = ratio(ours, lean)
        best = middle(lean)
        self.say(
            f"against a plain client without the cycle collector ({best.wall:.2f} s, {memory(best)}): {tuned:.2f} times,"
            f" {least:.2f} to {most:.2f}"
        )

    def say(self, text: str) -> None:
        self.notes.append(text)


def memory(cost: Cost[Any]) -> str:
    return f"{cost.peak_mib:.0f} MiB"


def require(right: bool, otherwise: str) -> None:
    """A fast wrong answer is no measurement."""
    if not right:
        raise SystemExit(f"wrong: {otherwise}")


def table(results: Sequence[Result]) -> str:
    """All rows as one table, with what there is to say below it."""
    width = max(len(one.what) for one in results)
    lines = [f"{'':<{width}}  {'ours':>8} {'plain':>8} {'ratio':>6} {'target':>7} {'peak, ours':>11} {'plain':>8}"]
    for one in results:
        lines.append(
            f"{one.what:<{width}}  {one.ours.wall:>6.2f} s {one.plain.wall:>6.2f} s {one.times[0]:>6.2f} {one.target:>7.1f}"
            f" {memory(one.ours):>11} {memory(one.plain):>8}"
        )
    for one in results:
        lines += ["", one.what, *(f"  {text}" for text in one.notes)]
    return "\n".join(lines)


def note(text: str) -> None:
    """Progress of a preparation."""
    print(f"... {text}", file=sys.stderr, flush=True)
