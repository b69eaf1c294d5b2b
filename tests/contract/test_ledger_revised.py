"""Known jobs that are dispatched again with another line or into another backlog, over Redis and over the
twin.
"""

from __future__ import annotations

import msgspec
from ledger_scenes import LedgerScene, a_class, an_entry, an_id, line_of

from conductor.model.failure_outcome import Dead
from conductor.model.ledger_entries import Entry, Revised
from conductor.model.snapshot import JobClass


def corrected(
    name: str, job_class: JobClass | None = None, *, after: tuple[str, ...] = (), words: bytes = b" "
) -> Entry:
    """The job with another line, in a class of its own."""
    entry = an_entry(name, job_class or a_class("corrected", priority=7), after=tuple(map(an_id, after)))
    return msgspec.structs.replace(entry, line=line_of(name) + words)


def revise(scene: LedgerScene, *entries: Entry, backlog: str = "night", **how: bool) -> Revised:
    told = scene.ledger.intake.revise(backlog, entries, **how)
    scene.check()
    return told


def test_a_waiting_job_takes_the_line_it_comes_with(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    assert revise(scene, an_entry("a"), an_entry("nobody")) == Revised(), "nothing is another"

    assert revise(scene, corrected("b")) == Revised(changed=1)

    view = scene.view("b")
    assert (view.line, view.class_id, view.job_class.priority) == (line_of("b") + b" ", "corrected", 7)
    assert scene.heads() == ["a", "b"], "and it is offered as such"
    assert revise(scene, corrected("b")) == Revised(), "once"


def test_what_was_decided_for_the_line_before_is_void(scene: LedgerScene) -> None:
    """A tick looked, the line was changed, and the tick hands over."""
    scene.put(an_entry("a"))
    revise(scene, corrected("a"))
    assert scene.admit("a", class_id="c1") == "its line changed meanwhile"
    assert scene.admit("a", class_id="corrected") is None


def test_a_dead_job_that_was_put_right_waits_again_with_those_that_died_for_it(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),)))
    scene.run("a")
    scene.fail("a", then=Dead())
    assert scene.view("b").cause == "dependency_dead"
    trial = revise(scene, corrected("a"), is_trial=True)
    assert scene.view("a").state == "dead" and trial == Revised(changed=1, risen={an_id("a"): 1})

    assert revise(scene, corrected("a")) == trial

    assert [scene.view(name).state for name in "ab"] == ["waiting", "waiting"]
    assert scene.view("a").failures == {} and scene.view("a").attempts == 1
    assert scene.admit("a", 2, class_id="corrected") is None


def test_the_jobs_it_comes_after_are_those_of_the_new_line(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c", after=(an_id("a"),)))
    assert scene.heads() == ["a", "b"]

    revise(scene, corrected("c", after=("b",)))
    assert scene.view("c").waits_for == (an_id("b"),)
    scene.run("a")
    scene.fail("a", then=Dead())
    assert scene.view("c").state == "waiting", "it does not come after that one any more"
    revise(scene, corrected("c", after=("a",), words=b"  "))
    assert (scene.view("c").state, scene.view("c").cause) == ("dead", "dependency_dead")
    assert revise(scene, corrected("c", words=b"   ")).risen == {an_id("c"): 0}
    assert scene.heads() == ["b", "c"]


def test_one_in_review_comes_out_of_it_and_its_kind_is_tried_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a", a_class(kind="k")))
    assert scene.ledger.kinds.review(scene.epoch, "k", 10) == 1
    assert scene.view("a").state == "review"
    assert revise(scene, corrected("a", a_class("corrected", kind="k"))).risen == {an_id("a"): 0}
    assert scene.view("a").state == "waiting"


def test_a_cancelled_one_takes_the_line_and_stays_cancelled(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.ledger.commands.cancel(an_id("a"))
    assert revise(scene, corrected("a")) == Revised(changed=1)
    assert scene.view("a").state == "cancelled"
    scene.ledger.commands.retry(an_id("a"))
    assert scene.view("a").class_id == "corrected"


def test_what_is_under_way_or_done_keeps_its_line(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    scene.run("a")
    scene.run("b")
    scene.accept("b")
    assert scene.admit("c") is None
    told = revise(scene, corrected("a"), corrected("b"), corrected("c"))
    assert told == Revised(going=2, done=1)
    assert {scene.view(name).line for name in "abc"} == {line_of(name) for name in "abc"}


def test_a_job_of_another_backlog_stays_there_or_is_moved(scene: LedgerScene) -> None:
    day = a_class("day", "day")
    scene.put(*(an_entry(name) for name in "abcd"))
    scene.run("b")
    scene.ledger.commands.cancel(an_id("c"))
    scene.run("d")
    scene.accept("d")
    entries = [an_entry(name, day) for name in "abcd"]
    assert revise(scene, *entries, backlog="day") == Revised(elsewhere={"night": 3}), (
        "what is done is not in the way"
    )

    assert revise(scene, *entries, backlog="day", is_moving=True) == Revised(moved=2, elsewhere={"night": 1})

    assert [scene.view(name).backlog for name in "abcd"] == ["day", "night", "day", "night"]
    assert scene.view("c").state == "cancelled"
    counts = scene.ledger.tallies.counts
    assert (counts("day")["waiting"], counts("day")["cancelled"]) == (1, 1)
    assert (counts("night")["running"], counts("night")["done"], counts("night")["waiting"]) == (1, 1, 0)


def test_those_that_died_of_themselves_are_told_from_those_that_died_with_them(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), *(an_entry(f"b{n:02}", after=(an_id("a"),)) for n in range(30)))
    scene.force_fail("a")
    jobs, tallies = scene.ledger.jobs, scene.ledger.tallies
    assert list(jobs.died()) == list(jobs.died("night")) == [an_id("a")] and list(jobs.died("day")) == []
    assert tallies.causes() == {"dependency_dead": 30, "stalled": 1}
    scene.retry("a")
    assert list(jobs.died()) == [] and tallies.causes() == {}


def test_a_dead_job_can_be_given_up(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.force_fail("a")
    assert scene.cancel("a") == "dead"
    assert (scene.view("a").state, scene.view("a").cause) == ("cancelled", "cancelled")
    assert list(scene.ledger.jobs.died()) == []
    assert scene.retry("a") and scene.heads() == ["a"]
