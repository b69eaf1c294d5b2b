"""Successors on Redis and on its in-memory twin: whatever ticks, workers and operators do, both hand on
alike.
"""

from __future__ import annotations

from typing import cast

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from ledger_scenes import a_class, a_receipt, a_reservation, an_entry, an_id
from twins import NAMES, Both, names, play, timeless, workers

from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.redis.scans.full_ledger import full_ledger_of
from conductor.adapters.redis.scripts import Scripts
from conductor.model.decision import Admission, Successor
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import Begun, Turned, WorkerTurn
from conductor.model.receipt import OutputFact
from conductor.model.snapshot import Lookahead, Reservation
from conductor.recovery.audit_ledger import reservations


class Successors(Both):
    """Ticks name successors of what runs, workers hear of it and begin them in time, late or never; others
    interfere.
    """

    #: One file system has both roots.
    cores = {"node1:cpu_milli": 2000, "node1/published+scratch:bytes": 12}
    files = st.sampled_from([{}, {}, {"scratch": 4}, {"published": 3}, {"scratch": 2, "published": 6}])

    @invariant()
    def no_more_is_held_than_there_is(self) -> None:
        held = sum(r.cpu for r in self.memory.ledger.handover.reservations())
        assert held * 1000 <= self.cores["node1:cpu_milli"]

    @initialize()
    def begin(self) -> None:
        self.heard: list[tuple[str, Begun]] = []
        self.both("intake.put", "night", [an_entry(name, a_class("c0", kind="k0")) for name in NAMES])

    def running(self) -> list[Reservation]:
        return [r for r in self.memory.ledger.handover.reservations() if r.state == "running"]

    @invariant()
    def as_much_is_reserved_in_all(self) -> None:
        assert self.redis.redis is not None
        assert isinstance(self.memory.ledger.handover, MemoryHandover)
        told = cast(dict[bytes, bytes], self.redis.redis.hgetall("conductor:reserved"))
        sums = {key.decode(): int(n) for key, n in told.items()}
        assert sums == dict(self.memory.ledger.handover._store.sums)  # pyright: ignore[reportPrivateUsage]
        assert [*reservations(full_ledger_of(Scripts(self.redis.redis)))] == []

    def heads(self, most: int, disk: dict[str, int]) -> list[Reservation]:
        found = [
            head for c in self.memory.ledger.waiting.candidates(Lookahead(heads=most)) for head in c.heads
        ][:most]
        ids = [(head.job_id.removesuffix("-0000000"), head.attempts + 1) for head in found]
        return [a_reservation(*which, kind="k0", code="v1", breaker=2, disk=disk) for which in ids]

    @rule(worker=workers, disk=files)
    def run(self, worker: str, disk: dict[str, int]) -> None:
        if not any(r.worker == worker for r in self.running()):
            rows = [
                Admission(reservation=row, backlog="night", ceilings=self.cores)
                for row in self.heads(1, disk)
            ]
            self.redis_and_memory_epochs(rows)
            if (taken := self.memory.take("cpu-node1", worker)) is not None:
                assert self.redis.take("cpu-node1", worker) == taken
                self.both("attempts.start", *taken, worker, 5000.0)

    @rule(
        cpu=st.sampled_from([1.0, 1.0, 1.0, 2.0]),
        most=st.sampled_from([1, 1, 2, 0]),
        is_late=st.sampled_from([0, 0, 0, 1]),
        disk=files,
        other=st.one_of(st.none(), files),
        looked_at=st.sampled_from([None, 0.0]),
    )
    def tick(
        self, cpu: float, most: int, is_late: int, disk: dict[str, int], other: dict[str, int] | None,
        looked_at: float | None,
    ) -> None:  # fmt: skip
        """Each of the running has the same one behind it, or all have different ones. `other`: is handed
        over too.
        """
        if not self.running():
            self.run("w1", disk)
        admissions = [
            Admission(reservation=msgspec.structs.replace(row, cpu=0.0), backlog="night", ceilings=self.cores)
            for row in self.heads(0 if other is None else 1, other or {})
        ]
        heads = [msgspec.structs.replace(row, cpu=cpu) for row in self.heads(most, disk)]
        pairs = [(r, heads[n % len(heads)]) for n, r in enumerate(self.running())] if heads else []
        successors = [
            Successor(
                predecessor=r.job_id,
                attempt=r.attempt,
                admission=Admission(reservation=row, backlog="night", ceilings=self.cores),
            )
            for r, row in pairs
        ]
        answers: list[object] = []
        for scene in (self.redis, self.memory):
            seen, _ = scene.ledger.handover.successions()
            answers.append(
                scene.ledger.handover.admit(scene.epoch, admissions, successors, seen + is_late, looked_at)
            )
        assert answers[0] == answers[1]

    def hear(self, worker: str) -> None:
        words = [scene.ledger.attempts.next_preloaded(worker, 0.0) for scene in (self.redis, self.memory)]
        told = [word and (word.predecessor, word.of_attempt, word.job_id, word.attempt) for word in words]
        rows = [
            word and word.successor and (word.successor.line, timeless(word.successor.reservation))
            for word in words
        ]
        assert (told[0], rows[0]) == (told[1], rows[1])
        if told[0] is not None and rows[0] is not None:
            names = ("predecessor", "of_attempt", "job_id", "attempt")
            self.heard.append((worker, Begun(**dict(zip(names, told[0], strict=True)))))  # pyright: ignore[reportArgumentType]

    @rule(
        how=st.sampled_from(["begun", "begun", "not begun", "nothing"]),
        is_twice=st.booleans(),
        most=st.integers(0, 1),
    )
    def turn(self, how: str, is_twice: bool, most: int) -> None:
        if not self.heard:
            self.tick(1.0, 1, 0, {"scratch": 1}, None, None)
        for worker in ("w1", "w2"):
            self.hear(worker)
        if not self.heard:
            return
        turned: list[Turned] = []
        worker, found = self.heard.pop()
        before = {r.job_id: r for r in self.memory.ledger.handover.reservations()}
        wrote = a_receipt(found.predecessor.removesuffix("-0000000"), found.of_attempt)
        fact = OutputFact(path=f"scratch:{found.predecessor}", bytes=2, sha256="0" * 64)
        done = () if how == "not begun" else (msgspec.structs.replace(wrote, outputs=(fact,)),)
        turn = WorkerTurn(
            worker=worker,
            queue="cpu-node1",
            lease_s=5000.0,
            number=f"t{len(self.heard)}",
            done=done,
            most=most,
            begun=(found,) if how == "begun" else (),
            not_begun=(found,) if how == "not begun" else (),
            is_idle=True,
        )
        for _ in range(1 + is_twice):
            turned = [scene.ledger.attempts.turn(turn) for scene in (self.redis, self.memory)]
            seen = [
                (t.answers, [(s.line, timeless(s.reservation)) for s in t.started], t.over, t.refused)
                for t in turned
            ]
            assert seen[0] == seen[1]
        after = {r.job_id: r for r in self.memory.ledger.handover.reservations()}
        if turned[0].refused:
            assert after == before, "nothing else has happened"
        elif how == "begun":
            assert found.predecessor not in after
            held = after[found.job_id]
            assert (held.attempt, held.state, held.worker) == (found.attempt, "running", worker)

    @rule(name=names, verb=st.sampled_from(["cancel", "requeue", "retry"]))
    def operator(self, name: str, verb: str) -> None:
        self.both(f"commands.{verb}", an_id(name))

    @rule(name=names, how=st.sampled_from(["fail", "rescue", "accept", "give_back"]))
    def end(self, name: str, how: str) -> None:
        view = self.memory.ledger.jobs.job(an_id(name))
        assert view is not None
        attempt = max(1, view.attempts)
        match how:
            case "fail":
                self.both("attempts.fail", a_receipt(name, attempt, "failed", "task_error"), Retry())
            case "rescue":
                self.both("orphans.rescue", an_id(name), attempt, "gone", Retry())
            case "accept":
                self.both("attempts.accept", a_receipt(name, attempt))
            case _:
                self.both("orphans.give_back", an_id(name), attempt)

    @rule(is_paused=st.sampled_from([True, False, False]))
    def pause(self, is_paused: bool) -> None:
        self.both("control.set_paused", "cpu", is_paused)


def test_redis_and_its_twin_hand_on_alike_whatever_comes_between(redis_url: str) -> None:
    play(redis_url, Successors)
