"""The life of one attempt, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from conductor.adapters.memory import breakers, priority_inheritance, reviews
from conductor.adapters.memory.admission import succeed
from conductor.adapters.memory.orphans import give_back
from conductor.adapters.memory.preloading import follow, may_follow, not_preloaded
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.base.errors import Fenced
from conductor.core.failures.failure_counts import fingerprint, same_place
from conductor.core.failures.history import is_unheard
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import (
    TOLD,
    AdoptAnswer,
    FinishAnswer,
    HeldReport,
    Preloaded,
    RenewAnswer,
    Renewed,
    RollCall,
    Started,
    Turned,
    WorkerTurn,
)
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Reservation

#: How long a worker that was told to stop may take, over its lease.
STOP_S = 10.0


class MemoryAttempts:
    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        store = self._store
        with store.lock:
            if not store.is_settled:
                raise Fenced("Redis may have forgotten what it was told last: ask again when it is settled")
            entry = f"{job_id}-a{attempt}"
            if entry in store.prefetched[worker]:
                store.prefetched[worker].remove(entry)
            job, held = self._held(job_id)
            is_again = held.state == "running" and held.worker == worker
            if held.attempt != attempt or not (is_again or job.state == "admitted"):
                raise Fenced("another attempt has its place")
            if not is_again:
                held = structs.replace(held, state="running", worker=worker, started_at=store.now())
                job.reservation, job.off_queue_at = held, None
                job.step = store.history.stepped()
                store.move(job, "running")
                store.ring()
            job.lease_until = store.now() + lease_s
            return Started(
                line=job.line, reservation=held, failures=dict(job.failures), job_class=job.job_class
            )

    def turn(self, turn: WorkerTurn) -> Turned:
        with self._store.lock:
            history = self._store.history
            history.witness(turn.seen)
            is_open = self._store.is_settled
            if refused := self._may_not_have_begun(turn, is_open):
                return Turned(refused=refused, step=history.steps, is_closed=not is_open)
            for begun in turn.not_begun:
                not_preloaded(self._store, begun)
            started: list[Started] = []
            over: list[tuple[str, int]] = []
            answers, spent = self._end_done(turn, is_open, started, over)
            for job_id, attempt in turn.returned:
                give_back(self._store, job_id, attempt, turn.worker)
            task_durations = {**self._store.task_durations, **turn.news}
            self._store.task_durations = {
                task: seconds for task, seconds in task_durations.items() if seconds
            }
            if not is_open:
                return Turned(answers=tuple(answers), step=history.steps, is_closed=True)
            self._begin_more(turn, spent, started, over)
            return Turned(
                answers=tuple(answers), started=tuple(started), over=tuple(over), step=history.steps
            )

    def _may_not_have_begun(self, turn: WorkerTurn, is_open: bool) -> tuple[tuple[str, int], ...]:
        """Of the successors that the worker says it began: those that it had no right to."""
        done = {receipt.job_id for receipt in turn.done}
        return tuple(
            (b.job_id, b.attempt)
            for b in turn.begun
            if not is_open or b.predecessor not in done or not may_follow(self._store, b, turn.worker)
        )

    def _end_done(
        self, turn: WorkerTurn, is_open: bool, started: list[Started], over: list[tuple[str, int]]
    ) -> tuple[list[FinishAnswer], float]:
        """Accepts what is done; behind each its successor starts. → the answers, and the seconds that those
        which started are expected to take.
        """
        spent = 0.0
        followers = {b.predecessor: b for b in turn.begun}
        answers: list[FinishAnswer] = []
        for receipt in turn.done:
            preloaded = self._store.preloaded.get(receipt.job_id)
            answers.append(answer := self.accept(receipt))
            if (follower := followers.get(receipt.job_id)) is not None:
                if preloaded is not None:
                    follow(self._store, preloaded)
                spent += self._start_in(turn, follower.job_id, follower.attempt, started, over)
            elif is_open and answer == "accepted" and turn.most:
                succeed(self._store, receipt, preloaded)
        return answers, spent

    def _begin_more(
        self, turn: WorkerTurn, spent: float, started: list[Started], over: list[tuple[str, int]]
    ) -> None:
        """What the worker has in hand, then what it takes from its queue."""
        number, before = self._store.taken.get(turn.worker, ("", []))
        is_again = number == turn.number
        in_hand = self._hand(turn.worker) if turn.is_from_hand and not is_again else list(turn.in_hand)
        for job_id, attempt in in_hand:
            spent += self._start_in(turn, job_id, attempt, started, over)
        if is_again:
            # Asked for again: what it took the first time, and no more.
            for job_id, attempt in before:
                self._start_in(turn, job_id, attempt, started, over)
            return
        taken = in_hand if turn.is_from_hand else []
        if in_hand or not turn.is_from_hand:
            taken = taken + self._take(turn, bool(in_hand), spent, started, over)
        if taken:
            self._store.taken[turn.worker] = (turn.number, taken)

    def _hand(self, worker: str) -> list[tuple[str, int]]:
        entries = (entry.rpartition("-a") for entry in self._store.prefetched[worker])
        return [(job_id, int(attempt)) for job_id, _, attempt in entries]

    def _take(
        self,
        turn: WorkerTurn,
        has_more: bool,
        spent: float,
        started: list[Started],
        over: list[tuple[str, int]],
    ) -> list[tuple[str, int]]:
        store, taken = self._store, list[tuple[str, int]]()
        queue = store.queues[turn.queue]
        most = min(turn.most, len(queue))
        while len(taken) < most:
            job_id, _, attempt = queue[0].rpartition("-a")
            held = store.jobs[job_id].reservation
            pace = turn.task_durations.get(held.task) if held is not None else None
            is_first = turn.is_idle and not taken and not has_more
            if not is_first and (pace is None or spent + pace > turn.budget_s):
                break
            queue.pop(0)
            taken.append((job_id, int(attempt)))
            spent += self._start_in(turn, job_id, int(attempt), started, over)
        return taken

    def _start_in(
        self, turn: WorkerTurn, job_id: str, attempt: int, started: list[Started], over: list[tuple[str, int]]
    ) -> float:
        """Seconds that it should take of the turn's budget; 0 when it is not its turn."""
        try:
            begun = self.start(job_id, attempt, turn.worker, turn.lease_s)
        except Fenced:
            over.append((job_id, attempt))
            return 0.0
        started.append(begun)
        return turn.task_durations.get(begun.reservation.task, turn.budget_s)

    def _held(self, job_id: str) -> tuple[StoredJob, Reservation]:
        job = self._store.jobs.get(job_id)
        if job is None or job.reservation is None:
            raise Fenced("this attempt is over")
        return job, job.reservation

    def next_preloaded(self, worker: str, timeout_s: float) -> Preloaded | RollCall | None:
        with self._store.lock:
            words = self._store.successor_feeds[worker]
            return words.pop(0) if words else None

    def renew(self, worker: str, lease_s: float, held: Sequence[HeldReport], seen: int = 0) -> Renewed:
        store = self._store
        with store.lock:
            store.history.witness(seen)
            store.heard[worker] = store.now()
            answers: tuple[RenewAnswer, ...] = tuple(self._renew(worker, lease_s, report) for report in held)
            named = {v.job_id for v, answer in zip(held, answers, strict=True) if answer in ("ok", "cancel")}
            if not store.is_settled:
                history = store.history
                is_new = worker not in history.reported_workers
                history.reported_workers.add(worker)
                history.reported_attempts |= named
                if is_new and not history.silent:
                    store.ring()
                return Renewed(answers=answers, step=store.history.steps)
            for job in store.active.values():
                is_mine = (
                    job.state == "running"
                    and job.reservation is not None
                    and job.reservation.worker == worker
                )
                if is_mine and job.id not in named and job.step <= seen:
                    job.lease_until = store.now()
                    store.ring()
            return Renewed(answers=answers, step=store.history.steps)

    def _renew(self, worker: str, lease_s: float, report: HeldReport) -> RenewAnswer:
        store, job = self._store, self._store.jobs.get(report.job_id)
        held = job.reservation if job is not None else None
        mine = (report.attempt, "running", worker)
        if job is None or held is None or (held.attempt, held.state, held.worker) != mine:
            is_news = job is None or is_unheard(job.state, job.attempts, report.attempt)
            return "unknown" if is_news else "gone"
        if job.asked is None:
            job.lease_until = store.now() + lease_s
        elif not job.is_told:
            job.is_told, job.lease_until = True, store.now() + lease_s + STOP_S
        if report.is_telling:
            told = {name: getattr(report, name) for name in TOLD}
            job.reservation = structs.replace(held, **told)
        return "ok" if job.asked is None else "cancel"

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(reservation.job_id)
            if job is None:  # It has not been told again yet; its worker has to name it once more.
                store.history.reported_workers.discard(worker)
                return "unknown"
            if not is_unheard(job.state, job.attempts, reservation.attempt):
                return "gone"
            if job.state == "waiting":
                store.unrest(job)
            else:  # An older one, or its own place in the queue: nobody is to start that now.
                store.release(job)
            job.attempts = reservation.attempt
            store.history.highest, job.step = max(store.history.highest, job.attempts), store.history.steps
            if not store.is_settled:
                store.history.reported_attempts.add(job.id)
            store.move(job, "running")
            store.reserve(job, reservation)
            now = store.now()
            assert job.reservation is not None
            job.reservation = structs.replace(job.reservation, state="running", worker=worker, started_at=now)
            job.lease_until = now + lease_s
            store.ring()
            return "ok"

    def accept(self, receipt: Receipt) -> FinishAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(receipt.job_id)
            if job is None:
                return "gone"
            asked, was_shown = (receipt.review if receipt.outcome == "review" else None), job.is_shown
            is_yes = was_shown and asked is None and is_same_body(job, receipt)
            if job.state == "done" or (was_shown and not is_yes):
                return "accepted" if is_same_body(job, receipt) else "already"
            if receipt.attempt <= job.redone:
                return "already"
            was_over, seen = job.state in ("dead", "cancelled") or job.is_set_aside, job.shown_as
            store.unrest(job)
            held = store.release(job)
            before, job.waits_for, job.waits_for_end = job.waits_for | job.waits_for_end, set(), set()
            job.accepted, job.token = receipt.attempt, receipt.token
            held = held if held is not None and held.attempt == receipt.attempt else None
            if asked is not None:
                store.move(job, "review")
                reviews.show(store, job, held, receipt.code_version, asked)
                if was_over:
                    store.revive(job)
                priority_inheritance.take_back(store, before)
                store.ring()
                return "accepted"
            store.move(job, "done")
            store.chains.has_written(
                job.id, receipt.attempt, receipt.node, {o.path: o.bytes for o in receipt.outputs}
            )
            if was_over:
                store.revive(job)
            store.free(job)
            priority_inheritance.take_back(store, before)
            if (counted := seen or held) is not None:
                breakers.passed(store, counted, receipt.code_version)
            store.ring()
            return "accepted"

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(receipt.job_id)
            if job is None:
                return "gone"
            if job.state == "done" or job.is_shown:
                return "already"
            if job.state != "running" or job.attempts != receipt.attempt:
                return "gone"
            cause, message = receipt.cause or "task_error", receipt.message[:500]
            held = store.lose(job, cause, message, then)
            alike_in = fingerprint(cause, receipt.message, isinstance(then, Dead))
            place = same_place(alike_in, cause, receipt.raised_at)
            breakers.failed(store, held, receipt.code_version, alike_in, cause, message, place)
            return "accepted"


def is_same_body(job: StoredJob, receipt: Receipt) -> bool:
    """Is it the receipt that was accepted? Of one without a token no more than its number is known."""
    is_known = bool(job.token and receipt.token)
    return job.accepted == receipt.attempt and not (is_known and job.token != receipt.token)
