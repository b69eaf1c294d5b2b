"""The way of an event from the log to the stream: in batches, never at the cost of whoever emits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from loguru import logger

from conductor.base import secrets
from conductor.base.errors import Unreachable
from conductor.base.logs import event_feed
from conductor.base.logs.event_feed import feeding
from conductor.base.logs.events import emit_event
from conductor.base.logs.logs import set_up
from conductor.model.told_event import ToldEvent


class Stream:
    """Takes events, or does not; `came` is set by each call."""

    def __init__(self) -> None:
        self.told: list[ToldEvent] = []
        self.is_away = False
        self.came = threading.Event()
        self.hold = threading.Event()
        self.hold.set()

    def append(self, events: Sequence[ToldEvent]) -> None:
        self.came.set()
        self.hold.wait(30)
        if self.is_away:
            raise Unreachable("Redis does not answer")
        self.told += events


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setattr(event_feed, "AGAIN_S", 0.01)
    monkeypatch.setattr(event_feed, "GATHER_S", 0.001)
    monkeypatch.setattr(event_feed, "REST_S", 0.001)
    return Stream()


def test_what_is_emitted_is_told_with_its_fields_and_who_said_it(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_known", ())
    with feeding(stream.append, "conduct"):
        emit_event("job.proved", "Done: {task}", task="media.cut", job_id="a" * 12, attempt=2)
        emit_event("redis.back", "Redis answers again")
    first, second = stream.told
    assert (first.name, first.level, first.message) == ("job.proved", "INFO", "Done: media.cut")
    assert first.fields == {"task": "media.cut", "job_id": "a" * 12, "attempt": 2}
    assert first.source.startswith("conduct@")
    assert second.name == "redis.back"
    emit_event("redis.back", "nobody listens any more")
    assert len(stream.told) == 2


def test_what_the_log_file_keeps_for_itself_is_not_told(stream: Stream, tmp_path: Path) -> None:
    set_up(tmp_path, "conduct", level="CRITICAL")
    try:
        with feeding(stream.append, "conduct"):
            emit_event("redis.back", "Redis answers again")
    finally:
        logger.remove()
        logger.add(sys.stderr)
    assert [event.fields for event in stream.told] == [{}]


def test_a_stream_that_is_slow_costs_events_and_no_time(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MOST_WAITING", 10)
    monkeypatch.setattr(event_feed, "PATIENCE_S", 0.01)
    stream.hold.clear()
    with feeding(stream.append, "conduct") as feed:
        emit_event("redis.back", "the first")
        assert stream.came.wait(30)
        for _ in range(100):
            emit_event("redis.back", "more than are kept")
        assert feed.dropped == 90
    stream.hold.set()


def test_a_stream_that_is_away_costs_events_and_says_so_when_it_is_back(stream: Stream) -> None:
    with feeding(stream.append, "conduct") as feed:
        stream.is_away = True
        emit_event("redis.back", "lost")
        assert stream.came.wait(30)
        while not feed.dropped:
            threading.Event().wait(0.001)
        stream.is_away = False
        emit_event("redis.back", "told")
        while len(stream.told) < 2:
            threading.Event().wait(0.001)
    assert [event.message for event in stream.told] == [
        "told",
        "Redis hears of events again: 1 were dropped, and are in the logs",
    ]


def test_a_forked_child_tells_nothing(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with feeding(stream.append, "conduct"):
        monkeypatch.setattr(os, "getpid", lambda: -1)
        emit_event("redis.back", "by a child")
        monkeypatch.undo()
    assert stream.told == []
