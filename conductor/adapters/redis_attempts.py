"""The life of one attempt in Redis, fenced by its number: start, renew, accept, fail, rescue."""

from __future__ import annotations

from typing import cast

import msgspec

from conductor.adapters import redis_keys as keys
from conductor.adapters import rq_envelope
from conductor.adapters.redis_backlog import MESSAGE_CHARS, failures_of
from conductor.adapters.redis_client import translating
from conductor.adapters.redis_rows import row_of
from conductor.adapters.redis_scripts import Scripts
from conductor.model.causes import Cause
from conductor.model.outcome import Dead, Retry
from conductor.model.receipt import Receipt, Usage
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import Value
from conductor.ports import AdoptAnswer, FinishAnswer, RenewAnswer, Started

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_class_to_json = msgspec.json.Encoder(order="deterministic").encode
_job_class = msgspec.json.Decoder(JobClass)
_reservation = msgspec.json.Decoder(Reservation)
_reservations = msgspec.json.Decoder(tuple[Reservation, ...])


class Told(Value, frozen=True, kw_only=True):
    """What a renewal may tell; the members of the same names in `Reservation`."""

    usage: Usage | None = None
    progress: float | None = None
    note: str = ""
    quiet_s: float = 0.0


class RedisAttempts:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        line, reservation, fails, descriptor = _unpack(self._scripts.run("start", job_id, attempt, worker, ms(lease_s)))
        return Started(
            line=line.encode(),
            reservation=_reservation.decode(reservation),
            failures=failures_of(dict(zip(fails[0::2], fails[1::2], strict=True))),
            job_class=_job_class.decode(descriptor),
        )

    def renew(
        self,
        job_id: str,
        attempt: int,
        worker: str,
        lease_s: float,
        usage: Usage | None = None,
        progress: float | None = None,
        note: str = "",
        quiet_s: float = 0.0,
    ) -> RenewAnswer:
        told = msgspec.json.encode(Told(usage=usage, progress=progress, note=note, quiet_s=quiet_s))
        members = b"" if told == b"{}" else b"," + told[1:-1]
        answer = self._scripts.run("renew", job_id, attempt, worker, ms(lease_s), members)
        return cast(RenewAnswer, answer.decode())

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        job_id, attempt, queue, text, amounts, _, description = row_of(reservation, {})
        head = [job_id, attempt, worker, ms(lease_s), rq_envelope.constant_fields()]
        data = rq_envelope.data(job_id, attempt)
        answer = self._scripts.run("adopt", _pack([*head, queue, text, amounts, description]), data)
        return cast(AdoptAnswer, answer.decode())

    def accept(self, receipt: Receipt) -> FinishAnswer:
        answer = self._scripts.run("accept", receipt.job_id, receipt.attempt)
        return cast(FinishAnswer, answer.decode())

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        answer = self._scripts.run(
            "fail",
            receipt.job_id,
            receipt.attempt,
            receipt.cause or "task_error",
            receipt.message[:MESSAGE_CHARS],
            *verdict(then),
        )
        return cast(FinishAnswer, answer.decode())

    def close_rate(self, key: str, for_s: float) -> None:
        self._scripts.run("close_rate", key, ms(for_s))

    def closings(self) -> dict[str, float]:
        flat: list[bytes] = self._scripts.run("closings")
        return {key.decode(): float(until) / 1000 for key, until in zip(flat[0::2], flat[1::2], strict=True)}

    def refusals(self) -> dict[str, int]:
        with translating(self._scripts.client):
            flat: dict[bytes, bytes] = self._scripts.client.hgetall(keys.REFUSALS)  # pyright: ignore[reportAssignmentType]
        return {key.decode(): int(count) for key, count in flat.items()}

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
        return bool(self._scripts.run("rescue", job_id, attempt, cause, told, *verdict(then), when))

    def give_back(self, job_id: str, attempt: int) -> bool:
        return bool(self._scripts.run("give_back", job_id, attempt))

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        return reservations_of(self._scripts.run("held_by", worker))


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def verdict(then: Retry | Dead) -> tuple[str, int, str, bytes]:
    if isinstance(then, Dead):
        return "dead", 0, "", b""
    if then.job_class is None:
        return "retry", ms(then.delay_s), "", b""
    return "retry", ms(then.delay_s), then.job_class.id, _class_to_json(then.job_class)


def reservations_of(text: bytes) -> tuple[Reservation, ...]:
    """The eldest first."""
    return tuple(sorted(_reservations.decode(text), key=lambda r: (r.admitted_at, r.job_id)))
