"""Python's cycle collector, paused where it can find nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While thousands of little objects are decoded, none of them is garbage, and looking for it again and again takes as
    long as decoding does. Threads may overlap in here: whoever found the collector on turns it on again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
