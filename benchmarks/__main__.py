"""`python -m benchmarks` runs all measurements, `python -m benchmarks metering` one of them."""

import sys
from importlib import import_module

NAMES = ("metering", "chain", "scraping", "invoicing")


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in wanted or NAMES:
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
