"""The conductor's writes, in memory; its queues stand in for RQ's."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory import preloading
from conductor.adapters.memory.admission import hand_over
from conductor.adapters.memory.leadership import MemoryBell
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.base.errors import Fenced
from conductor.core.admission.successors import STANDS_S
from conductor.core.capacity.charges import is_of_disk, sums_of
from conductor.model.decision import Admission, GateLedger, StandingOffer, Successor
from conductor.model.snapshot import Lookahead, Reservation


class MemoryHandover:
    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(
        self,
        epoch: int,
        admissions: Sequence[Admission],
        successors: Sequence[Successor] = (),
        seen: int | None = None,
        looked_at: float | None = None,
    ) -> tuple[str | None, ...]:
        store = self._store
        with store.lock:
            if not (admissions or successors or seen is not None):
                return ()
            self._fence(epoch)
            store.offers = {}
            is_late = seen is not None and seen != store.successions
            late = "a successor was handed over meanwhile"
            if not store.is_settled:
                is_late, late = True, "Redis may have forgotten what it was told last"
            written = store.written_since(looked_at)
            beside = written if store.preloaded else {}
            answers = tuple(
                late if is_late else hand_over(store, admission, beside) for admission in admissions
            )
            until = store.now() + STANDS_S
            store.successors = (
                {}
                if is_late
                else {successor.predecessor: (successor, epoch, until, looked_at) for successor in successors}
            )
            if not is_late:
                preloading.preload_all(store, successors, written, short_of(answers))
            return answers

    def offer(self, epoch: int, offers: Sequence[StandingOffer], seen: int) -> None:
        store = self._store
        with store.lock:
            self._fence(epoch)
            is_late = store.has_rung or seen != store.successions or not store.is_settled
            until = store.now() + STANDS_S
            store.offers = {} if is_late else {offer.class_id: (offer, epoch, until) for offer in offers}

    def successions(self) -> tuple[int, int]:
        with self._store.lock:
            return self._store.successions, max(len(self._store.successors), len(self._store.preloaded))

    def early_successions(self) -> int:
        with self._store.lock:
            return self._store.early_successions

    def _fence(self, epoch: int) -> None:
        if epoch != self._store.epoch:
            raise Fenced("this conductor no longer leads")

    def reservations(self) -> tuple[Reservation, ...]:
        with self._store.lock:
            return eldest_first(list(self._store.active.values()))

    def queued(self) -> dict[str, int]:
        with self._store.lock:
            return {queue: len(entries) for queue, entries in self._store.queues.items() if entries}

    def take(self, queue: str, worker: str) -> tuple[str, int] | None:
        """What a worker does with BLMOVE: the next entry's job and attempt, now in its hand. None: nothing
        there.
        """
        with self._store.lock:
            entries = self._store.queues[queue]
            if not entries:
                return None
            entry = entries.pop(0)
            self._store.prefetched[worker].append(entry)
            job_id, _, attempt = entry.rpartition("-a")
            return job_id, int(attempt)

    def ask_ahead(
        self, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float] | None = None
    ) -> None:
        """Nothing is far away here."""

    def ask_when_rung(
        self, timeout_s: float, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float]
    ) -> bool:
        return MemoryBell(self._store).wait(timeout_s)

    def task_durations(self) -> dict[str, float]:
        with self._store.lock:
            return dict(self._store.task_durations)

    def record_gates(self, epoch: int, gates: GateLedger) -> None:
        with self._store.lock:
            self._fence(epoch)
            self._store.gates = gates

    def gates(self) -> GateLedger:
        with self._store.lock:
            return self._store.gates


def short_of(answers: Sequence[str | None]) -> set[str]:
    """Charge keys of disks that kept an admission back."""
    over = (
        answer.removeprefix("over ceiling ")
        for answer in answers
        if answer and answer.startswith("over ceiling ")
    )
    return {name for key in over if is_of_disk(key) for name in sums_of(key)}


def eldest_first(jobs: Sequence[StoredJob]) -> tuple[Reservation, ...]:
    held = [job.reservation for job in jobs if job.reservation is not None]
    return tuple(sorted(held, key=lambda r: (r.admitted_at, r.job_id)))
