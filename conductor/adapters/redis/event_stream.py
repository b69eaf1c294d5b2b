"""The stream of events in Redis: `conductor:events`, one field an entry, its event as JSON.

How far jobs are is told twice: also to programs that know their job and nothing of the stream, by
`GET conductor:status:JOB` and `SUBSCRIBE conductor:progress:JOB` (`docs/states.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from conductor.adapters.redis.client import MAX_BLOCK_S, translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.told_event import ToldEvent

#: About so many are kept: some 20 MiB, and some hours of a busy night.
MOST_EVENTS = 50_000
NOTHING = "0-0"
_FIELD = b"e"
#: Events that say how far a job is.
_RUNNING = ("job.started", "job.progress")
_to_json = msgspec.json.Encoder(enc_hook=str).encode
_event = msgspec.json.Decoder(ToldEvent).decode


class RedisEventStream:
    def __init__(self, scripts: Scripts, most: int = MOST_EVENTS) -> None:
        self._scripts, self._redis, self._key = scripts, scripts.client, scripts.keys.events
        self._most = most

    def append(self, events: Sequence[ToldEvent]) -> None:
        if events:
            self._scripts.run("tell_events", self._most, *map(_to_json, events))
            if running := list(_of_running(events)):
                self._scripts.run("tell_progress", *running)

    def read(self, after: str, limit: int = 1000, wait_s: float = 0.0) -> tuple[ToldEvent, ...]:
        # 0 would wait for ever.
        block = max(1, round(min(wait_s, MAX_BLOCK_S) * 1000)) if wait_s > 0 else None
        with translating(self._redis):
            found = cast(Any, self._redis.xread({self._key: after or NOTHING}, count=limit, block=block))
        return tuple(_told(found[0][1])) if found else ()

    def latest(self, limit: int) -> tuple[ToldEvent, ...]:
        with translating(self._redis):
            rows = cast(Any, self._redis.xrevrange(self._key, count=limit))
        return tuple(_told(reversed(rows)))

    def bounds(self) -> tuple[str, str]:
        with translating(self._redis), self._redis.pipeline(transaction=False) as pipe:
            pipe.xrange(self._key, count=1)
            pipe.xrevrange(self._key, count=1)
            first, last = pipe.execute()
        return (first[0][0].decode(), last[0][0].decode()) if first and last else (NOTHING, NOTHING)


def _of_running(events: Sequence[ToldEvent]) -> Iterator[str | int | bytes]:
    """id, attempt and JSON of each job that was told of, the last word of each."""
    told = (event for event in events if event.name in _RUNNING and "attempt" in event.fields)
    last = {event.fields["job_id"]: event for event in told}
    for job_id, event in last.items():
        fields = {name: value for name, value in event.fields.items() if name != "device"}
        status = {"job_id": job_id, "state": "running", **fields, "at": round(event.at, 3)}
        yield from (job_id, int(fields["attempt"]), _to_json(status))


def _told(rows: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterable[ToldEvent]:
    """Entries of another version, or of somebody else, are passed over."""
    for entry_id, fields in rows:
        try:
            event = _event(fields.get(_FIELD, b""))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        yield msgspec.structs.replace(event, id=entry_id.decode())
