"""The operator's word in Redis: pause, drain, cancel, fail, requeue, retry, redo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from conductor.adapters.redis.backlog import MESSAGE_CHARS
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.base.redis_keys import ALL_NODES, BACKLOG, STATE_OF
from conductor.model.causes import Cause
from conductor.model.ledger_entries import BY_OPERATOR, NO_WAITS, JobState, Waits
from conductor.model.snapshot import Controls, JobClass
from conductor.model.spec import LANES, Lane

_pack = msgspec.msgpack.Encoder().encode
#: As `redis_backlog` writes it: the same class, the same text.
_class_to_json = msgspec.json.Encoder(order="deterministic").encode


class RedisControl:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys

    def controls(self) -> Controls:
        paused, draining = ({word.decode() for word in row} for row in self._scripts.run("controls"))
        return Controls(
            paused_lanes=tuple(lane for lane in LANES if lane in paused),
            is_draining=ALL_NODES in draining,
            draining_nodes=tuple(sorted(draining - {ALL_NODES})),
            paused_devices=tuple(sorted(w for w in paused if "/" in w and not w.startswith(BACKLOG))),
            paused_backlogs=tuple(sorted(w.removeprefix(BACKLOG) for w in paused if w.startswith(BACKLOG))),
        )

    def set_paused(self, lane: Lane, is_paused: bool) -> None:
        self._set(self._keys.paused, lane, is_paused)

    def set_backlog_paused(self, backlog: str, is_paused: bool) -> None:
        self._set(self._keys.paused, f"{BACKLOG}{backlog}", is_paused)

    def set_device_paused(self, place: str, is_paused: bool) -> int:
        word = 0
        if not is_paused:
            seconds, micros = self._scripts.run("now")
            word = max(int(seconds) * 1000 + int(micros) // 1000, self.resumed().get(place, 0) + 1)
            self.say_resumed(place, word)
        self._set(self._keys.paused, place, is_paused)
        return word

    def say_resumed(self, place: str, word: int) -> bool:
        if self.resumed().get(place, 0) >= word:
            return False
        with translating(self._redis):
            self._redis.hset(self._keys.resumed, place, str(word))
        return True

    def resumed(self) -> dict[str, int]:
        with translating(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.resumed))
        return {place.decode(): int(count) for place, count in rows.items()}

    def set_draining(self, is_draining: bool, node: str | None = None) -> None:
        self._set(self._keys.draining, ALL_NODES if node is None else node, is_draining)

    def _set(self, key: str, word: str, is_in: bool) -> None:
        with translating(self._redis):
            if is_in:
                self._redis.sadd(key, word)
            else:
                self._redis.srem(key, word)
        self._scripts.run("ring")

    def cancel(self, job_id: str) -> JobState | None:
        return self._ask(job_id, "cancel", "cancelled", BY_OPERATOR)

    def fail(self, job_id: str, cause: Cause, message: str) -> JobState | None:
        return self._ask(job_id, "fail", cause, message[:MESSAGE_CHARS])

    def requeue(self, job_id: str) -> JobState | None:
        return self._ask(job_id, "requeue", "", "")

    def _ask(self, job_id: str, verb: str, cause: str, message: str) -> JobState | None:
        letter = cast(bytes | None, self._scripts.run("ask", job_id, verb, cause, message))
        return None if letter is None else STATE_OF[letter.decode()]

    def redo(
        self,
        job_id: str,
        attempt: int,
        after: Sequence[str] = (),
        after_ended: Sequence[str] = (),
        own: Waits = NO_WAITS,
        *,
        is_forced: bool = False,
    ) -> bool:
        waits = _pack([list(others) for others in (after, after_ended, *own)])
        return bool(self._scripts.run("redo", job_id, attempt, "1" if is_forced else "", waits))

    def asked(self) -> dict[str, str]:
        with translating(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.stop_requests))
        return {job_id.decode(): text.decode().partition("|")[0] for job_id, text in rows.items()}

    def retry(self, job_id: str) -> bool:
        return bool(self._scripts.run("retry", job_id))

    def reclass(self, job_id: str, job_class: JobClass) -> bool:
        return bool(self._scripts.run("reclass", job_id, job_class.id, _class_to_json(job_class)))

    def prioritise(self, job_id: str, priority: int) -> JobState | None:
        letter = cast(bytes | None, self._scripts.run("prioritise", job_id, priority))
        return None if letter is None else STATE_OF[letter.decode()]
