"""Random verbs on Redis and on its in-memory twin: every answer and every view is the same, and the ledgers
balance.
"""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import rule
from ledger_scenes import a_class, a_receipt, a_reservation, an_entry, an_id, line_of
from successor_scenes import an_offer, leave
from twins import (
    NAMES,
    Both,
    attempts,
    calls,
    causes,
    codes,
    kinds,
    names,
    others,
    outcomes,
    play,
    roles,
    workers,
)

from conductor.model.calls import Call
from conductor.model.chains import FileJob
from conductor.model.decision import Admission, Successor
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import EntryFiles, HeldReport, WorkerTurn
from conductor.model.receipt import OutputFact
from conductor.model.review import ItemVerdict, ReviewAsked, ReviewItem
from conductor.model.snapshot import Lookahead
from conductor.model.spec import Needs, RateNeed

#: Two things to look at.
ASKED = ReviewAsked(items=(ReviewItem(words="a"), ReviewItem(words="b")))


class Twins(Both):
    @rule(name=names, after=others, after_ended=others, is_done=st.booleans(), class_no=st.integers(0, 1))
    def put(self, name: str, after: list[str], after_ended: list[str], is_done: bool, class_no: int) -> None:
        job_class = a_class(f"c{class_no}", kind=f"k{class_no}")
        if class_no:
            job_class = msgspec.structs.replace(job_class, needs=Needs(cpu=1.0, rates={"api": RateNeed()}))
        is_done = is_done and name == NAMES[0]
        entry = an_entry(
            name,
            job_class,
            # Only what comes before it in the alphabet: a plan has no cycles.
            after=tuple(an_id(other) for other in after if other < name),
            after_ended=tuple(an_id(other) for other in after_ended if other < name),
            is_done=is_done,
            attempts=int(is_done),
        )
        self.both("intake.put", "night", [entry])

    @rule(class_no=st.integers(0, 1), cores=st.integers(0, 3), role=roles, code=codes, is_late=st.booleans())
    def offer(self, class_no: int, cores: int, role: str, code: str, is_late: bool) -> None:
        """To who is put next, alone."""
        told = {"kind": f"k{class_no}", "role": role, "code": code, "breaker": 2}
        for scene in (self.redis, self.memory):
            leave(scene, an_offer(f"c{class_no}", cores, **told), seen=-1 if is_late else None)

    @rule(name=names, after=others, after_ended=others, priority=st.sampled_from([-5, 7, 100]))
    def put_urgent(self, name: str, after: list[str], after_ended: list[str], priority: int) -> None:
        entry = an_entry(
            name,
            a_class(f"p{priority}", priority=priority),
            after=tuple(an_id(other) for other in after if other < name),
            after_ended=tuple(an_id(other) for other in after_ended if other < name),
        )
        self.both("intake.put", "night", [entry])

    @rule(name=names, reads=others, is_done=st.booleans(), extra=others)
    def put_with_files(self, name: str, reads: list[str], is_done: bool, extra: list[str]) -> None:
        """It writes a file of its own name, and reads those of some before it. `extra`: readers known
        beforehand.
        """
        before = [other for other in reads if other < name]
        writes = {f"scratch:{name}": 10}
        files = EntryFiles(
            job=FileJob(
                job_id=an_id(name), writes=writes, reads=tuple(f"scratch:{other}" for other in before)
            ),
            readers={f"scratch:{name}": tuple(an_id(other) for other in extra if other > name)},
            node="node1",
            outputs=writes if is_done else {},
        )
        after = tuple(an_id(other) for other in before)
        # A class has one description: `put` gives c0 a kind.
        job_class = a_class("files")
        entry = an_entry(name, job_class, files=files, after=after, is_done=is_done, attempts=int(is_done))
        self.both("intake.put", "night", [entry])

    @rule(wanted=st.integers(0, 25), most=st.integers(0, 2))
    def begin_removal(self, wanted: int, most: int) -> None:
        self.both("files.begin_removal", "node1", "scratch", wanted, most)

    @rule(name=names)
    def gone(self, name: str) -> None:
        self.both("files.gone", "node1", [f"scratch:{name}"])

    @rule(name=names, ids=others)
    def keep(self, name: str, ids: list[str]) -> None:
        self.both("files.keep", {f"scratch:{name}": [an_id(other) for other in ids]})

    @rule(name=names, attempt=attempts, size=st.integers(0, 20))
    def accept_with_files(self, name: str, attempt: int, size: int) -> None:
        fact = OutputFact(path=f"scratch:{name}", bytes=size, sha256="0" * 64)
        self.both("attempts.accept", msgspec.structs.replace(a_receipt(name, attempt), outputs=(fact,)))

    @rule(first=names, second=names, attempt=attempts, room=st.integers(1, 3))
    def admit(self, first: str, second: str, attempt: int, room: int) -> None:
        admissions = [
            Admission(
                reservation=a_reservation(name, attempt, disk={"scratch": 10**15}, held={":nuke": 1}),
                backlog="night",
                ceilings={"node1:cpu_milli": room * 1000, ":nuke": 2},
            )
            for name in (first, second)
        ]
        self.redis_and_memory_epochs(admissions)

    @rule(role=roles, code=codes)
    def admit_what_may_go(self, role: str, code: str) -> None:
        found = [
            (head, c.job_class.kind)
            for c in self.memory.ledger.waiting.candidates(Lookahead(heads=1))
            for head in c.heads
        ]
        rows = [
            a_reservation(
                head.job_id.removesuffix("-0000000"),
                head.attempts + 1,
                kind=kind,
                role=role,
                code=code,
                breaker=2,
            )
            for head, kind in found
        ]
        self.redis_and_memory_epochs([Admission(reservation=row, backlog="night") for row in rows])

    @rule(first=names, second=names, attempt=attempts, is_late=st.booleans())
    def name_successors(self, first: str, second: str, attempt: int, is_late: bool) -> None:
        """What may go now goes next where these two end."""
        found = [head for c in self.memory.ledger.waiting.candidates(Lookahead(heads=2)) for head in c.heads]
        successors = [
            Successor(
                predecessor=an_id(name),
                attempt=attempt,
                admission=Admission(
                    reservation=a_reservation(head.job_id.removesuffix("-0000000"), head.attempts + 1),
                    backlog="night",
                    ceilings={"node1:cpu_milli": 3000},
                ),
            )
            for name, head in zip({first: 0, second: 0}, found, strict=False)
        ]
        for scene in (self.redis, self.memory):
            seen, _ = scene.ledger.handover.successions()
            scene.ledger.handover.admit(scene.epoch, [], successors, seen + is_late)

    @rule(worker=workers)
    def take(self, worker: str) -> None:
        assert self.redis.take("cpu-node1", worker) == self.memory.take("cpu-node1", worker)

    @rule(worker=workers)
    def take_and_start(self, worker: str) -> None:
        taken = self.memory.take("cpu-node1", worker)
        assert self.redis.take("cpu-node1", worker) == taken
        if taken is not None:
            self.both("attempts.start", *taken, worker, 5000.0)

    @rule(name=names, attempt=attempts, worker=workers)
    def start(self, name: str, attempt: int, worker: str) -> None:
        self.both("attempts.start", an_id(name), attempt, worker, 5000.0)

    @rule(
        worker=workers,
        done=names,
        back=names,
        attempt=attempts,
        most=st.integers(0, 3),
        is_idle=st.booleans(),
        pace=st.sampled_from([None, 0.1]),
        number=st.sampled_from(["1", "2"]),
        is_from_hand=st.booleans(),
    )
    def turn(
        self, worker: str, done: str, back: str, attempt: int, most: int, is_idle: bool, pace: float | None,
        number: str, is_from_hand: bool,
    ) -> None:  # fmt: skip
        taken = self.memory.take("cpu-node1", worker)
        assert self.redis.take("cpu-node1", worker) == taken
        turn = WorkerTurn(
            worker=worker, queue="cpu-node1", lease_s=5000.0, number=number, done=(a_receipt(done, attempt),),
            returned=((an_id(back), attempt),), in_hand=(taken,) if taken and not is_from_hand else (),
            most=most, budget_s=0.2, task_durations={} if pace is None else {"media.cut": pace},
            is_idle=is_idle, is_from_hand=is_from_hand,
        )  # fmt: skip
        turned = [scene.ledger.attempts.turn(turn) for scene in (self.redis, self.memory)]
        seen = [(t.answers, [s.line for s in t.started], t.over) for t in turned]
        assert seen[0] == seen[1]

    @rule(
        held=st.lists(st.tuples(names, attempts), max_size=2, unique_by=lambda row: row[0]), worker=workers,
        progress=st.sampled_from([None, 0.5]), has_heard=st.booleans(),
    )  # fmt: skip
    def renew(
        self, held: list[tuple[str, int]], worker: str, progress: float | None, has_heard: bool
    ) -> None:
        """`has_heard`: of all that was handed out. What it does not name it does not run, then."""
        reports = [
            HeldReport(job_id=an_id(name), attempt=attempt, progress=progress) for name, attempt in held
        ]
        told = []
        for scene in (self.redis, self.memory):
            seen = scene.ledger.attempts.renew("nobody", 5000.0, []).step if has_heard else 0
            told.append(scene.ledger.attempts.renew(worker, 5000.0, reports, seen).answers)
        assert told[0] == told[1]

    @rule(name=names, attempt=attempts)
    def accept(self, name: str, attempt: int) -> None:
        self.both("attempts.accept", a_receipt(name, attempt))

    @rule(name=names, attempt=attempts, cause=causes, then=outcomes)
    def fail(self, name: str, attempt: int, cause: str, then: Retry | Dead) -> None:
        self.both("attempts.fail", a_receipt(name, attempt, "failed", cause), then)  # type: ignore[arg-type]

    @rule(told=st.lists(calls, min_size=1, max_size=2))
    def tell_calls(self, told: list[Call]) -> None:
        self.both("calls.tell_calls", told)

    @rule()
    def open_rate(self) -> None:
        self.both("calls.open_rate", "api")

    @rule(name=names, attempt=attempts, then=outcomes)
    def rescue(self, name: str, attempt: int, then: Retry | Dead) -> None:
        self.both("orphans.rescue", an_id(name), attempt, "gone", then)

    @rule(name=names, attempt=attempts)
    def give_back(self, name: str, attempt: int) -> None:
        self.both("orphans.give_back", an_id(name), attempt)

    @rule(name=names, attempt=attempts, worker=workers)
    def adopt(self, name: str, attempt: int, worker: str) -> None:
        self.both("attempts.adopt", a_reservation(name, attempt, disk={"scratch": 10**15}), worker, 5000.0)

    @rule(name=names, after=others, over=st.sampled_from(["dead", "cancelled", None]), n=st.integers(0, 2))
    def put_what_failed_before(self, name: str, after: list[str], over: str | None, n: int) -> None:
        past = {"failures": {"task_error": n}, "cause": "task_error", "message": "it broke"} if n else {}
        wants = tuple(an_id(other) for other in after if other < name)
        entry = an_entry(name, a_class("c0", kind="k0"), after=wants, over=over, attempts=n, **past)
        self.both("intake.put", "night", [entry])

    @rule(
        name=names,
        after=others,
        after_ended=others,
        class_no=st.integers(0, 2),
        words=st.sampled_from(["", "x", "y"]),
        backlog=st.sampled_from(["night", "night", "day"]),
        is_moving=st.booleans(),
        is_trial=st.booleans(),
        size=st.sampled_from([0, 0, 20]),
    )
    def revise(
        self, name: str, after: list[str], after_ended: list[str], class_no: int, words: str, backlog: str,
        is_moving: bool, is_trial: bool, size: int,
    ) -> None:  # fmt: skip
        """It comes again, with another line, other needs, other jobs before it, or into another backlog."""
        files = (
            EntryFiles(job=FileJob(job_id=an_id(name), writes={f"scratch:{name}": size})) if size else None
        )
        entry = msgspec.structs.replace(
            an_entry(
                name,
                a_class(f"{backlog}{class_no}", backlog, kind=f"k{class_no}", priority=5 * class_no),
                after=tuple(an_id(other) for other in after if other < name),
                after_ended=tuple(an_id(other) for other in after_ended if other < name),
                files=files,
            ),
            line=line_of(name) + b" " * len(words) + words.encode(),
        )
        told = [
            scene.ledger.intake.revise(backlog, [entry, entry], is_moving=is_moving, is_trial=is_trial)
            for scene in (self.redis, self.memory)
        ]
        assert told[0] == told[1]

    @rule(name=names)
    def cancel(self, name: str) -> None:
        self.both("commands.cancel", an_id(name))

    @rule(name=names)
    def force_fail(self, name: str) -> None:
        self.both("commands.fail", an_id(name), "stalled", "it hangs")

    @rule(name=names)
    def requeue(self, name: str) -> None:
        self.both("commands.requeue", an_id(name))

    @rule(name=names, attempt=attempts, after=others, after_ended=others)
    def redo(self, name: str, attempt: int, after: list[str], after_ended: list[str]) -> None:
        later = [[an_id(other) for other in some if other > name] for some in (after, after_ended)]
        own = [[an_id(other) for other in some if other < name] for some in (after, after_ended)]
        self.both("commands.redo", an_id(name), attempt, *later, own)

    @rule(kind=kinds)
    def review(self, kind: str) -> None:
        answers = [s.ledger.kinds.review(s.epoch, kind, 1000) for s in (self.redis, self.memory)]
        assert answers[0] == answers[1]

    @rule(name=names, attempt=attempts, token=st.sampled_from(["", "0a0a0a0a"]))
    def show(self, name: str, attempt: int, token: str) -> None:
        receipt = msgspec.structs.replace(a_receipt(name, attempt, "review"), review=ASKED, token=token)
        self.both("attempts.accept", msgspec.structs.replace(receipt, code_version="v1"))

    @rule(name=names, attempt=attempts, item=st.integers(0, 1), who=st.sampled_from(["ann", "bob"]))
    def judge(self, name: str, attempt: int, item: int, who: str) -> None:
        verdict = ItemVerdict(item=item, is_accepted=who == "ann", who=who, at=1.0)
        self.both("reviews.judge", an_id(name), str(attempt), [verdict])

    @rule(name=names, attempt=attempts)
    def reject(self, name: str, attempt: int) -> None:
        self.both("reviews.reject", an_id(name), str(attempt), "rejected", "too dark")

    @rule(kind=kinds)
    def resume(self, kind: str) -> None:
        self.both("kinds.resume", kind)

    @rule(name=names)
    def retry(self, name: str) -> None:
        self.both("commands.retry", an_id(name))

    @rule(name=names)
    def reclass(self, name: str) -> None:
        self.both("commands.reclass", an_id(name), a_class("c9"))

    @rule(name=names, priority=st.sampled_from((-5, 0, 3, 7)))
    def prioritise(self, name: str, priority: int) -> None:
        self.both("priorities.prioritise", an_id(name), priority)


def test_redis_and_its_twin_answer_alike_whatever_is_asked(redis_url: str) -> None:
    play(redis_url, Twins)
