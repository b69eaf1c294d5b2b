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
