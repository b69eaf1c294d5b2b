"""One attempt as RQ knows it: the fields its own `enqueue_job` would write, made with RQ's own code once."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial

import orjson

from conductor.model.snapshot import Reservation

#: The only callable that ever stands in an RQ job; which task runs is in the manifest line.
FUNCTION = "workers.runner.run_job"
#: RQ's results are not ours (receipts are): it may forget them soon.
RESULT_TTL_S = 600
FAILURE_TTL_S = 86_400
#: RFC 1950 and 1951: no dictionary, the fastest level; the last block, stored: its length, and that inverted.
_STORED = partial(struct.Struct("<3sHH").pack, b"\x78\x01\x01")


@cache
def constant_fields() -> tuple[str, ...]:
    """Name, value, name, value, …: what is the same for every entry. `admit.lua` adds the rest.

    No retry, no ttl, no callback, no dependency, no deadline: those are the conductor's.
    """
    from redis import Redis
    from rq.job import Job, JobStatus
    from rq.serializers import JSONSerializer

    job = Job.create(
        func=FUNCTION,
        args=["", 1],
        id="template",
        status=JobStatus.QUEUED,
        timeout=-1,
        result_ttl=RESULT_TTL_S,
        failure_ttl=FAILURE_TTL_S,
        serializer=JSONSerializer,
        connection=Redis(),  # asked for, never used: nothing is sent
    )
    varying = {"data", "description", "origin", "created_at", "enqueued_at"}
    fields = {
        name: str(getattr(value, "value", value))
        for name, value in job.to_dict().items()
        if name not in varying
    }
    return tuple(word for pair in fields.items() for word in pair)


def data(job_id: str, attempt: int) -> bytes:
    """RQ's `data` field: the call, as JSON (never pickle), in the zlib envelope that RQ opens.

    One stored block, put together here: zlib would make room for a window of 256 KiB first."""
    call = orjson.dumps((FUNCTION, None, (job_id, attempt), {}))
    return _STORED(len(call), len(call) ^ 0xFFFF) + call + zlib.adler32(call).to_bytes(4)


def description(reservation: Reservation) -> str:
    """What rq-dashboard shows: «media.cut qy7fg73v attempt 2»."""
    return f"{reservation.task} {reservation.job_id[:8]} attempt {reservation.attempt}"
