"""Builders and a scene for tests of the ledger: one set of verbs over Redis and over the in-memory twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis import Redis

from conductor.base.redis_keys import PLAIN, STATE_OF, Keys
from conductor.model.causes import Cause
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import STATES, Entry, HeldReport, JobState, JobView
from conductor.model.receipt import Outcome, Receipt
from conductor.model.snapshot import JobClass, Lookahead, Reservation
from conductor.model.spec import Lane, Needs
from conductor.ports import Ledger

NODE = "node1"
LEASE_S = 30.0


def a_class(class_id: str = "c1", backlog: str = "night", lane: Lane = "cpu", **more: object) -> JobClass:
    return JobClass(id=class_id, backlog=backlog, task="media.cut", lane=lane, needs=Needs(cpu=1.0), **more)


def an_id(name: str) -> str:
    """A valid job id that still reads as `name`."""
    return f"{name}-0000000"


def an_entry(name: str, job_class: JobClass | None = None, **more: object) -> Entry:
    return Entry(job_id=an_id(name), line=line_of(name), job_class=job_class or a_class(), **more)


def line_of(name: str) -> bytes:
    return b'{"v":1,"id":"' + an_id(name).encode() + '","args":{"text":"naïve  \\" ]"}}'.encode()


def a_reservation(name: str, attempt: int = 1, class_id: str = "c1", **more: object) -> Reservation:
    values: dict[str, object] = {
        "cpu": 1.0,
        "ram_mib": 100,
        "lane": "cpu",
        "queue": "cpu-node1",
        "node": NODE,
        **more,
    }
    return Reservation(job_id=an_id(name), attempt=attempt, class_id=class_id, task="media.cut", **values)


def a_receipt(name: str, attempt: int = 1, outcome: Outcome = "ok", cause: Cause | None = None) -> Receipt:
    return Receipt(
        v=1,
        job_id=an_id(name),
        attempt=attempt,
        workflow="system_test",
        task="media.cut",
        outcome=outcome,
        cause=cause,
        message="" if outcome == "ok" else "it broke",
        started_at=1.0,
        ended_at=2.0,
        node=NODE,
        worker="w1",
    )


@dataclass
class LedgerScene:
    """A ledger with short verbs. Names stand for job ids; after every verb the whole ledger is checked."""

    ledger: Ledger
    #: Lets so much of the ledger's time pass.
    let: Callable[[float], None]
    take: Callable[[str, str], tuple[str, int] | None]
    #: None for the twin.
    redis: Redis | None = None
    keys: Keys = PLAIN
    epoch: int = 0
    dispatched: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        epoch = self.ledger.leadership.lead("conductor-1", 3600)
        assert epoch is not None
        self.epoch = epoch

    # ── verbs ─────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, *entries: Entry, backlog: str = "night") -> tuple[int, int]:
        result = self.ledger.intake.put(backlog, entries)
        self.dispatched |= {entry.job_id for entry in entries}
        self.check()
        return result.new, result.known

    def admit(
        self, name: str, attempt: int = 1, ceilings: dict[str, int] | None = None, **more: object
    ) -> str | None:
        admission = Admission(
            reservation=a_reservation(name, attempt, **more), backlog="night", ceilings=ceilings or {}
        )
        (answer,) = self.ledger.handover.admit(self.epoch, [admission])
        self.check()
        return answer

    def start(self, name: str, attempt: int = 1, worker: str = "w1", lease_s: float = LEASE_S) -> None:
        self.ledger.attempts.start(an_id(name), attempt, worker, lease_s)
        self.check()

    def run(self, name: str, attempt: int = 1, worker: str = "w1", lease_s: float = LEASE_S) -> None:
        """Admit and start."""
        assert self.admit(name, attempt) is None
        assert self.take("cpu-node1", worker) == (an_id(name), attempt)
        self.start(name, attempt, worker, lease_s)

    def accept(self, name: str, attempt: int = 1) -> str:
        answer = self.ledger.attempts.accept(a_receipt(name, attempt))
        self.check()
        return answer

    def fail(
        self, name: str, attempt: int = 1, cause: Cause = "task_error", then: Retry | Dead | None = None
    ) -> str:
        answer = self.ledger.attempts.fail(a_receipt(name, attempt, "failed", cause), then or Retry())
        self.check()
        return answer

    def rescue(self, name: str, attempt: int = 1, then: Retry | Dead | None = None) -> bool:
        answer = self.ledger.orphans.rescue(an_id(name), attempt, "the worker is gone", then or Retry())
        self.check()
        return answer

    def renew(self, name: str, attempt: int = 1, worker: str = "w1", lease_s: float = LEASE_S) -> str:
        """Of a worker that holds this and nothing else, and has heard no answer."""
        (answer,) = self.ledger.attempts.renew(
            worker, lease_s, [HeldReport(job_id=an_id(name), attempt=attempt)]
        ).answers
        return answer

    def cancel(self, name: str) -> JobState | None:
        answer = self.ledger.commands.cancel(an_id(name))
        self.check()
        return answer

    def force_fail(self, name: str, cause: Cause = "stalled") -> JobState | None:
        answer = self.ledger.commands.fail(an_id(name), cause, "by the operator: it hangs")
        self.check()
        return answer

    def requeue(self, name: str) -> JobState | None:
        answer = self.ledger.commands.requeue(an_id(name))
        self.check()
        return answer

    def redo(
        self, name: str, attempt: int = 1, after: Sequence[str] = (), after_ended: Sequence[str] = ()
    ) -> bool:
        answer = self.ledger.commands.redo(
            an_id(name), attempt, [an_id(n) for n in after], [an_id(n) for n in after_ended]
        )
        self.check()
        return answer

    def retry(self, name: str) -> bool:
        answer = self.ledger.commands.retry(an_id(name))
        self.check()
        return answer

    # ── readings ──────────────────────────────────────────────────────────────────────────────────────────

    def view(self, name: str) -> JobView:
        view = self.ledger.jobs.job(an_id(name))
        assert view is not None, f"{name} is unknown"
        return view

    def state(self, name: str) -> JobState:
        return self.view(name).state

    def heads(self, n: int = 10, backlogs: Sequence[str] = ()) -> list[str]:
        """Names of the jobs that may go now, in order, over all classes."""
        found = self.ledger.waiting.candidates(Lookahead(heads=n, backlogs=tuple(backlogs)))
        return [head.job_id.removesuffix("-0000000") for candidate in found for head in candidate.heads]

    def check(self) -> None:
        assert_conserved(self.ledger, self.dispatched)
        if self.redis is not None:
            assert_consistent(self.redis, self.keys)


def assert_conserved(ledger: Ledger, dispatched: set[str] | None = None) -> None:
    """Dispatched = the sum over the states, at this instant, each job in exactly one; and reservations
    match.
    """
    counts = ledger.tallies.counts()
    by_state = {state: set(ledger.jobs.ids(state)) for state in STATES}
    assert counts == {state: len(ids) for state, ids in by_state.items()}
    everything = set().union(*by_state.values())
    assert len(everything) == sum(counts.values()), "a job in two states"
    if dispatched is not None:
        assert everything == dispatched
    held = {r.job_id: r.state for r in ledger.handover.reservations()}
    assert held == dict.fromkeys(by_state["admitted"], "admitted") | dict.fromkeys(
        by_state["running"], "running"
    )
    for job_id in by_state["waiting"] | by_state["dead"] | by_state["done"] | by_state["cancelled"]:
        view = ledger.jobs.job(job_id)
        assert view is not None
        assert view.reservation is None


def assert_consistent(redis: Redis, keys: Keys = PLAIN) -> None:
    """What only Redis can get wrong: indexes that disagree with the states, sums with the reservations."""
    state = {k.decode(): v.decode().split("|") for k, v in redis.hgetall(keys.state).items()}
    letters: dict[str, set[str]] = {letter: set() for letter in STATE_OF}
    for job_id, fields in state.items():
        letters[fields[0]].add(job_id)
    free: set[str] = set()
    for key in redis.keys(f"{keys.ledger}class:*"):
        members = {m.decode() for m in redis.zrange(key, 0, -1)}
        assert members, "an empty class is no key"
        assert redis.sismember(keys.ledger + "ready", key.decode().rpartition(":")[2])
        free |= members
    delayed = {m.decode() for m in redis.zrange(keys.ledger + "delayed", 0, -1)}
    wanting = (redis.keys(f"{keys.ledger}{word}:*") for word in ("waits_for", "waits_for_end"))
    bound = {key.decode().rpartition(":")[2] for found in wanting for key in found}
    assert not free & delayed
    assert free | delayed | (bound & letters["w"]) == letters["w"], "every waiting job waits somewhere"
    assert not (free | delayed) & bound
    assert {m.decode() for m in redis.zrange(keys.ledger + "admitted_at", 0, -1)} == letters["a"]
    assert {m.decode() for m in redis.zrange(keys.leases, 0, -1)} == letters["r"]
    assert {m.decode() for m in redis.hkeys(keys.stop_requests)} <= letters["r"]
    assert {m.decode() for m in redis.zrange(keys.ledger + "stop_grace", 0, -1)} <= letters["r"]
    for letter in "xcv":
        assert {m.decode() for m in redis.smembers(f"{keys.ledger}by_state:{letter}")} == letters[letter]
    active = {k.decode() for k in redis.hkeys(keys.ledger + "reservations")}
    assert active == letters["a"] | letters["r"] == {k.decode() for k in redis.hkeys(keys.ledger + "charges")}
    in_hand = {e.decode() for key in redis.keys(keys.prefetched("*")) for e in redis.lrange(key, 0, -1)}
    assert in_hand <= {f"{job_id}-a{row[1]}" for job_id, row in state.items() if row[0] == "a"}
    assert_sums(redis, keys)
    assert redis.llen(keys.bell) <= 1


def assert_sums(redis: Redis, keys: Keys) -> None:
    import json

    total: dict[str, int] = {}
    for text in redis.hvals(keys.ledger + "charges"):
        for key, amount in json.loads(text).items():
            total[key] = total.get(key, 0) + amount
    assert {k.decode(): int(v) for k, v in redis.hgetall(keys.ledger + "reserved").items()} == total


def steps_back(scene: LedgerScene) -> None:
    """As if another server served what this one has: its history is another one."""
    if scene.redis is not None:
        scene.redis.set(f"{scene.keys.ledger}settled_history", "another.one")
    else:
        scene.ledger.leadership._store.history.server += 1  # type: ignore[attr-defined]


def redis_scene(redis: Redis, ledger: Ledger, keys: Keys = PLAIN) -> LedgerScene:
    def let(seconds: float) -> None:
        """Real time: short spells only."""
        until = ledger.bell.now() + seconds
        while (left := until - ledger.bell.now()) > 0:
            time.sleep(left)
        assert ledger.bell.now() >= until

    def take(queue: str, worker: str) -> tuple[str, int] | None:
        # As `Intake`: a worker is registered before it takes anything.
        redis.sadd(keys.workers, worker)
        entry = redis.lmove(keys.rq_queue(queue), keys.prefetched(worker), "LEFT", "RIGHT")
        if entry is None:
            return None
        job_id, _, attempt = entry.decode().rpartition("-a")
        return job_id, int(attempt)

    return LedgerScene(ledger, let, take, redis, keys=keys)
