"""The dead, the cancelled and those in review: found by the set that each of these states has, some at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from redis import Redis

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.base.redis_keys import LETTERS
from conductor.model.ledger_entries import JobState

COUNT = 1_000


def ids_by_state(scripts: Scripts, state: JobState) -> Iterator[list[str]]:
    """The ids of a state of `LISTED_STATES`, some at a time, each once. One that comes or goes then is there
    or not.
    """
    client, key = scripts.client, scripts.keys.by_state(state)
    seen: set[str] = set()
    cursor = 0
    while True:
        with translating(client):
            cursor, found = cast(tuple[int, list[bytes]], client.sscan(key, cursor, count=COUNT))
        if fresh := _fresh(found, seen):
            yield fresh
        if cursor == 0:
            return


def rows_by_state(scripts: Scripts, state: JobState) -> Iterator[tuple[str, str]]:
    """Id and state line of each that still is in that state."""
    return _rows(scripts, ids_by_state(scripts, state), state)


def rows_dead_by_own_cause(scripts: Scripts) -> Iterator[tuple[str, str]]:
    """The same of the dead that died of themselves."""
    return _rows(scripts, map(list, named_in(scripts.client, scripts.keys.dead_by_own_cause)), "dead")


def named_in(client: Redis, key: str) -> Iterator[dict[str, str]]:
    """Of a hash by ids some at a time, each once."""
    seen: set[str] = set()
    cursor = 0
    while True:
        with translating(client):
            cursor, found = cast(tuple[int, dict[bytes, bytes]], client.hscan(key, cursor, count=COUNT))
        if fresh := _fresh(found, seen):
            yield {job_id: found[job_id.encode()].decode() for job_id in fresh}
        if cursor == 0:
            return


def _fresh(found: Iterable[bytes], seen: set[str]) -> list[str]:
    """What grows or shrinks meanwhile shows some twice."""
    fresh = [job_id for job_id in dict.fromkeys(name.decode() for name in found) if job_id not in seen]
    seen.update(fresh)
    return fresh


def _rows(scripts: Scripts, parts: Iterable[list[str]], state: JobState) -> Iterator[tuple[str, str]]:
    letter = LETTERS[state].encode()
    for ids in parts:
        with translating(scripts.client):
            texts = cast(list[bytes | None], scripts.client.hmget(scripts.keys.state, ids))
        for job_id, text in zip(ids, texts, strict=True):
            if text is not None and text.startswith(letter):
                yield job_id, text.decode()
