"""What an operator did to many jobs, and the way back from it, over Redis and over the twin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from ledger_scenes import LedgerScene, an_entry, an_id

from conductor.model.failure_outcome import Dead
from conductor.model.job_filter import JobFilter
from conductor.record.journal import Journal
from conductor.recovery.job_actions import ActedJob, JobVerb, act_on
from conductor.recovery.way_back import WayBack, take_back, way_back

NAMES = "abcd"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def acted(
    scene: LedgerScene, journal: Journal, verb: JobVerb, names: Iterable[str], priority: int | None = None
) -> list[ActedJob]:
    found: list[ActedJob] = []
    ids = [an_id(name) for name in names]
    wanted = JobFilter(ids=tuple(ids))
    act_on(scene.ledger, journal, verb, ids, wanted, who="ann", priority=priority, on_acted=found.extend)
    return found


def states(scene: LedgerScene) -> str:
    """«w w d c» of the four."""
    return " ".join(scene.state(name)[0] for name in NAMES)


def way_of(found: WayBack | None) -> WayBack:
    assert found is not None
    return found


def chain(scene: LedgerScene) -> None:
    """a, b after a, c after b; d alone, and dead of a timeout."""
    after = {"b": "a", "c": "b"}
    scene.put(*(an_entry(name, after=(an_id(after[name]),) if name in after else ()) for name in NAMES))
    scene.admit("d")
    scene.start("d")
    scene.fail("d", cause="timeout", then=Dead())


def test_a_chain_that_was_cancelled_waits_again_whatever_the_order_and_the_dead_stay(
    scene: LedgerScene, journal: Journal
) -> None:
    chain(scene)
    way = way_of(way_back("cancel", acted(scene, journal, "cancel", "cbad")))
    assert states(scene) == "c c c c"
    assert way.words == "3 jobs will wait again. 1 job that had been dead before stays cancelled."
    assert take_back(scene.ledger, journal, way, "bea") == (3, None)
    assert states(scene) == "w w w c"
    scene.check()


def test_what_was_sent_back_by_mistake_is_dead_again_of_the_same_cause(
    scene: LedgerScene, journal: Journal
) -> None:
    chain(scene)
    scene.cancel("c")
    way = way_of(way_back("retry", acted(scene, journal, "retry", "dc")))
    assert states(scene) == "w w w w"
    assert take_back(scene.ledger, journal, way, "bea") == (2, None)
    assert states(scene) == "w w c d"
    view = scene.view("d")
    assert (view.cause, view.message) == ("timeout", "dead as before: bea took the retry back")
    scene.check()


def test_what_ran_is_sent_back_when_its_worker_has_let_go(scene: LedgerScene, journal: Journal) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.admit("a")
    scene.start("a")
    way = way_of(way_back("cancel", acted(scene, journal, "cancel", "ab")))
    taken, rest = take_back(scene.ledger, journal, way, "bea")
    assert (taken, scene.state("a"), scene.state("b")) == (1, "running", "waiting")
    assert rest is not None and [job.job_id for job in rest.jobs] == [an_id("a")]
    scene.fail("a", cause="cancelled")
    assert scene.state("a") == "cancelled"
    assert take_back(scene.ledger, journal, rest, "bea") == (1, None)
    assert scene.state("a") == "waiting"


def test_priorities_are_what_they_were_also_of_what_was_lifted_by_others(
    scene: LedgerScene, journal: Journal
) -> None:
    chain(scene)
    before = {an_id("a"): 0, an_id("c"): 0}
    way = way_of(way_back("priority", acted(scene, journal, "priority", "ca", 40), before))
    assert [scene.view(name).job_class.priority for name in "abc"] == [40, 40, 40]
    assert take_back(scene.ledger, journal, way, "bea") == (2, None)
    assert [scene.view(name).job_class.priority for name in "abc"] == [0, 0, 0]


def test_a_requeue_has_no_way_back(scene: LedgerScene, journal: Journal) -> None:
    scene.put(an_entry("a"))
    assert way_back("requeue", acted(scene, journal, "requeue", "a")) is None
