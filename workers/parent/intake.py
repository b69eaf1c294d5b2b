"""Takes entries from one RQ queue: BLMOVE into this worker's list of prefetched ones, so that a killed
worker's entry is not lost.

The worker's turn goes behind it in one write: Redis starts what came before the worker has even woken up.

By a new connection the worker is registered before anything is taken: it may lead to a server that has
forgotten it, and whoever takes an entry out of all hands looks into those of registered workers only.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import orjson
from redis.exceptions import RedisError

from conductor.adapters.redis.attempts import RedisAttempts
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.base.errors import ConductorError
from conductor.base.logs.events import emit_event
from conductor.base.redis_keys import Keys
from workers.machine.turns import CLOSED_S
from workers.parent.rq_presence import SOCKET_LIMIT_S, own_client

if TYPE_CHECKING:
    from redis import Redis

    from conductor.model.ledger_entries import Turned, WorkerTurn

#: The longest a worker sleeps on its queue before it looks up; what comes meanwhile wakes it at once. Never
#: longer than this part of a lease: nobody knows when it began, only that it was not before the asking.
TAKE_LIMIT_S, LEASE_PART = 20.0, 1 / 3

_ENTRY = re.compile(r"([A-Za-z0-9_-]{8,64})-a([1-9][0-9]{0,8})")
#: RQ keeps failed jobs a year by default; a refused one is kept a day.
_REFUSED_TTL_S = 86_400


class TakenJob(NamedTuple):
    turned: Turned
    #: (monotonic) leases have begun since then.
    asked_at: float


class Intake:
    """One queue, one hand. `take` is the main thread's; `unblock` may be called from another."""

    def __init__(
        self, client: Redis, queue: str, worker: str, keys: Keys, register: Callable[[Redis], None]
    ) -> None:
        self._client = client
        self._register = register
        self._blocking = own_client(client, TAKE_LIMIT_S + SOCKET_LIMIT_S, is_single=True)
        self._attempts = RedisAttempts(Scripts(client, keys))
        self._behind = RedisAttempts(Scripts(self._blocking, keys))
        self._keys, self._queue_name = keys, queue
        self._queue = keys.rq_queue(queue)
        self._hand = keys.prefetched(worker)
        #: Of the connection that blocks; None before the first command.
        self._connection_id: int | None = None
        #: Asked for, and not answered (yet).
        self._asked: WorkerTurn | None = None
        self.is_blocked = False
        #: The ledger handed nothing out: what is in hand stays there until it does.
        self._is_closed = False

    def take(self, a_turn: Callable[[], WorkerTurn]) -> TakenJob:
        """What became of a turn behind the next entry, or after at most `TAKE_LIMIT_S`. Raises `Unreachable`;
        the next call asks for that very turn again then.

        What is not ours to run is put away and logged, never run.
        """
        turn = self._asked
        if turn is not None:
            taken = self._again(turn)
        else:
            turn = self._asked = a_turn()
            taken = self._wait_open(turn) if self._is_closed else self._take(turn)
        self._asked = None
        self._is_closed = taken.turned.is_closed
        return taken

    def _take(self, turn: WorkerTurn) -> TakenJob:
        if self._connection_id is None:
            with translating(self._client):
                self._register(self._blocking)
                self._connection_id = int(self._blocking.client_id())  # pyright: ignore[reportArgumentType]
        asked_at = time.monotonic()
        self.is_blocked = True
        try:
            entry, turned = self._behind.take(turn, min(TAKE_LIMIT_S, turn.lease_s * LEASE_PART))
        finally:
            self.is_blocked = False
        if entry is not None and not _ENTRY.fullmatch(entry.decode("utf-8", "replace")):
            self.refuse(entry, "not an attempt of ours")
        if turned is not None:
            return TakenJob(turned, asked_at)
        asked_at = time.monotonic()
        return TakenJob(self._attempts.turn(turn), asked_at)

    def _wait_open(self, turn: WorkerTurn) -> TakenJob:
        """Takes no more meanwhile: others could not have it."""
        time.sleep(CLOSED_S)
        asked_at = time.monotonic()
        return TakenJob(self._attempts.turn(turn), asked_at)

    def _again(self, turn: WorkerTurn) -> TakenJob:
        """After a lost reply. The lost connection may still wait for an entry, to start it for nobody: it
        is let go.
        """
        if self._connection_id is not None:
            self._end_wait(self._connection_id)
            self._connection_id = None
        asked_at = time.monotonic()
        turned = self._attempts.turn(turn)
        with translating(self._client):
            left: list[bytes] = self._client.lrange(self._hand, 0, -1)  # pyright: ignore[reportAssignmentType]
        for raw in left:
            self.refuse(raw, "not an attempt of ours")
        return TakenJob(turned, asked_at)

    def settle(self) -> TakenJob | None:
        """Before this worker leaves: what became of a turn whose answer was lost. None where none was. Raises
        `Unreachable`."""
        if self._asked is None:
            return None
        taken, self._asked = self._again(self._asked), None
        return taken

    def unblock(self) -> bool:
        """Make `take` return now. False when it was not blocked (yet)."""
        if not self.is_blocked or self._connection_id is None:
            return False
        try:
            return self._end_wait(self._connection_id)
        except (RedisError, ConductorError):
            return False

    def _end_wait(self, connection_id: int) -> bool:
        with translating(self._client):
            return bool(self._client.execute_command("CLIENT", "UNBLOCK", connection_id))

    def put_back(self) -> None:
        """What was taken and not started goes back to the front of its queue."""
        with translating(self._client):
            while self._client.lmove(self._hand, self._queue, "RIGHT", "LEFT") is not None:
                emit_event("entry.put_back", "Put back what was taken and not started",
                           queue=self._queue_name)  # fmt: skip

    def refuse(self, raw: bytes, why: str) -> None:
        """Out of the way, where rq-dashboard shows it as failed; whatever it names is not imported."""
        text = raw.decode("utf-8", "replace")
        called = called_by(self._client, self._keys.rq_job(text))
        words = "Refused {job_id!r} in queue {queue}: {why} (it calls {what!r})"
        emit_event("entry.refused", words, job_id=text, queue=self._queue_name, why=why, what=called)
        with translating(self._client):
            self._client.lrem(self._hand, 0, raw)  # pyright: ignore[reportArgumentType]
            self._client.zadd(self._keys.rq_failed(self._queue_name), {raw: _deadline(self._client)})
        try:
            if self._client.exists(self._keys.rq_job(text)):
                self._client.hset(
                    self._keys.rq_job(text), mapping={"status": "failed", "exc_info": f"refused: {why}"}
                )
        except RedisError as e:
            words = "The job of {job_id!r} is broken: {error}"
            emit_event("entry.broken", words, job_id=text, queue=self._queue_name, error=str(e))

    def close(self) -> None:
        self._blocking.close()


def _deadline(client: Redis) -> int:
    return int(client.time()[0]) + _REFUSED_TTL_S  # pyright: ignore[reportIndexIssue, reportArgumentType]


def called_by(client: Redis, job_key: str) -> str:
    """The callable the RQ job under that key names, for the log: read as JSON, never unpickled, never
    imported.
    """
    try:
        data: bytes | None = client.hget(job_key, "data")  # pyright: ignore[reportAssignmentType]
        name = orjson.loads(zlib.decompress(data or b""))[0]
        return str(name)[:200]
    except (RedisError, zlib.error, orjson.JSONDecodeError, LookupError, TypeError):
        return "unknown"
