"""From a thread of ours into the loop, which may have been closed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def call_in_loop(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *args: Any) -> bool:
    """False: the loop is closed, and nobody there asks any more."""
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:
        return False
    return True
