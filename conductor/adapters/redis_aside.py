"""The dead, the cancelled and those in review: found by the set that each of these states has, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from redis import Redis

from conductor.adapters import redis_keys as keys
from conductor.adapters.redis_client import translating
from conductor.model.entries import JobState

COUNT = 1_000


def ids_aside(client: Redis, state: JobState) -> Iterator[list[str]]:
    """The ids of a state of `keys.ASIDE`, each once. One that comes or goes meanwhile is there or not."""
    return ids_in(client, keys.aside(state))


def ids_in(client: Redis, key: str) -> Iterator[list[str]]:
    """The members of a set of ids, some at a time, each once."""
    seen: set[bytes] = set()
    cursor = 0
    while True:
        with translating(client):
            cursor, found = cast(tuple[int, list[bytes]], client.sscan(key, cursor, count=COUNT))
        # A set that grows or shrinks shows some twice.
        fresh = [job_id for job_id in dict.fromkeys(found) if job_id not in seen]
        seen.update(fresh)
        if fresh:
            yield [job_id.decode() for job_id in fresh]
        if cursor == 0:
            return


def rows_aside(client: Redis, state: JobState) -> Iterator[tuple[str, str]]:
    """Id and state line of each that still is in that state."""
    for ids in ids_aside(client, state):
        with translating(client):
            texts = cast(list[bytes | None], client.hmget(keys.STATE, ids))
        for job_id, text in zip(ids, texts, strict=True):
            if text is not None and text.startswith(keys.LETTERS[state].encode()):
                yield job_id, text.decode()
