"""How things are measured: each piece of work in a fresh process of its own, prepared first, then timed."""

import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def ratio(ours: Sequence[float], plain: Sequence[float]) -> float:
    """The median of the ratios of neighbours: both sides of a pair had the same neighbours on the machine."""
    return median(a / b for a, b in zip(ours, plain, strict=True))


def line(what: str, figure: str, detail: str = "") -> None:
    """One figure of the report."""
    print(f"  {what:<34} {figure:>16}   {detail}".rstrip(), flush=True)


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def note(text: str) -> None:
    """Progress of a preparation."""
    print(f"  ... {text}", flush=True)
