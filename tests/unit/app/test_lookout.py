"""What is seen is shared while it is fresh; what happened since makes it old at once."""

from __future__ import annotations

import asyncio
from itertools import count

from conductor.app.web.lookout import Lookout


def test_what_was_seen_before_something_happened_is_not_told_as_fresh() -> None:
    numbers = count()
    lookout = Lookout("numbers", lambda: next(numbers), 0.0)
    lookout.start()

    async def ask() -> int | None:
        return (await lookout.fresh(60.0, 5.0)).value

    assert [asyncio.run(ask()), asyncio.run(ask())] == [0, 0]
    lookout.expire()
    assert [asyncio.run(ask()), asyncio.run(ask())] == [1, 1]
    lookout.stop()
