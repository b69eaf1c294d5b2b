"""Random verbs on Redis and on its in-memory twin: every answer and every view is the same, and the books balance."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from ledger_scenes import (
    Scene,
    a_class,
    a_receipt,
    a_reservation,
    an_entry,
    an_id,
    assert_conserved,
    assert_consistent,
    redis_scene,
)

from conductor.adapters.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.redis_books import books_of
from conductor.adapters.redis_scripts import Scripts
from conductor.errors import Fenced
from conductor.model.decision import Admission, Heir
from conductor.model.entries import Begun, EntryFiles, Turn, Turned
from conductor.model.files import FileJob
from conductor.model.outcome import Dead, Retry
from conductor.model.receipt import OutputFact
from conductor.model.snapshot import KindState, Look, Reservation
from conductor.recovery.audit_books import reservations
from conductor.wiring import connect, redis_ledger

NAMES = [f"j{n}" for n in range(6)]
names = st.sampled_from(NAMES)
attempts = st.integers(1, 3)
workers = st.sampled_from(["w1", "w2"])
kinds = st.sampled_from(["k0", "k1"])
roles = st.sampled_from(["", "", "canary", "probe"])
codes = st.sampled_from(["v1", "v2"])
others = st.lists(names, max_size=2, unique=True)
#: At once, or so late that it is never due in here: the two run on different clocks.
outcomes = st.sampled_from([Retry(), Retry(delay_s=5000.0), Retry(job_class=a_class("raised", kind="k0")), Dead()])
causes = st.sampled_from(["task_error", "server_error", "cancelled"])


def timeless(held: Reservation | None) -> object:
    if held is None:
        return None
    started_at = None if held.started_at is None else 0.0
    return msgspec.structs.replace(held, admitted_at=0.0, started_at=started_at)


def timeless_kind(kind: KindState) -> KindState:
    opened_at = None if kind.opened_at is None else 0.0
    return msgspec.structs.replace(kind, since=0.0, last_at=0.0, opened_at=opened_at)


def look(scene: Scene) -> dict[str, object]:
    """Everything that can be seen, less the times of day."""
    kinds, lie = scene.ledger.kinds.states()
    seen: dict[str, object] = {
        "kinds": [timeless_kind(kind) for kind in kinds],
        "review": (lie, scene.ledger.kinds.in_review()),
        "asked": scene.ledger.control.asked(),
        "counts": scene.ledger.backlog.counts(),
        "causes": (scene.ledger.backlog.causes(), scene.ledger.backlog.causes("day")),
        "known": scene.ledger.backlog.known([an_id(name) for name in NAMES]),
        "queued": scene.ledger.handover.queued(),
        "handed on": (scene.ledger.handover.handed_on(), scene.ledger.handover.handed_ahead()),
        "reservations": sorted((timeless(r) for r in scene.ledger.handover.reservations()), key=repr),
        "held": {w: sorted(r.job_id for r in scene.ledger.attempts.held_by(w)) for w in ("w1", "w2")},
        "chains": scene.ledger.backlog.outlook([an_id(name) for name in NAMES]).chains,
        "begun": scene.ledger.backlog.outlook([]).chains,
        "removable": scene.ledger.attempts.removable("node1", ["scratch"]),
        "going": (scene.ledger.attempts.let_go("node1"), scene.ledger.backlog.keep({})),
        "orphans": sorted(r.job_id for r in scene.ledger.handover.orphans(5000)),
    }
    for c in scene.ledger.backlog.candidates(Look(heads=10)):
        seen[c.job_class.id] = (c.job_class, c.waiting, [(h.job_id, h.attempts) for h in c.heads])
    for name in NAMES:
        view = scene.ledger.backlog.job(an_id(name))
        if view is not None:
            fields = msgspec.structs.asdict(view) | {"since": 0, "reservation": timeless(view.reservation)}
            # Which of several dead roots is named is left open.
            if view.cause == "dependency_dead":
                fields["message"] = ""
            seen[name] = fields | {"not_before": view.not_before is None, "failures": dict(view.failures)}
    return seen


class Both(RuleBasedStateMachine):
    redis: Scene
    memory: Scene

    def both(self, verb: str, *args: object) -> None:
        """The same verb of the same port on both; the same answer, or the same refusal."""
        port, _, method = verb.partition(".")
        answers: list[object] = []
        for scene in (self.redis, self.memory):
            try:
                answer = getattr(getattr(scene.ledger, port), method)(*args)
            except Fenced:
                answer = "fenced"
            answers.append(getattr(answer, "line", answer))
        assert answers[0] == answers[1], verb

    def redis_and_memory_epochs(self, admissions: list[Admission]) -> None:
        answers = [s.ledger.handover.admit(s.epoch, admissions) for s in (self.redis, self.memory)]
        assert answers[0] == answers[1]

    @invariant()
    def they_look_the_same_and_the_books_balance(self) -> None:
        assert look(self.redis) == look(self.memory)
        assert_conserved(self.redis.ledger)
        assert_conserved(self.memory.ledger)
        assert self.redis.redis is not None
        assert_consistent(self.redis.redis)


class Twins(Both):
    @rule(name=names, after=others, after_ended=others, is_done=st.booleans(), class_no=st.integers(0, 1))
    def put(self, name: str, after: list[str], after_ended: list[str], is_done: bool, class_no: int) -> None:
        entry = an_entry(
            name,
            a_class(f"c{class_no}", kind=f"k{class_no}"),
            # Only what comes before it in the alphabet: a plan has no cycles.
            after=tuple(an_id(other) for other in after if other < name),
            after_ended=tuple(an_id(other) for other in after_ended if other < name),
            is_done=is_done and name == NAMES[0],
        )
        self.both("backlog.put", "night", [entry])

    @rule(name=names, reads=others, is_done=st.booleans(), extra=others)
    def put_with_files(self, name: str, reads: list[str], is_done: bool, extra: list[str]) -> None:
        """It writes a file of its own name, and reads those of some before it. `extra`: readers known beforehand."""
        before = [other for other in reads if other < name]
        writes = {f"scratch:{name}": 10}
        files = EntryFiles(
            job=FileJob(job_id=an_id(name), writes=writes, reads=tuple(f"scratch:{other}" for other in before)),
            readers={f"scratch:{name}": tuple(an_id(other) for other in extra if other > name)},
            node="node1",
            outputs=writes if is_done else {},
        )
        after = tuple(an_id(other) for other in before)
        entry = an_entry(name, a_class("c0"), files=files, after=after, is_done=is_done, attempts=int(is_done))
        self.both("backlog.put", "night", [entry])

    @rule(wanted=st.integers(0, 25), most=st.integers(0, 2))
    def let_go(self, wanted: int, most: int) -> None:
        self.both("attempts.let_go", "node1", "scratch", wanted, most)

    @rule(name=names)
    def gone(self, name: str) -> None:
        self.both("attempts.gone", "node1", [f"scratch:{name}"])

    @rule(name=names, ids=others)
    def keep(self, name: str, ids: list[str]) -> None:
        self.both("backlog.keep", {f"scratch:{name}": [an_id(other) for other in ids]})

    @rule(name=names, attempt=attempts, size=st.integers(0, 20))
    def accept_with_files(self, name: str, attempt: int, size: int) -> None:
        fact = OutputFact(path=f"scratch:{name}", bytes=size, sha256="0" * 64)
        self.both("attempts.accept", msgspec.structs.replace(a_receipt(name, attempt), outputs=(fact,)))

    @rule(first=names, second=names, attempt=attempts, room=st.integers(1, 3))
    def admit(self, first: str, second: str, attempt: int, room: int) -> None:
        admissions = [
            Admission(
                reservation=a_reservation(name, attempt, disk={"scratch": 10**15}),
                backlog="night",
                ceilings={"node1:cpu_milli": room * 1000},
            )
            for name in (first, second)
        ]
        self.redis_and_memory_epochs(admissions)

    @rule(role=roles, code=codes)
    def admit_what_may_go(self, role: str, code: str) -> None:
        found = [
            (head, c.job_class.kind) for c in self.memory.ledger.backlog.candidates(Look(heads=1)) for head in c.heads
        ]
        rows = [
            a_reservation(
                head.job_id.removesuffix("-0000000"), head.attempts + 1, kind=kind, role=role, code=code, breaker=2
            )
            for head, kind in found
        ]
        self.redis_and_memory_epochs([Admission(reservation=row, backlog="night") for row in rows])

    @rule(first=names, second=names, attempt=attempts, is_late=st.booleans())
    def name_heirs(self, first: str, second: str, attempt: int, is_late: bool) -> None:
        """What may go now goes next where these two end."""
        found = [head for c in self.memory.ledger.backlog.candidates(Look(heads=2)) for head in c.heads]
        heirs = [
            Heir(
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
            seen, _ = scene.ledger.handover.handed_on()
            scene.ledger.handover.admit(scene.epoch, [], heirs, seen + is_late)

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
        worker=workers, done=names, back=names, attempt=attempts, most=st.integers(0, 3), is_idle=st.booleans(),
        pace=st.sampled_from([None, 0.1]), number=st.sampled_from(["1", "2"]), is_from_hand=st.booleans(),
    )  # fmt: skip
    def turn(
        self, worker: str, done: str, back: str, attempt: int, most: int, is_idle: bool, pace: float | None,
        number: str, is_from_hand: bool,
    ) -> None:  # fmt: skip
        taken = self.memory.take("cpu-node1", worker)
        assert self.redis.take("cpu-node1", worker) == taken
        turn = Turn(
            worker=worker, queue="cpu-node1", lease_s=5000.0, number=number, done=(a_receipt(done, attempt),),
            returned=((an_id(back), attempt),), in_hand=(taken,) if taken and not is_from_hand else (),
            most=most, budget_s=0.2, paces={} if pace is None else {"media.cut": pace}, is_idle=is_idle,
            is_from_hand=is_from_hand,
        )  # fmt: skip
        turned = [scene.ledger.attempts.turn(turn) for scene in (self.redis, self.memory)]
        seen = [(t.answers, [s.line for s in t.started], t.over) for t in turned]
        assert seen[0] == seen[1]

    @rule(name=names, attempt=attempts, worker=workers, progress=st.sampled_from([None, 0.5]))
    def renew(self, name: str, attempt: int, worker: str, progress: float | None) -> None:
        self.both("attempts.renew", an_id(name), attempt, worker, 5000.0, None, progress, "")

    @rule(name=names, attempt=attempts)
    def accept(self, name: str, attempt: int) -> None:
        self.both("attempts.accept", a_receipt(name, attempt))

    @rule(name=names, attempt=attempts, cause=causes, then=outcomes)
    def fail(self, name: str, attempt: int, cause: str, then: Retry | Dead) -> None:
        self.both("attempts.fail", a_receipt(name, attempt, "failed", cause), then)  # type: ignore[arg-type]

    @rule(name=names, attempt=attempts, then=outcomes)
    def rescue(self, name: str, attempt: int, then: Retry | Dead) -> None:
        self.both("attempts.rescue", an_id(name), attempt, "gone", then)

    @rule(name=names, attempt=attempts)
    def give_back(self, name: str, attempt: int) -> None:
        self.both("attempts.give_back", an_id(name), attempt)

    @rule(name=names, attempt=attempts, worker=workers)
    def adopt(self, name: str, attempt: int, worker: str) -> None:
        self.both("attempts.adopt", a_reservation(name, attempt, disk={"scratch": 10**15}), worker, 5000.0)

    @rule(name=names, after=others, over=st.sampled_from(["dead", "cancelled", None]), n=st.integers(0, 2))
    def put_what_failed_before(self, name: str, after: list[str], over: str | None, n: int) -> None:
        past = {"failures": {"task_error": n}, "cause": "task_error", "message": "it broke"} if n else {}
        wants = tuple(an_id(other) for other in after if other < name)
        entry = an_entry(name, a_class("c0", kind="k0"), after=wants, over=over, attempts=n, **past)
        self.both("backlog.put", "night", [entry])

    @rule(name=names)
    def cancel(self, name: str) -> None:
        self.both("control.cancel", an_id(name))

    @rule(name=names)
    def force_fail(self, name: str) -> None:
        self.both("control.fail", an_id(name), "stalled", "it hangs")

    @rule(name=names)
    def requeue(self, name: str) -> None:
        self.both("control.requeue", an_id(name))

    @rule(name=names, attempt=attempts, after=others, after_ended=others)
    def redo(self, name: str, attempt: int, after: list[str], after_ended: list[str]) -> None:
        later = [[an_id(other) for other in some if other > name] for some in (after, after_ended)]
        own = [[an_id(other) for other in some if other < name] for some in (after, after_ended)]
        self.both("control.redo", an_id(name), attempt, *later, own)

    @rule(kind=kinds)
    def review(self, kind: str) -> None:
        answers = [s.ledger.kinds.review(s.epoch, kind, 1000) for s in (self.redis, self.memory)]
        assert answers[0] == answers[1]

    @rule(kind=kinds)
    def resume(self, kind: str) -> None:
        self.both("kinds.resume", kind)

    @rule(name=names)
    def retry(self, name: str) -> None:
        self.both("control.retry", an_id(name))


class Heirs(Both):
    """Ticks name heirs of what runs, workers hear of it and begin them in time, late or never; others interfere."""

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
        self.both("backlog.put", "night", [an_entry(name, a_class("c0", kind="k0")) for name in NAMES])

    def running(self) -> list[Reservation]:
        return [r for r in self.memory.ledger.handover.reservations() if r.state == "running"]

    @invariant()
    def as_much_is_reserved_in_all(self) -> None:
        assert self.redis.redis is not None
        assert isinstance(self.memory.ledger.handover, MemoryHandover)
        told = cast(dict[bytes, bytes], self.redis.redis.hgetall("conductor:sum"))
        sums = {key.decode(): int(n) for key, n in told.items()}
        assert sums == dict(self.memory.ledger.handover._store.sums)  # pyright: ignore[reportPrivateUsage]
        assert [*reservations(books_of(Scripts(self.redis.redis)))] == []

    def heads(self, most: int, disk: dict[str, int]) -> list[Reservation]:
        found = [head for c in self.memory.ledger.backlog.candidates(Look(heads=most)) for head in c.heads][:most]
        ids = [(head.job_id.removesuffix("-0000000"), head.attempts + 1) for head in found]
        return [a_reservation(*which, kind="k0", code="v1", breaker=2, disk=disk) for which in ids]

    @rule(worker=workers, disk=files)
    def run(self, worker: str, disk: dict[str, int]) -> None:
        if not any(r.worker == worker for r in self.running()):
            rows = [Admission(reservation=row, backlog="night", ceilings=self.cores) for row in self.heads(1, disk)]
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
        """Each of the running has the same one behind it, or all have different ones. `other`: is handed over too."""
        if not self.running():
            self.run("w1", disk)
        admissions = [
            Admission(reservation=msgspec.structs.replace(row, cpu=0.0), backlog="night", ceilings=self.cores)
            for row in self.heads(0 if other is None else 1, other or {})
        ]
        heads = [msgspec.structs.replace(row, cpu=cpu) for row in self.heads(most, disk)]
        pairs = [(r, heads[n % len(heads)]) for n, r in enumerate(self.running())] if heads else []
        heirs = [
            Heir(
                predecessor=r.job_id,
                attempt=r.attempt,
                admission=Admission(reservation=row, backlog="night", ceilings=self.cores),
            )
            for r, row in pairs
        ]
        answers: list[object] = []
        for scene in (self.redis, self.memory):
            seen, _ = scene.ledger.handover.handed_on()
            answers.append(scene.ledger.handover.admit(scene.epoch, admissions, heirs, seen + is_late, looked_at))
        assert answers[0] == answers[1]

    def hear(self, worker: str) -> None:
        words = [scene.ledger.attempts.lined(worker, 0.0) for scene in (self.redis, self.memory)]
        told = [word and (word.predecessor, word.of_attempt, word.job_id, word.attempt) for word in words]
        rows = [word and word.heir and (word.heir.line, timeless(word.heir.reservation)) for word in words]
        assert (told[0], rows[0]) == (told[1], rows[1])
        if told[0] is not None and rows[0] is not None:
            names = ("predecessor", "of_attempt", "job_id", "attempt")
            self.heard.append((worker, Begun(**dict(zip(names, told[0], strict=True)))))  # pyright: ignore[reportArgumentType]

    @rule(
        how=st.sampled_from(["begun", "begun", "not begun", "nothing"]), is_twice=st.booleans(), most=st.integers(0, 1)
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
        turn = Turn(
            worker=worker, queue="cpu-node1", lease_s=5000.0, number=f"t{len(self.heard)}", done=done, most=most,
            begun=(found,) if how == "begun" else (), not_begun=(found,) if how == "not begun" else (), is_idle=True,
        )  # fmt: skip
        for _ in range(1 + is_twice):
            turned = [scene.ledger.attempts.turn(turn) for scene in (self.redis, self.memory)]
            seen = [
                (t.answers, [(s.line, timeless(s.reservation)) for s in t.started], t.over, t.refused) for t in turned
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
        self.both(f"control.{verb}", an_id(name))

    @rule(name=names, how=st.sampled_from(["fail", "rescue", "accept", "give_back"]))
    def end(self, name: str, how: str) -> None:
        view = self.memory.ledger.backlog.job(an_id(name))
        assert view is not None
        attempt = max(1, view.attempts)
        match how:
            case "fail":
                self.both("attempts.fail", a_receipt(name, attempt, "failed", "task_error"), Retry())
            case "rescue":
                self.both("attempts.rescue", an_id(name), attempt, "gone", Retry())
            case "accept":
                self.both("attempts.accept", a_receipt(name, attempt))
            case _:
                self.both("attempts.give_back", an_id(name), attempt)

    @rule(is_paused=st.sampled_from([True, False, False]))
    def pause(self, is_paused: bool) -> None:
        self.both("control.set_paused", "cpu", is_paused)


@pytest.mark.parametrize("kind", [Twins, Heirs])
def test_redis_and_its_twin_answer_alike_whatever_is_asked(redis_url: str, kind: type[Both]) -> None:
    with connect(redis_url) as client:

        class Machine(kind):
            def __init__(self) -> None:
                super().__init__()
                client.flushall()
                self.redis = redis_scene(client, redis_ledger(client))
                clock = ManualClock(1_700_000_000.0)
                ledger = memory_ledger(clock)
                assert isinstance(ledger.handover, MemoryHandover)
                self.memory = Scene(ledger, clock.advance, ledger.handover.take)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
