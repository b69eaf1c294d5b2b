"""What RQ sees of us: a worker with a name, a queue, a heartbeat, and a job class that runs one callable
only.

RQ's own work loop is not used (FACTS: it loses and doubles jobs); its registration is, for rq-dashboard.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now as utc_now
from rq.utils import utcformat
from rq.worker import BaseWorker

from conductor.adapters.host import known_process
from conductor.base.errors import BadInput

if TYPE_CHECKING:
    from redis import Redis

    from conductor.base.redis_keys import Keys

#: The only function that may be named in a queue.
CALLABLE = "workers.runner.run_job"

#: A worker unheard of for so long vanishes from the dashboard.
WORKER_TTL_S = 90
DEATH_SHOWN_S = 60
#: Commands of a healthy Redis take microseconds; BLMOVE has a limit of its own on top.
SOCKET_LIMIT_S = 5.0


class RefusedJob(BadInput):
    """A job that names another callable."""


class OurJob(Job):
    """RQ's job, unable to import or call anything but `CALLABLE`; callbacks in the hash are dropped
    unread.
    """

    def restore(self, raw_data: Any) -> None:
        kept = {key: value for key, value in raw_data.items() if not _is_callback(key)}
        super().restore(kept)

    def _deserialize_data(self) -> None:
        super()._deserialize_data()
        if self._func_name != CALLABLE or self._instance is not None:
            raise RefusedJob(f"{self._func_name!r} is not {CALLABLE}: refused")

    @property
    def func(self) -> Any:
        self._checked()
        return super().func

    def _checked(self) -> None:
        if self.func_name != CALLABLE:
            raise RefusedJob(f"{self.func_name!r} is not {CALLABLE}: refused")


def _is_callback(key: Any) -> bool:
    name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    return "callback" in name or "webhook" in name


class RqWorker(BaseWorker):
    """What RQ writes of a worker. Where it goes `Keys` say: RQ's own names hang on a variable of the
    environment.
    """

    job_class = OurJob

    def _set_ip_address(self, connection: Redis) -> None:
        try:
            super()._set_ip_address(connection)
        except ValueError:
            # Its socket lies in a folder with a blank or a «=» in its name, on which CLIENT INFO is split.
            self.ip_address = "unknown"

    def fields(self, rq_id: str | None) -> dict[Any, Any]:
        """All that the worker's hash holds, as of now."""
        self._state = "busy" if rq_id else "idle"
        self.last_heartbeat = utc_now()
        return {**self.serialize(), **self._counters(), "state": self._state, "current_job": rq_id or ""}

    def _counters(self) -> dict[str, Any]:
        return {
            "successful_job_count": self.successful_job_count,
            "failed_job_count": self.failed_job_count,
            "total_working_time": self.total_working_time,
        }


class Presence:
    """This worker on rq-dashboard: to be looked at, and never worth failing a job for. What goes wrong with
    it, in Redis or in RQ, is left to the next beat. Only `register` is more than that."""

    def __init__(self, client: Redis, queue: str, name: str, keys: Keys) -> None:
        self._client = client
        self._queue = queue
        self._name = name
        self._key = keys.rq_worker(name)
        #: RQ's sets that name it, by its key.
        self._rq_sets = (keys.rq_workers, keys.rq_workers_of(queue))
        #: Ours: its members are waited for when the ledger is settled, and what goes back to the backlog is
        #: taken out of their hands.
        self._registry = keys.workers
        self._worker: RqWorker | None = None
        self._shown: str | None = None
        #: For who comes after its node, and has to know whether it is dead.
        self._process = known_process.told(os.getpid())

    def birth(self) -> None:
        with decorating():
            self._worker = RqWorker(
                [self._queue],
                name=self._name,
                connection=self._client,
                serializer=JSONSerializer,
                worker_ttl=WORKER_TTL_S,
            )
            self._worker.birth_date = utc_now()
        self.show(None)

    def show(self, rq_id: str | None) -> None:
        """Busy with that job, or idle; also the heartbeat. All fields: Redis may have forgotten us
        meanwhile.
        """
        self._shown = None
        with decorating():
            self._write(self._client, self._fields(rq_id))
            self._shown = rq_id

    def register(self, client: Redis) -> None:
        """By that client, whatever RQ has to say: before it takes anything by the same connection. Raises
        `RedisError`."""
        fields: dict[Any, Any] = {"state": "?"}
        with decorating():
            fields = self._fields(None)
        self._write(client, fields)

    def _write(self, client: Redis, fields: dict[Any, Any]) -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.sadd(self._registry, self._name)
            pipeline.hset(self._key, mapping=fields)
            if not fields.get("current_job"):
                pipeline.hdel(self._key, "current_job")
            pipeline.expire(self._key, WORKER_TTL_S)
            for name in self._rq_sets:
                pipeline.sadd(name, self._key)
            pipeline.execute()

    def _fields(self, rq_id: str | None) -> dict[Any, Any]:
        """Where RQ has nothing to say: so much that it is seen to be there."""
        said = {"state": "?"} if self._worker is None else self._worker.fields(rq_id)
        return {**said, "process": self._process}

    @property
    def shown(self) -> str | None:
        return self._shown

    def count(self, ok: bool, seconds: float) -> None:
        """For the dashboard's totals; written with the next beat."""
        if self._worker is not None:
            self._worker.successful_job_count += ok
            self._worker.failed_job_count += not ok
            self._worker.total_working_time += seconds

    def death(self) -> None:
        """Where it cannot be said, its key runs out by itself. It stays registered: it may leave something in
        its hand, and whoever looked for that strikes it off (`remove_worker`)."""
        with decorating(), self._client.pipeline(transaction=True) as pipeline:
            for name in self._rq_sets:
                pipeline.srem(name, self._key)
            pipeline.hset(self._key, "death", utcformat(utc_now()))
            pipeline.expire(self._key, DEATH_SHOWN_S)
            pipeline.execute()


@contextmanager
def decorating() -> Generator[None]:
    try:
        yield
    except RedisError:
        return  # said by those who need Redis
    except Exception as e:  # noqa: BLE001  RQ's own faults, of whatever kind: its pages are not the work
        logger.debug("rq-dashboard does not show this worker: {}: {}", type(e).__name__, e)


def own_client(client: Redis, limit_s: float, is_single: bool = False) -> Redis:
    """A client like `client` that gives up after `limit_s` and never repeats a command behind our back.

    `is_single`: always the same connection, so that its id stays true until an error.

    A repeated BLMOVE takes two jobs: the reply of the first may be all that was lost.
    """
    from redis import ConnectionPool, Redis

    pool = client.connection_pool
    options: dict[str, Any] = {
        **pool.connection_kwargs,
        "socket_timeout": limit_s,
        "retry": Retry(NoBackoff(), 0),
    }
    options |= {"socket_connect_timeout": SOCKET_LIMIT_S}
    own_pool = ConnectionPool(connection_class=pool.connection_class, **options)
    return Redis(connection_pool=own_pool, single_connection_client=is_single)
