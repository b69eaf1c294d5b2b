"""The web process is ending: its loop is closed while its threads still have something to say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from conductor.app.web.event_hub import EventHub
from conductor.app.web.lookout import Lookout
from conductor.model.told_event import ToldEvent


@pytest.mark.usefixtures("no_thread_falls")
def test_a_look_that_ends_after_the_loop_is_nobodys_any_more():
    is_looking, may_end = threading.Event(), threading.Event()

    def look() -> None:
        is_looking.set()
        may_end.wait()

    lookout = Lookout("slow", look, every_s=0.0)
    lookout.start()
    asyncio.run(lookout.fresh(0.0, wait_s=0.0))
    is_looking.wait()
    # Who asks now is told by this look's end, if he is still there.
    asyncio.run(lookout.fresh(0.0, wait_s=0.0))
    lookout.stop()
    may_end.set()
    lookout.join()


class LateStream:
    """Tells of its first event when it may."""

    def __init__(self) -> None:
        self.may_tell = threading.Event()

    def latest(self, limit: int) -> tuple[ToldEvent, ...]:
        raise AssertionError("nobody asks for that")

    def read(self, after: str, limit: int = 1000, wait_s: float = 0.0) -> tuple[ToldEvent, ...]:
        assert after == "", "the reader goes on, and nobody listens"
        self.may_tell.wait()
        return (ToldEvent(name="job.done", at=1.0, level="INFO", message="", source="", fields={}, id="1-0"),)

    def append(self, events: Sequence[ToldEvent]) -> None: ...

    def bounds(self) -> tuple[str, str]:
        return "", ""


@pytest.mark.usefixtures("no_thread_falls")
def test_the_reader_of_events_ends_with_its_loop():
    stream = LateStream()
    hub = EventHub(stream, lambda events: None, lambda events: None)

    async def begin() -> None:
        hub.begin(asyncio.get_running_loop())

    asyncio.run(begin())
    stream.may_tell.set()
    hub.join()
