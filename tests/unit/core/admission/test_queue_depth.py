"""Queues are shallow, but for lanes in which everything is over in milliseconds."""

from __future__ import annotations

from builders import a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.queue_depth import AHEAD_S, MOST_AHEAD, depths
from conductor.model.limits import Limits
from conductor.model.report import QueueReport

SHORT = {"short.one": 0.01}
CLOUD = QueueReport(queue="cloud-node1", lane="cloud", workers=10)
NODES = (a_report(queues=(CLOUD,)),)


def candidate(task: str, waiting: int = 500):
    return a_candidate(a_class("cloud", id=task, task=task), waiting=waiting, heads=waiting)


def test_a_lane_of_short_jobs_has_work_ahead_for_all_its_workers():
    deep = depths(NODES, (), [candidate("short.one")], SHORT, Limits())

    assert deep == {"cloud-node1": round(10 * AHEAD_S / 0.01)}


def test_one_long_job_waiting_or_running_keeps_its_lane_shallow():
    both = [candidate("short.one"), candidate("long.one")]
    running = a_reservation(lane="cloud", queue="cloud-node1", task="long.one", state="running")

    assert depths(NODES, (), both, SHORT, Limits()) == {}
    assert depths(NODES, (running,), both[:1], SHORT, Limits()) == {}


def test_a_long_job_of_another_lane_changes_nothing():
    running = a_reservation(lane="gpu", queue="gpu-node1", task="long.one", state="running")

    assert depths(NODES, (running,), [candidate("short.one")], SHORT, Limits()) != {}


def test_however_short_a_queue_has_an_end():
    deep = depths(NODES, (), [candidate("short.one")], {"short.one": 0.000001}, Limits())

    assert deep == {"cloud-node1": MOST_AHEAD}


def test_nothing_is_deeper_while_nobody_has_seen_a_short_one():
    assert depths(NODES, (), [candidate("short.one")], {}, Limits()) == {}


def test_the_decision_feeds_as_deep_as_the_snapshot_says():
    snapshot = a_snapshot(nodes=NODES, reservations=(), queued={}, deep={"cloud-node1": 40})

    assert len(decide(snapshot, [candidate("short.one")], Limits()).admit) == 40
    assert len(decide(a_snapshot(nodes=NODES), [candidate("short.one")], Limits()).admit) == 5


def queues_of(deep: int | None, going: int = 0) -> list[str]:
    """Where twelve jobs go, with three hosts of four workers; so many are under way on the last one."""
    hosts = [QueueReport(queue=f"cloud-{name}", lane="cloud", workers=4) for name in "abc"]
    nodes = tuple(a_report(queue.queue.removeprefix("cloud-"), queues=(queue,)) for queue in hosts)
    running = tuple(
        a_reservation(f"r{n}", lane="cloud", node="c", queue="cloud-c", task="short.one", state="running")
        for n in range(going)
    )
    snapshot = a_snapshot(
        nodes=nodes, reservations=running, queued={}, deep={q.queue: deep for q in hosts} if deep else {}
    )
    admitted = decide(snapshot, [candidate("short.one", waiting=12)], Limits()).admit
    return [admission.reservation.queue for admission in admitted]


def test_short_jobs_go_in_bundles_for_a_worker_begins_and_ends_several_in_a_turn():
    assert queues_of(deep=32) == ["cloud-a"] * 8 + ["cloud-b"] * 4
    # What was begun is filled first.
    assert queues_of(deep=32, going=5) == ["cloud-c"] * 3 + ["cloud-a"] * 8 + ["cloud-b"]


def test_jobs_of_which_a_worker_does_one_at_a_time_are_spread():
    assert queues_of(deep=None)[:3] == ["cloud-a", "cloud-b", "cloud-c"]
    assert queues_of(deep=12)[:3] == ["cloud-a", "cloud-b", "cloud-c"]
    assert queues_of(deep=28)[:3] == ["cloud-a", "cloud-b", "cloud-c"]
