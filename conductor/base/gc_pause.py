"""The garbage collector is kept off work that makes many values and no cycles: it would go through all of
them again and again, a third of what deciding afresh over a large cluster costs."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


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
