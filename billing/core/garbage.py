"""Python's cycle collector, paused where it can find nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_inside = 0
_was_on = False


@contextmanager
def uncollected() -> Iterator[None]:
    """While thousands of little objects are decoded, none of them is garbage, and looking for it again and again takes as
    long as decoding does. Several threads may be in here at once; the last one out turns the collector on again."""
    global _inside, _was_on  # noqa: PLW0603 - the collector is one for the whole process
    with _lock:
        if _inside == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _was_on:
                gc.enable()
