"""Taking entries from one RQ queue: BLMOVE into this worker's hand, so that a killed worker's entry is not lost."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

import orjson
from loguru import logger
from redis.exceptions import RedisError

from conductor.adapters import redis_keys
from conductor.adapters.redis_client import translating
from workers.rq_worker import SOCKET_LIMIT_S, own_client

if TYPE_CHECKING:
    from redis import Redis

#: The longest a worker sleeps on its queue before it looks up; what comes meanwhile wakes it at once.
TAKE_LIMIT_S = 20.0

_ENTRY = re.compile(r"([A-Za-z0-9_-]{8,64})-a([1-9][0-9]{0,8})")
#: RQ keeps failed jobs a year by default; a refused one is kept a day.
_REFUSED_TTL_S = 86_400


class Entry(NamedTuple):
    rq_id: str
    job_id: str
    attempt: int


class Intake:
    """One queue, one hand. `take` is the main thread's; `unblock` may be called from another."""

    def __init__(self, client: Redis, queue: str, worker: str) -> None:
        self._client = client
        self._blocking = own_client(client, TAKE_LIMIT_S + SOCKET_LIMIT_S, is_single=True)
        self._queue_name = queue
        self._queue = redis_keys.queue(queue)
        self._hand = redis_keys.hand(worker)
        #: Of the connection that blocks; None before the first command and after an error.
        self._connection_id: int | None = None
        self.is_blocked = False

    def take(self) -> Entry | None:
        """The next entry, after at most `TAKE_LIMIT_S`; None when none came. Raises `Unreachable`.

        What is not ours to run is put away and logged, never run.
        """
        with translating(self._client):
            raw = self._left_in_hand() or self._move()
        if raw is None:
            return None
        text = raw.decode("utf-8", "replace")
        match = _ENTRY.fullmatch(text)
        if match is None:
            self.refuse(raw, "not an attempt of ours")
            return None
        return Entry(text, match[1], int(match[2]))

    def _left_in_hand(self) -> bytes | None:
        """After a lost reply an entry may lie in the hand already."""
        if self._connection_id is not None:
            return None
        self._connection_id = self._blocking.client_id()
        left: list[bytes] = self._client.lrange(self._hand, 0, 0)  # pyright: ignore[reportAssignmentType]
        return left[0] if left else None

    def _move(self) -> bytes | None:
        self.is_blocked = True
        try:
            moved: bytes | None = self._blocking.blmove(self._queue, self._hand, TAKE_LIMIT_S, "LEFT", "RIGHT")  # pyright: ignore
            return moved
        except RedisError:
            self._connection_id = None
            raise
        finally:
            self.is_blocked = False

    def unblock(self) -> bool:
        """Make `take` return now. False when it was not blocked (yet)."""
        if not self.is_blocked or self._connection_id is None:
            return False
        try:
            return bool(self._client.execute_command("CLIENT", "UNBLOCK", self._connection_id))
        except RedisError:
            return False

    def drop(self, rq_id: str) -> None:
        """An entry whose attempt was not ours to start (any more)."""
        with translating(self._client):
            self._client.lrem(self._hand, 0, rq_id)

    def put_back(self) -> None:
        """What was taken and not started goes back to the front of its queue."""
        with translating(self._client):
            while self._client.lmove(self._hand, self._queue, "RIGHT", "LEFT") is not None:
                logger.info("Put back what was taken and not started")

    def refuse(self, raw: bytes, why: str) -> None:
        """Out of the way, where rq-dashboard shows it as failed; whatever it names is not imported."""
        text = raw.decode("utf-8", "replace")
        called = called_by(self._client, text)
        logger.warning("Refused {!r} in queue {}: {} (it calls {!r})", text, self._queue_name, why, called)
        with translating(self._client):
            self._client.lrem(self._hand, 0, raw)  # pyright: ignore[reportArgumentType]
            self._client.zadd(f"rq:failed:{self._queue_name}", {raw: _deadline(self._client)})
        try:
            if self._client.exists(f"rq:job:{text}"):
                self._client.hset(f"rq:job:{text}", mapping={"status": "failed", "exc_info": f"refused: {why}"})
        except RedisError as e:
            logger.warning("The job of {!r} is broken: {}", text, e)

    def close(self) -> None:
        self._blocking.close()


def _deadline(client: Redis) -> int:
    return int(client.time()[0]) + _REFUSED_TTL_S  # pyright: ignore[reportIndexIssue, reportArgumentType]


def called_by(client: Redis, rq_id: str) -> str:
    """The callable an RQ job names, for the log: read as JSON, never unpickled, never imported."""
    try:
        data: bytes | None = client.hget(f"rq:job:{rq_id}", "data")  # pyright: ignore[reportAssignmentType]
        name = orjson.loads(zlib.decompress(data or b""))[0]
        return str(name)[:200]
    except (RedisError, zlib.error, orjson.JSONDecodeError, LookupError, TypeError):
        return "unknown"
