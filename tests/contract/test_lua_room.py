"""Every atomic step compiles with room to grow: Lua lets a function have 200 locals, and one too many is an
error that only the server tells, of the whole step."""

from __future__ import annotations

import re

import pytest
from redis import Redis, ResponseError

from conductor.adapters.redis import step_text
from conductor.base.redis_keys import PLAIN

#: So many locals more may its shared files have.
ROOM = 30
STEPS = sorted(file.stem for file in step_text.FOLDER.glob("*.lua"))


@pytest.mark.parametrize("room", [ROOM, 200])
def test_every_step_has_room_for_more_locals_and_no_more_than_there_are(redis_url: str, room: int):
    more = "local " + ", ".join(f"more_{n}" for n in range(room)) + "\n"
    full: list[str] = []
    with Redis.from_url(redis_url, protocol=2) as client:
        for name in STEPS:
            try:
                client.script_load(step_text.named(PLAIN) + with_more(step_text.source(name), more))
            except ResponseError as refused:
                assert "local variables" in str(refused), (name, refused)
                full.append(name)

    assert full == ([] if room == ROOM else STEPS)


def with_more(source: str, more: str) -> str:
    """Beside the shared functions of the step: in the function that most of them are in."""
    head, step, tail = source.rpartition("local function run_step(ARGV)")
    return head + more + step + tail


def test_a_shared_function_that_a_step_does_not_use_is_no_part_of_it_and_what_it_uses_is():
    shared = (
        "local call = redis.call\nlocal function one() return call('TIME') end\n"
        "local function two()\n  return one()\nend\nlocal function three()\n  return three()\nend\n"
    )
    step = "-- not three\nreturn two()"

    (lean,) = step_text.used([shared], step)

    assert "function one" in lean and "function two" in lean and "local call" in lean
    assert "three" not in lean


def test_each_shared_function_is_found_whole():
    for file in step_text.FOLDER.glob("*.lua"):
        text = file.read_text(encoding="utf-8")
        pieces = step_text.pieces_of(text)
        assert [line for piece in pieces for line in piece.text.split("\n") if line] == [
            line for line in text.split("\n") if line
        ], file.name
        names = re.findall(r"^local function (\w+)", text, re.M)
        assert [piece.name for piece in pieces if piece.name] == names, file.name
