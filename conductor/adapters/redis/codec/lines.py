"""The lines as Redis keeps them: without `{"v":1,"id":"ID`, which the key of the field says already.

So only what begins as no object does was shortened. All else is kept whole: a line with other words before
its id, and every line of a ledger that an earlier version filled. `line_of` of `adapters/redis/lua/base.lua`
reads the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts

OBJECT_OR_BLANK = b"{ \t\r\n"


def kept(job_id: str, line: str) -> str:
    # `removeprefix` alone: to ask with `startswith` first takes five times as long, of a million lines.
    return line.removeprefix('{"v":1,"id":"' + job_id)


def lines_of(scripts: Scripts, ids: Sequence[str]) -> list[bytes | None]:
    """Byte for byte as they were put; None: there is none."""
    if not ids:
        return []
    with translating(scripts.client):
        found = cast(list[bytes | None], scripts.client.hmget(scripts.keys.jobs, list(ids)))
    return [text if text is None else _whole(job_id, text) for job_id, text in zip(ids, found, strict=True)]


def _whole(job_id: str, text: bytes) -> bytes:
    return text if text[:1] in OBJECT_OR_BLANK else b'{"v":1,"id":"%b%b' % (job_id.encode(), text)
