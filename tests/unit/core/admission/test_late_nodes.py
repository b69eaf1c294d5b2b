"""A host whose report is late is handed nothing while others can take it."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_report, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import explain
from conductor.core.admission.late_nodes import with_silence
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.report import NodeReport, QueueReport, SingleJobs
from conductor.tick.steps import TickMemory, TickState, remember

LIMITS = Limits(report_late_s=4.0, depth={"cpu": 2, "cloud": 2})
LATE = NOW - 4.5


def decided(*nodes: NodeReport, lane: str = "cpu", waiting: int = 5) -> Decision:
    """As a tick decides, of jobs of which each host takes two at once."""
    candidate = a_candidate(a_class(lane), waiting=waiting, heads=waiting)
    state = TickState(
        epoch=1, memory=TickMemory(limits=LIMITS), snapshot=a_snapshot(nodes=nodes), candidates=(candidate,)
    )
    return decide(remember(state).snapshot, [candidate], LIMITS)


def places(*nodes: NodeReport, lane: str = "cpu") -> list[str]:
    return sorted(admission.reservation.node for admission in decided(*nodes, lane=lane).admit)


def test_others_take_what_would_have_gone_to_one_that_is_late_and_explain_says_so() -> None:
    decision = decided(a_report("late", sent_at=LATE), a_report("heard"))

    assert [admission.reservation.node for admission in decision.admit] == ["heard", "heard"]
    said = " ".join(explain(decision.hold[0], NOW))
    assert "late, it has not reported when it should have, and others can take this" in said


def test_in_time_both_are_handed_something() -> None:
    assert places(a_report("one", sent_at=NOW - 3.9), a_report("two")) == ["one", "one", "two", "two"]


def test_where_all_are_late_the_server_was_away_and_nobody_is_closed() -> None:
    late = [a_report(name, sent_at=LATE) for name in ("one", "two")]

    assert places(*late) == ["one", "one", "two", "two"]


def test_what_nobody_else_could_take_goes_there_all_the_same() -> None:
    cloud = QueueReport(queue="cloud-late", lane="cloud", workers=1)
    only_cpu = a_report("heard", queues=(QueueReport(queue="cpu-heard", lane="cpu", workers=1),))

    assert places(a_report("late", sent_at=LATE, queues=(cloud,)), only_cpu, lane="cloud") == ["late", "late"]
    drains = a_report("drains", is_draining=True)
    assert places(a_report("late", sent_at=LATE), drains) == ["late", "late"]


def test_an_engine_of_single_jobs_may_be_silent() -> None:
    single_jobs = SingleJobs(most=9, cpus=1, ram_mib=1024, time_s=60.0)
    engine = a_report("engine", sent_at=LATE, single_jobs=single_jobs)

    assert with_silence((engine, a_report()), NOW, LIMITS)[0].obstacles == ()


def test_one_that_is_late_is_the_same_report_from_tick_to_tick() -> None:
    nodes = (a_report("late", sent_at=LATE), a_report("heard"))

    assert with_silence(nodes, NOW, LIMITS) == with_silence(nodes, NOW + 1, LIMITS)
