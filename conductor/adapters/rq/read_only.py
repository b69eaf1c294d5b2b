"""RQ's classes for somebody who only looks: they read JSON, never pickle, and never tidy up behind a reader's
back.

They look at the keys they are made for, whatever `RQ_KEY_PREFIX` says in this process's environment.
"""

from __future__ import annotations

from typing import Any

from rq import Queue, Worker, registry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.results import Result
from rq.serializers import JSONSerializer

from conductor.base.redis_keys import Keys

#: Name of the class in RQ → how its keys go on.
REGISTRIES = {
    "StartedJobRegistry": "wip",
    "FinishedJobRegistry": "finished",
    "FailedJobRegistry": "failed",
    "DeferredJobRegistry": "deferred",
    "ScheduledJobRegistry": "scheduled",
    "CanceledJobRegistry": "canceled",
}


def look_classes(keys: Keys) -> dict[str, type]:
    """What rq-dashboard calls them → the classes that it should use instead."""
    registries = {
        name: type(name, (getattr(registry, name),), {"key_template": keys.rq + word + ":{0}"})
        for name, word in REGISTRIES.items()
    }
    return {"Job": _job(keys), "Queue": _queue(keys), "Worker": _worker(keys), **registries}


def _job(keys: Keys) -> type[Job]:
    class LookResult(Result):
        @classmethod
        def get_key(cls, job_id: str) -> str:
            return f"{keys.rq}results:{job_id}"

    class LookJob(Job):
        redis_job_namespace_prefix = f"{keys.rq}job:"

        @classmethod
        def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Any:
            return super().fetch(id, connection=connection, serializer=JSONSerializer)

        def latest_result(self, timeout: int = 0) -> Any:
            return LookResult.fetch_latest(self, serializer=self.serializer, timeout=timeout)

    return LookJob


def _queue(keys: Keys) -> type[Queue]:
    class LookQueue(Queue):
        job_class = _job(keys)
        redis_queue_namespace_prefix = f"{keys.rq}queue:"
        redis_queues_keys = keys.rq_queues

        def __init__(self, name: str = "default", connection: Any = None, **options: Any) -> None:
            options["serializer"] = JSONSerializer
            super().__init__(name, connection=connection, **options)

        def fetch_job(self, job_id: str) -> Any:
            # RQ's own takes the id of a job that is gone out of the queue.
            try:
                return self.job_class.fetch(job_id, connection=self.connection)
            except NoSuchJobError:
                return None

    return LookQueue


def _worker(keys: Keys) -> type[Worker]:
    class LookWorker(Worker):
        job_class = _job(keys)
        queue_class = _queue(keys)
        redis_worker_namespace_prefix = f"{keys.rq}worker:"
        redis_workers_keys = keys.rq_workers

        @property
        def executions_key(self) -> str:
            return f"{keys.rq_worker(self.name)}:executions"

        @classmethod
        def all(cls, connection: Any = None, *_: Any, **__: Any) -> Any:
            # RQ's own forgets a worker whose hash is gone: those are left out before it looks.
            there = [key.decode() for key in connection.smembers(keys.rq_workers) if connection.exists(key)]
            found = [
                cls.find_by_key(key, connection, cls.job_class, cls.queue_class, JSONSerializer)
                for key in there
            ]
            return [worker for worker in found if worker is not None]

    return LookWorker
