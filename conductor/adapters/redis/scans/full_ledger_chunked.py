"""The full ledger where it is too large to be read at one instant: the server would answer nobody for
seconds.

Jobs are read a few thousand at a time. Then everything in flight, and every job that looked misplaced, is
read at one instant. What is left are jobs that moved in between from one sound place to another: seen in
either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scans.ended import ids_by_state, named_in
from conductor.adapters.redis.scans.full_ledger import FullLedger, LedgerRow, full_ledger_of, row_of
from conductor.adapters.redis.scripts import Scripts
from conductor.base.redis_keys import LETTERS, LISTED_STATES
from conductor.model.ledger_entries import STATES, JobState

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

#: Up to so many jobs are read at one instant: some 50 ms.
AT_ONCE = 20_000
PIECE = 2_000
#: Of misplaced jobs so many are looked at again; more are a fault in any case.
LOOKED_AT_AGAIN = 5_000

OnRead = Callable[[int], None]


def read_full_ledger(scripts: Scripts, on_read: OnRead | None = None) -> FullLedger:
    """`on_read`: jobs so far, where there are many. Raises `Unreachable`."""
    with translating(scripts.client):
        jobs = scripts.client.hlen(scripts.keys.state)
    return (
        full_ledger_of(scripts)
        if jobs <= AT_ONCE
        else _Pieces(scripts, on_read or (lambda done: None)).read()
    )


class _Pieces:
    def __init__(self, scripts: Scripts, on_read: OnRead) -> None:
        self._scripts = scripts
        self._client, self._keys = scripts.client, scripts.keys
        self._on_read = on_read
        self.jobs: dict[str, LedgerRow] = {}
        self.garbled: list[str] = []
        #: Class number → its waiting jobs, as a set that keeps their order.
        self.free: dict[str, dict[str, None]] = {}

    def read(self) -> FullLedger:
        before = self._counts()
        self._read_jobs()
        self._read_free()
        by_state: dict[JobState, list[str]] = {
            state: [job_id for ids in ids_by_state(self._scripts, state) for job_id in ids]
            for state in LISTED_STATES
        }
        dead_by_own_cause: dict[str, str] = {}
        for part in named_in(self._client, self._keys.dead_by_own_cause):
            dead_by_own_cause |= part
        bound = self._bound()
        misplaced = [
            *self._misplaced(bound),
            *(i for state, ids in by_state.items() for i in ids if not self._is(i, state)),
            *(i for i in dead_by_own_cause if not self._is(i, "dead")),
        ]
        now = full_ledger_of(self._scripts, misplaced[:LOOKED_AT_AGAIN])
        self._correct(now)
        seen_again = now.jobs.keys()
        return msgspec.structs.replace(
            now,
            jobs=self.jobs,
            garbled=[*dict.fromkeys((*self.garbled, *now.garbled))],
            lineless=[*dict.fromkeys((*self._lineless(), *now.lineless))],
            free={number: list(ids) for number, ids in self.free.items() if ids},
            bound=[*(job_id for job_id in bound if job_id not in seen_again), *now.bound],
            by_state=by_state,
            dead_by_own_cause=dead_by_own_cause,
            counts_before=before,
        )

    def _is(self, job_id: str, state: JobState) -> bool:
        row = self.jobs.get(job_id)
        return row is not None and row.state == state

    def _counts(self) -> Mapping[str, Mapping[JobState, int]]:
        with translating(self._client):
            names = sorted(
                name.decode() for name in cast(set[bytes], self._client.smembers(self._keys.backlogs))
            )
        with translating(self._client), self._client.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.hgetall(self._keys.count(name))
            found = cast(list[dict[bytes, bytes]], pipe.execute())
        letters = {state: LETTERS[state].encode() for state in STATES}
        return {
            name: {s: int(row.get(letters[s], 0)) for s in STATES}
            for name, row in zip(names, found, strict=True)
        }

    def _read_jobs(self) -> None:
        # A million rows, a few hundred that differ.
        known: dict[LedgerRow, LedgerRow] = {}
        cursor = 0
        while True:
            with translating(self._client):
                cursor, part = cast(
                    tuple[int, dict[bytes, bytes]], self._client.hscan(self._keys.state, cursor, count=PIECE)
                )
            for job_id, text in part.items():
                if (row := row_of(text.decode())) is None:
                    self.garbled.append(job_id.decode())
                else:
                    self.jobs[job_id.decode()] = known.setdefault(row, row)
            self._on_read(len(self.jobs))
            if cursor == 0:
                return

    def _read_free(self) -> None:
        with translating(self._client):
            numbers = [
                number.decode() for number in cast(list[bytes], self._client.hkeys(self._keys.class_backlog))
            ]
        for number in numbers:
            for ids in self._class(number):
                self.free.setdefault(number, {}).update(dict.fromkeys(ids))

    def _class(self, number: str) -> Iterator[list[str]]:
        """By score, which none shares: what goes meanwhile shifts nothing."""
        after: float | str = "-inf"
        while True:
            with translating(self._client):
                found = cast(
                    list[tuple[bytes, float]],
                    self._client.zrangebyscore(
                        self._keys.class_jobs(number), after, "+inf", start=0, num=PIECE, withscores=True
                    ),
                )
            yield [job_id.decode() for job_id, _ in found]
            if len(found) < PIECE:
                return
            after = f"({found[-1][1]:.0f}"

    def _bound(self) -> list[str]:
        waiting = [
            job_id
            for job_id, row in self.jobs.items()
            if row.state == "waiting" and job_id not in self.free.get(row.class_no, ())
        ]
        return list(self._asked("bound", waiting))

    def _misplaced(self, bound: Sequence[str]) -> list[str]:
        settled = set(bound)
        found = [
            job_id
            for job_id, row in self.jobs.items()
            if row.state in ("admitted", "running")
            or (row.state == "waiting") != (job_id in self.free.get(row.class_no, ()) or job_id in settled)
        ]
        return found + [job_id for ids in self.free.values() for job_id in ids if job_id not in self.jobs]

    def _correct(self, now: FullLedger) -> None:
        """What was read at one instant stands."""
        for job_id, row in now.jobs.items():
            before = self.jobs.get(job_id, row)
            self.free.get(before.class_no, {}).pop(job_id, None)
            self.jobs[job_id] = row
        for number, ids in now.free.items():
            self.free.setdefault(number, {}).update(dict.fromkeys(ids))

    def _lineless(self) -> list[str]:
        with translating(self._client):
            is_whole = self._client.hlen(self._keys.jobs) == self._client.hlen(self._keys.state)
        return [] if is_whole else list(self._asked("lineless", [*self.jobs, *self.garbled]))

    def _asked(self, step: str, ids: Sequence[str]) -> Iterator[str]:
        for at in range(0, len(ids), PIECE):
            yield from _unpack(self._scripts.run(step, _pack(ids[at : at + PIECE])))
