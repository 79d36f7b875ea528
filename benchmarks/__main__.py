"""`python -m benchmarks` measures everything and prints one table; `python -m benchmarks metering` measures one row.
`--small` plays the same work in seconds: its answers are checked all the same, its ratios mean little."""

import sys
from importlib import import_module

from benchmarks.measure import Result, table

NAMES = ("metering", "chain", "steady", "scraping", "events", "invoicing")
LONG = ("month", "closing", "pay")
"""Asked for by name only: they take long."""


def main(arguments: list[str]) -> int:
    small = "--small" in arguments
    wanted = [name for name in arguments if name != "--small"]
    unknown = [name for name in wanted if name.partition(":")[0] not in (*NAMES, *LONG)]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join((*NAMES, *LONG))}", file=sys.stderr)
        return 2
    results: list[Result] = []
    for one in wanted or NAMES:
        name, _, count = one.partition(":")
        run = import_module(f"benchmarks.{name}").run
        found = run(small, int(count)) if count.isdigit() else run(small)
        results += found if isinstance(found, list) else [found]
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
