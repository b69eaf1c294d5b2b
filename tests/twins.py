"""Redis and its in-memory twin side by side: what is asked of both, and how they are looked at after each
verb.
"""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from ledger_scenes import LedgerScene, a_class, an_id, assert_conserved, assert_consistent, redis_scene

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import Fenced
from conductor.model.calls import Call, EndpointFault
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import KindState, Lookahead, Reservation

NAMES = [f"j{n}" for n in range(6)]
names = st.sampled_from(NAMES)
attempts = st.integers(1, 3)
workers = st.sampled_from(["w1", "w2"])
kinds = st.sampled_from(["k0", "k1"])
roles = st.sampled_from(["", "", "canary", "probe", "canary_by_eye"])
codes = st.sampled_from(["v1", "v2"])
others = st.lists(names, max_size=2, unique=True)
#: At once, or so late that it is never due in here: the two run on different clocks.
outcomes = st.sampled_from(
    [Retry(), Retry(delay_s=5000.0), Retry(job_class=a_class("raised", kind="k0")), Dead()]
)
calls = st.builds(
    Call,
    key=st.just("api"),
    outcome=st.sampled_from(["ok", "refused", "failed", "uncalled"]),
    job_id=names.map(an_id),
    attempt=attempts,
    #: Sent now, or before all that was told of.
    took_s=st.sampled_from([0.0, 5000.0]),
    closes_for_s=st.sampled_from([None, 5000.0]),
    trouble=st.sampled_from([None, "limited", "busy", "down", "refuses", "faulty"]),
    words=st.sampled_from(["", "no credit"]),
)
causes = st.sampled_from(["task_error", "server_error", "cancelled"])


def timeless(held: Reservation | None) -> object:
    if held is None:
        return None
    started_at = None if held.started_at is None else 0.0
    return msgspec.structs.replace(held, admitted_at=0.0, started_at=started_at, since=0.0)


def timeless_kind(kind: KindState) -> KindState:
    opened_at = None if kind.opened_at is None else 0.0
    return msgspec.structs.replace(kind, since=0.0, last_at=0.0, opened_at=opened_at)


def timeless_endpoint_fault(endpoint_fault: EndpointFault) -> EndpointFault:
    return msgspec.structs.replace(endpoint_fault, since=0.0, last_at=0.0)


def look(scene: LedgerScene) -> dict[str, object]:
    """Everything that can be seen, less the times of day."""
    kinds, lie = scene.ledger.kinds.states()
    seen: dict[str, object] = {
        "kinds": [timeless_kind(kind) for kind in kinds],
        "review": (lie, scene.ledger.kinds.in_review()),
        "shown": (scene.ledger.reviews.shown(), scene.ledger.reviews.asked([an_id(name) for name in NAMES])),
        "asked": scene.ledger.commands.asked(),
        "counts": scene.ledger.tallies.counts(),
        "causes": (scene.ledger.tallies.causes(), scene.ledger.tallies.causes("day")),
        "states": scene.ledger.jobs.states([an_id(name) for name in NAMES]),
        "queued": scene.ledger.handover.queued(),
        "handed on": (scene.ledger.handover.successions(), scene.ledger.handover.early_successions()),
        "reservations": sorted((timeless(r) for r in scene.ledger.handover.reservations()), key=repr),
        "held": {w: sorted(r.job_id for r in scene.ledger.orphans.held_by(w)) for w in ("w1", "w2")},
        "chains": scene.ledger.waiting.chain_states([an_id(name) for name in NAMES]).chains,
        "begun": scene.ledger.waiting.chain_states([]).chains,
        "removable": scene.ledger.files.removable("node1", ["scratch"]),
        "going": (scene.ledger.files.begin_removal("node1"), scene.ledger.files.keep({})),
        "endpoint_faults": {
            key: timeless_endpoint_fault(p) for key, p in scene.ledger.calls.endpoint_faults().items()
        },
        "rates": (sorted(scene.ledger.calls.closings()), scene.ledger.calls.refusals()),
        "told": sorted(scene.ledger.calls.calls(), key=repr),
        "orphans": sorted(r.job_id for r in scene.ledger.orphans.orphans(5000)),
    }
    for c in scene.ledger.waiting.candidates(Lookahead(heads=10)):
        seen[c.job_class.id] = (c.job_class, c.waiting, [(h.job_id, h.attempts) for h in c.heads])
    for name in NAMES:
        view = scene.ledger.jobs.job(an_id(name))
        if view is not None:
            fields = msgspec.structs.asdict(view) | {"since": 0, "reservation": timeless(view.reservation)}
            # Which of several dead roots is named is left open.
            if view.cause == "dependency_dead":
                fields["message"] = ""
            seen[name] = fields | {"not_before": view.not_before is None, "failures": dict(view.failures)}
    return seen


class Both(RuleBasedStateMachine):
    redis: LedgerScene
    memory: LedgerScene

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


def play(redis_url: str, kind: type[Both]) -> None:
    """Random verbs of that kind, on an empty ledger each time."""
    with connect(redis_url) as client:

        class TwinMachine(kind):
            def __init__(self) -> None:
                super().__init__()
                client.flushall()
                self.redis = redis_scene(client, redis_ledger(client))
                clock = ManualClock(1_700_000_000.0)
                ledger = memory_ledger(clock)
                assert isinstance(ledger.handover, MemoryHandover)
                self.memory = LedgerScene(ledger, clock.advance, ledger.handover.take)

        run_state_machine_as_test(
            TwinMachine,
            settings=settings(
                max_examples=25,
                # To trace what failures have in common costs minutes, and the steps are printed in any case.
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
                stateful_step_count=25,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
