"""The garbage collector is kept off work that makes many values and no cycles: it would go through all of
them again and again, a third of what deciding afresh over a large cluster costs."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

#: So many more containers than before: Python's own 700 are reached dozens of times by one library.
BETWEEN = 50_000


def seldom() -> None:
    """For a process that begins: what imports make stays, and to go through it again and again was a fifth
    of what they cost. A collection is as thorough as ever."""
    gc.set_threshold(BETWEEN, 10, 10)


def settled() -> None:
    """For a process that goes on for long, once all that it works with is there: that stays, and is gone
    through no more. What imports made took 20 ms each time, in the midst of a tick."""
    gc.freeze()


@contextmanager
def uncollected() -> Generator[None]:
    """What came due meanwhile is collected at the next allocation behind it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
