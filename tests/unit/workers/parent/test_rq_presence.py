"""A worker on the dashboard: only to be looked at, so whatever goes wrong with it stops no work."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis import Redis

from conductor.base.redis_keys import PLAIN
from workers.parent import rq_presence
from workers.parent.rq_presence import Presence


def lived_through(presence: Presence) -> None:
    presence.birth()
    presence.show("k3v7-a1")
    presence.count(True, 1.5)
    presence.show(None)
    presence.death()


def test_an_answer_that_rq_does_not_understand_stops_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def confused(*_: Any, **__: Any) -> None:
        raise ValueError("not enough values to unpack")

    monkeypatch.setattr(rq_presence.RqWorker, "__init__", confused)
    lived_through(Presence(cast(Redis, object()), "cpu-a", "cpu-a-1", PLAIN))


def test_a_server_that_answers_nonsense_stops_no_worker() -> None:
    lived_through(Presence(cast(Redis, object()), "cpu-a", "cpu-a-1", PLAIN))
