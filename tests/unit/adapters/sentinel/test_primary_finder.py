"""Which Sentinel is believed, and which connections are let go."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from redis import exceptions

from conductor.adapters.redis.sentinel import primary_finder
from conductor.adapters.redis.sentinel.primary_finder import (
    NamedPrimary,
    NoPrimaryError,
    PrimaryFinder,
    newest,
)
from conductor.adapters.redis.sentinel.sentinel_url import HostPort, read_sentinel_url

OLD, NEW = ("10.0.0.1", 1), ("10.0.0.2", 2)


class SaidBySentinels:
    """`said`: epoch and place by port of the Sentinel; None: it does not answer."""

    def __init__(self, **said: tuple[int, HostPort] | None) -> None:
        self.said: dict[str, Any] = said
        self.asked = 0

    def ask(self, sentinel: HostPort) -> NamedPrimary:
        self.asked += 1
        if (found := self.said[sentinel[0]]) is None:
            raise exceptions.TimeoutError("no answer")
        return NamedPrimary(epoch=found[0], place=found[1])


def a_finder(said: SaidBySentinels) -> PrimaryFinder:
    return PrimaryFinder(read_sentinel_url("redis+sentinel://a,b,c/m"), said.ask)


def test_the_newest_configuration_counts_whoever_answers_first() -> None:
    finder = a_finder(SaidBySentinels(a=(3, OLD), b=(4, NEW), c=(3, OLD)))
    assert finder.primary() == NEW
    assert finder.label == "m (10.0.0.2:2)"


def test_a_sentinel_that_was_cut_off_does_not_lead_back() -> None:
    said = SaidBySentinels(a=(4, NEW), b=(4, NEW), c=(3, OLD))
    finder = a_finder(said)
    finder.look(3)
    said.said |= {"a": None, "b": None}
    finder.look(3)
    assert finder.primary() == NEW


def test_sentinels_that_were_made_anew_are_believed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    said = SaidBySentinels(a=(4, OLD), b=(4, OLD), c=(4, OLD))
    finder = a_finder(said)
    finder.look(3)
    said.said = {"a": (0, NEW), "b": (0, NEW), "c": None}
    finder.look(3)
    assert finder.primary() == OLD
    monkeypatch.setattr(primary_finder, "REMEMBERED_S", 0.0)
    finder.look(3)
    assert finder.primary() == NEW


def test_two_spellings_of_one_server_are_no_failover() -> None:
    by_name = NamedPrimary(epoch=1, place=("redis-1", 1))
    by_number = NamedPrimary(epoch=1, place=OLD)
    assert newest(by_name, [by_number, by_name]) == by_name
    assert newest(by_name, [by_number]) == by_number


def test_without_any_sentinel_the_last_primary_goes_on() -> None:
    said = SaidBySentinels(a=None, b=None, c=None)
    finder = a_finder(said)
    with pytest.raises(NoPrimaryError, match=r"a:26379: no answer; b:26379: no answer; c:26379"):
        finder.primary()
    said.said = {"a": None, "b": (1, OLD), "c": None}
    assert finder.primary() == OLD
    said.said = {"a": None, "b": None, "c": None}
    finder.look(3)
    assert finder.primary() == OLD


def test_what_was_just_heard_is_not_asked_again_for_each_connection() -> None:
    said = SaidBySentinels(a=(1, OLD), b=(1, OLD), c=(1, OLD))
    finder = a_finder(said)
    for _ in range(10):
        finder.primary()
    assert said.asked == 2, "a majority, once"


def test_a_reader_that_hangs_on_the_old_primary_is_let_go() -> None:
    said = SaidBySentinels(a=(1, OLD), b=(1, OLD), c=(1, OLD))
    finder = a_finder(said)
    finder.primary()
    (ours, theirs), (ours_too, theirs_too) = socket.socketpair(), socket.socketpair()
    with ours, theirs, ours_too, theirs_too:
        finder.connected(ours, OLD)
        finder.connected(ours_too, NEW)
        said.said["c"] = (2, NEW)
        finder.look(3)
        assert ours.recv(1) == b"", "its end was told"
        theirs_too.send(b"x")
        assert ours_too.recv(1) == b"x", "a connection to the primary stays"


def test_a_fork_asks_for_itself() -> None:
    said = SaidBySentinels(a=(1, OLD), b=(1, OLD), c=(1, OLD))
    finder = a_finder(said)
    finder.primary()
    with finder._lock:  # pyright: ignore[reportPrivateUsage]  # as a thread that does not exist in the fork
        pid = os.fork()
        if pid == 0:
            os._exit(0 if finder.primary() == OLD and said.asked == 4 else 1)
        _, status = os.waitpid(pid, 0)
    assert status == 0
