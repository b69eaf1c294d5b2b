"""Canaries and breakers under any interleaving of ticks, workers, failures, new code and the passing of
time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from builders import a_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_scenes import a_class as a_ledger_class
from ledger_scenes import a_receipt, an_entry, an_id

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.core.admission.admission import decide
from conductor.core.failures.retry import after_failure
from conductor.model.limits import BreakerRule, Limits
from conductor.model.snapshot import RateState, Reservation
from conductor.tick.apply import apply
from conductor.tick.observe import observe

KIND, TASK = "media.cut", "media.cut"
CANARIES, ALIKE, PROBES = 3, 4, 2
LIMITS = Limits(
    depth={"cpu": 3, "gpu": 2, "io": 2, "cloud": 5},
    canary={TASK: CANARIES},
    breaker=BreakerRule(failures=ALIKE, probes=PROBES, first_s=60.0, longest_s=600.0),
    report_ttl_s=1e9,
)
NO_CANARY = msgspec.structs.replace(LIMITS, canary={})
JOBS = 24


class KindsNoRates:
    def states(self, now: float, active: object = None) -> tuple[RateState, ...]:
        return ()

    def take(self, *_: object) -> None: ...


class KindsWorld:
    """One node, a few workers, and jobs that are bad by their number or by the code."""

    def __init__(self, limits: Limits, bad: Callable[[int, str], str]) -> None:
        """`bad`: the message with which a job fails under a code; empty: it does well."""
        self.limits = limits
        self.bad = bad
        self.clock = ManualClock(1_700_000_000.0)
        self.ledger = memory_ledger(self.clock)
        assert isinstance(self.ledger.handover, MemoryHandover)
        self.handover = self.ledger.handover
        self.epoch = self.ledger.leadership.lead("c", 1e9) or 0
        self.code = "v1"
        self.attempts: Counter[str] = Counter()
        names = [f"j{n:02}" for n in range(JOBS)]
        self.ledger.intake.put("night", [an_entry(name, a_ledger_class(kind=KIND)) for name in names])
        later = a_ledger_class("c2", kind="media.join")
        self.ledger.intake.put("night", [an_entry("z", later, after=(an_id(names[-1]),))])

    def tick(self) -> None:
        self.ledger.reports.publish(
            a_report("node1", code={TASK: self.code, "media.join": "v1"}, workers=3), 1e9
        )
        snapshot, candidates = observe(self.ledger, KindsNoRates())
        apply(self.ledger, KindsNoRates(), self.epoch, decide(snapshot, candidates, self.limits))
        self.check()

    def start(self) -> None:
        if len(self.running()) < 3 and (taken := self.handover.take("cpu-node1", "w")) is not None:
            self.ledger.attempts.start(*taken, "w", 1e9)
            self.check()

    def end(self, which: int) -> None:
        running = self.running()
        if not running:
            return
        held = running[which % len(running)]
        name = held.job_id.removesuffix("-0000000")
        message = "" if held.kind != KIND else self.bad(int(name[1:]), held.code)
        receipt = msgspec.structs.replace(a_receipt(name, held.attempt), code_version=held.code)
        self.attempts[held.code] += 1
        before = self.opened()
        if not message:
            self.ledger.attempts.accept(receipt)
        else:
            failures = job.failures if (job := self.ledger.jobs.job(held.job_id)) else {}
            receipt = msgspec.structs.replace(receipt, outcome="failed", cause="task_error", message=message)
            self.ledger.attempts.fail(receipt, after_failure("task_error", failures, {}))
            self.check_opening(before, held)
        self.check()

    def running(self) -> list[Reservation]:
        return [r for r in self.handover.reservations() if r.state == "running"]

    def opened(self) -> set[str]:
        return {s.version for s in self.ledger.kinds.states()[0] if s.opened_at is not None}

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────

    def check_opening(self, before: set[str], held: Reservation) -> None:
        for state in self.ledger.kinds.states()[0]:
            if state.version == held.code and held.role != "probe" and state.opened_at is not None:
                assert state.version in before or state.failed == ALIKE, "it opens at exactly the nth"
            if state.opened_at is None:
                assert state.failed < ALIKE

    def check(self) -> None:
        states = {s.version: s for s in self.ledger.kinds.states()[0] if s.kind == KIND}
        mine = [r for r in self.handover.reservations() if r.kind == KIND]
        for code, held in ((c, [r for r in mine if r.code == c]) for c in {r.code for r in mine}):
            verified = states[code].verified if code in states else 0
            wanted = self.limits.canary.get(TASK, 0)
            assert verified >= wanted or len(held) <= max(wanted - verified, 1), (
                "too many unverified in flight"
            )
        assert sum(r.role == "probe" for r in mine) <= 1, "one try at a time"
        for held in mine:
            state = states.get(held.code)
            if held.state == "admitted" and state is not None and state.opened_at is not None:
                assert held.role == "probe", "what is not started went back when its kind was closed"

    # ── to the end ────────────────────────────────────────────────────────────────────────────────────────

    def run_out(self) -> dict[str, int]:
        for _ in range(40 * JOBS):
            counts = self.ledger.tallies.counts()
            if not counts["waiting"] + counts["admitted"] + counts["running"]:
                return {state: n for state, n in counts.items() if n}
            self.tick()
            for _ in range(3):
                self.start()
            for _ in range(3):
                self.end(0)
            self.clock.advance(30.0)
        raise AssertionError(f"it does not end: {counts}")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.just(0)),
        st.tuples(st.just("start"), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 200)),
        st.tuples(st.just("code"), st.integers(1, 3)),
        st.tuples(st.just("retry"), st.just(0)),
    ),
    max_size=60,
)
#: Of each job under each code: does well, or fails in one of two ways.
faults = st.dictionaries(
    st.tuples(st.integers(0, JOBS - 1), st.sampled_from(["v1", "v2", "v3"])),
    st.sampled_from(["it broke at 7", "another word"]),
    max_size=3 * JOBS,
)
quickly = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def play(world: KindsWorld, done: list[tuple[str, int]]) -> None:
    for verb, n in done:
        match verb:
            case "wait":
                world.clock.advance(n)
            case "code":
                world.code = f"v{n}"
            case "end":
                world.end(n)
            case "retry":
                for job_id in list(world.ledger.jobs.ids("review")):
                    world.ledger.commands.retry(job_id)
            case "start":
                world.start()
            case _:
                world.tick()


@given(steps, faults, st.sampled_from([LIMITS, NO_CANARY]))
@quickly
def test_never_too_many_unverified_closed_at_exactly_the_nth_and_it_always_ends(
    done: list[tuple[str, int]], bad: dict[tuple[int, str], str], limits: Limits
):
    world = KindsWorld(limits, lambda n, code: bad.get((n, code), ""))
    play(world, done)
    ended = world.run_out()
    assert sum(ended.values()) == JOBS + 1


@given(steps, st.sampled_from([LIMITS, NO_CANARY]))
@quickly
def test_a_bad_commit_costs_a_few_attempts_whatever_the_order(done: list[tuple[str, int]], limits: Limits):
    """No retries by the operator, whose word is a new try each time."""
    world = KindsWorld(limits, lambda n, code: f"it broke at {n}")
    play(world, [(verb, n) for verb, n in done if verb not in ("retry", "code")])
    ended = world.run_out()
    assert set(ended) <= {"review", "dead"}
    # Three workers: two more may run when the last of those alike fails. What comes late enough gets one try
    # more.
    assert world.attempts["v1"] <= ALIKE + 2 + PROBES + 1


@given(st.sets(st.integers(0, JOBS - 1), max_size=ALIKE + PROBES - 1), steps)
@quickly
def test_good_ones_among_bad_ones_are_all_done(bad: set[int], done: list[tuple[str, int]]):
    """However the bad ones lie, and whenever their retries come: too few to use up the tries by
    themselves.
    """
    world = KindsWorld(NO_CANARY, lambda n, code: "clip 3 is corrupt" if n in bad else "")
    play(world, [(verb, n) for verb, n in done if verb not in ("retry", "code")])
    ended = world.run_out()
    is_last_good = JOBS - 1 not in bad
    assert ended["done"] == JOBS - len(bad) + is_last_good
    assert sum(ended.values()) == JOBS + 1
