"""Attempts in Redis that nobody runs any more: found, and given back."""

from __future__ import annotations

from typing import cast

from conductor.adapters.redis.attempts import ms, reservations_of, verdict
from conductor.adapters.redis.backlog import MESSAGE_CHARS
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.core.failures.failure_counts import fingerprint
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import Reservation


class RedisOrphans:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def orphans(self, admitted_grace_s: float) -> tuple[Reservation, ...]:
        return reservations_of(self._scripts.run("orphans", ms(admitted_grace_s)))

    def leases(self) -> dict[str, float]:
        with translating(self._scripts.client):
            rows = cast(
                list[tuple[bytes, float]],
                self._scripts.client.zrange(self._scripts.keys.leases, 0, -1, withscores=True),
            )
        return {job_id.decode(): until / 1000 for job_id, until in rows}

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        return reservations_of(self._scripts.run("held_by", worker))

    def rescue(
        self,
        job_id: str,
        attempt: int,
        message: str,
        then: Retry | Dead,
        cause: Cause = "worker_lost",
        *,
        if_lapsed: bool = False,
    ) -> bool:
        when = "lapsed" if if_lapsed else ""
        told = message[:MESSAGE_CHARS]
        alike_in = fingerprint(cause, message, isinstance(then, Dead))
        return bool(self._scripts.run("rescue", job_id, attempt, cause, told, *verdict(then), alike_in, when))

    def give_back(self, job_id: str, attempt: int) -> bool:
        return bool(self._scripts.run("give_back", job_id, attempt))

    def remove_worker(self, worker: str, queue: str) -> None:
        self._scripts.run("remove_worker", worker, queue)
