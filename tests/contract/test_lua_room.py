"""Every atomic step compiles with room to grow: Lua lets a function have 200 locals, and one too many is an
error that only the server tells, of the whole step."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError

from conductor.adapters.redis import scripts
from conductor.base.redis_keys import PLAIN

#: So many locals more may its shared files have.
ROOM = 30
STEPS = sorted(file.stem for file in scripts.FOLDER.glob("*.lua"))


@pytest.mark.parametrize("room", [ROOM, 200])
def test_every_step_has_room_for_more_locals_and_no_more_than_there_are(redis_url: str, room: int):
    more = "local " + ", ".join(f"more_{n}" for n in range(room)) + "\n"
    full: list[str] = []
    with Redis.from_url(redis_url, protocol=2) as client:
        for name in STEPS:
            try:
                client.script_load(scripts.named(PLAIN) + more + scripts.source(name))
            except ResponseError as refused:
                assert "local variables" in str(refused), (name, refused)
                full.append(name)

    assert full == ([] if room == ROOM else STEPS)
