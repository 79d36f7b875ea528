"""`python -m benchmarks` measures everything and prints one table; `python -m benchmarks metering` measures one row.
`--small` plays the same work in seconds: its answers are checked all the same, its ratios mean little."""

import sys
from importlib import import_module

from benchmarks.measure import Result, table

NAMES = ("metering", "chain", "steady", "scraping", "events", "invoicing")
LONG = ("month", "closing")
"""Asked for by name only: they take long."""


def main(arguments: list[str]) -> int:
    small = "--small" in arguments
    wanted = [name for name in arguments if name != "--small"]
    unknown = [name for name in wanted if name not in (*NAMES, *LONG)]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join((*NAMES, *LONG))}", file=sys.stderr)
        return 2
    results: list[Result] = []
    for name in wanted or NAMES:
        found = import_module(f"benchmarks.{name}").run(small)
        results += found if isinstance(found, list) else [found]
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
