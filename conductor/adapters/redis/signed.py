"""The two ports that sign: lines are sealed when they are put, and only sealed ones are admitted.

conductor:seals   hash  id -> seal of its line; a worker's user may read it and not write it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from conductor.adapters.redis.backlog import RedisBacklog
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.codec.lines import lines_of
from conductor.adapters.redis.control import RedisControl
from conductor.adapters.redis.handover import RedisHandover
from conductor.adapters.redis.scripts import Scripts
from conductor.base.logs.events import emit_event
from conductor.base.signing import Signer
from conductor.model.decision import Admission, StandingOffer, Successor
from conductor.model.ledger_entries import Entry, PutResult
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID, subject_of_line

#: Why a job is not handed over; it is cancelled, which `conductor retry` takes back after a dispatch with the
#: key.
UNSEALED = "its line carries no seal of this key"


class SealingBacklog(RedisBacklog):
    def __init__(self, scripts: Scripts, signer: Signer) -> None:
        super().__init__(scripts)
        self._signer = signer

    def put(self, backlog: str, entries: Sequence[Entry]) -> PutResult:
        # Seals first: between the two steps a leader would find unsealed jobs. A kill in between leaves seals
        # unused.
        seals = {entry.job_id: self._signer.seal(entry.line) for entry in entries}
        with translating(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for job_id, seal in seals.items():
                pipe.hsetnx(self._keys.seals, job_id, seal)
            pipe.execute()
        result = super().put(backlog, entries)
        if result.known:
            self._reseal(entries, seals)
        return result

    def _seals(self, entries: Sequence[Entry]) -> list[str]:
        return [self._signer.seal(entry.line) for entry in entries]

    def _reseal(self, entries: Sequence[Entry], seals: dict[str, str]) -> None:
        """Known already: dispatched before there was a key, or with other needs. What stands in the ledger
        counts.
        """
        ids = [entry.job_id for entry in entries]
        by_item = lines_of(self._scripts, ids)
        with translating(self._redis):
            same = {
                e.job_id: seals[e.job_id] for e, line in zip(entries, by_item, strict=True) if e.line == line
            }
            if same:
                self._redis.hset(self._keys.seals, mapping=dict(same))  # pyright: ignore[reportArgumentType]


class SigningHandover(RedisHandover):
    def __init__(self, scripts: Scripts, signer: Signer) -> None:
        super().__init__(scripts)
        self._signer = signer
        self._control = RedisControl(scripts)

    def admit(
        self,
        epoch: int,
        admissions: Sequence[Admission],
        successors: Sequence[Successor] = (),
        seen: int | None = None,
        looked_at: float | None = None,
    ) -> tuple[str | None, ...]:
        signed = self._signed(admissions)
        for admission, good in zip(admissions, signed, strict=True):
            if good is None:
                self._quarantine(admission.reservation)
        # A successor without a seal is none; a tick will meet it as an admission.
        theirs = zip(successors, self._signed([successor.admission for successor in successors]), strict=True)
        named = [
            msgspec.structs.replace(successor, admission=good)
            for successor, good in theirs
            if good is not None
        ]
        answers = iter(
            super().admit(epoch, [good for good in signed if good is not None], named, seen, looked_at)
        )
        return tuple(UNSEALED if good is None else next(answers) for good in signed)

    def offer(self, epoch: int, offers: Sequence[StandingOffer], seen: int) -> None:
        """None: what is signed is the line of a job, and an offer has none."""

    def _signed(self, admissions: Sequence[Admission]) -> list[Admission | None]:
        if not admissions:
            return []
        ids = [admission.reservation.job_id for admission in admissions]
        lines = lines_of(self._scripts, ids)
        with translating(self._redis):
            seals = cast(list[bytes | None], self._redis.hmget(self._keys.seals, ids))
        return [self._sign(*row) for row in zip(admissions, lines, seals, strict=True)]

    def _sign(self, admission: Admission, line: bytes | None, seal: bytes | None) -> Admission | None:
        if line is None or seal is None or not self._signer.is_sealed(line, seal.decode("utf-8", "replace")):
            return None
        held = admission.reservation
        signature = self._signer.sign(held, line)
        return msgspec.structs.replace(
            admission, reservation=msgspec.structs.replace(held, signature=signature)
        )

    def _quarantine(self, held: Reservation) -> None:
        words = (
            "Cancelled {about} ({}): {why}; dispatch its manifest with the key set, then `conductor retry`"
        )
        (line,) = lines_of(self._scripts, [held.job_id])
        emit_event("job.forged", words, held.job_id[:SHORT_ID], job_id=held.job_id, attempt=held.attempt,
                   task=held.task, about=subject_of_line(line or b"", held.task), why=UNSEALED)  # fmt: skip
        self._control.cancel(held.job_id)
