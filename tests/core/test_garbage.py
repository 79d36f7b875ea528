"""The cycle collector is off while anybody decodes, and on again afterwards."""

import gc
import threading

from billing.core.garbage import uncollected


def test_the_last_thread_out_turns_it_on_again() -> None:
    inside, leave = threading.Event(), threading.Event()

    def decode() -> None:
        with uncollected():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=decode)
    assert gc.isenabled()
    with uncollected():
        other.start()
        assert inside.wait(10) and not gc.isenabled()
    assert not gc.isenabled(), "the other one is inside"
    leave.set()
    other.join()
    assert gc.isenabled()
