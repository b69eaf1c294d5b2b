"""RQ's classes for somebody who only looks: they read JSON, never pickle, and never tidy up behind a reader's back."""

from __future__ import annotations

from typing import Any

from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer


class LookJob(Job):
    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Any:
        return super().fetch(id, connection=connection, serializer=JSONSerializer)


class LookQueue(Queue):
    job_class = LookJob

    def __init__(self, name: str = "default", connection: Any = None, **options: Any) -> None:
        options["serializer"] = JSONSerializer
        super().__init__(name, connection=connection, **options)

    def fetch_job(self, job_id: str) -> Any:
        # RQ's own takes the id of a job that is gone out of the queue.
        try:
            return LookJob.fetch(job_id, connection=self.connection)
        except NoSuchJobError:
            return None


class LookWorker(Worker):
    @classmethod
    def all(cls, connection: Any = None, *_: Any, **__: Any) -> Any:
        # RQ's own forgets a worker whose hash is gone: those are left out before it looks.
        keys = [key.decode() for key in connection.smembers(cls.redis_workers_keys) if connection.exists(key)]
        found = [cls.find_by_key(key, connection, LookJob, LookQueue, JSONSerializer) for key in keys]
        return [worker for worker in found if worker is not None]
