"""Another priority for jobs that wait, over Redis and over the twin."""

from __future__ import annotations

from ledger_scenes import LedgerScene, a_class, an_entry, an_id

from conductor.model.snapshot import Lookahead


def priority_of(scene: LedgerScene, name: str) -> int:
    view = scene.ledger.jobs.job(an_id(name))
    assert view is not None
    return view.job_class.priority


def test_a_job_that_waits_has_the_priority_it_is_given(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    assert scene.ledger.priorities.prioritise(an_id("b"), 7) == "waiting"
    assert (priority_of(scene, "a"), priority_of(scene, "b")) == (0, 7)
    classes = {each.job_class.priority for each in scene.ledger.waiting.candidates(Lookahead())}
    assert classes == {0, 7}, "and waits among those"
    assert scene.ledger.priorities.prioritise(an_id("b"), 0) == "waiting"
    assert scene.ledger.waiting.candidates(Lookahead())[0].waiting == 2, "in its class of before"
    assert scene.ledger.priorities.prioritise(an_id("nobody"), 7) is None


def test_what_it_waits_for_is_lifted_with_it_and_lowered_again(scene: LedgerScene) -> None:
    first, second = an_entry("a"), an_entry("b", after=(an_id("a"),))
    scene.put(first, second, an_entry("c", a_class("c2", priority=2)))
    scene.ledger.priorities.prioritise(an_id("b"), 9)
    assert (priority_of(scene, "a"), priority_of(scene, "b")) == (9, 9)
    scene.ledger.priorities.prioritise(an_id("a"), 3)
    assert priority_of(scene, "a") == 9, "a higher one is handed down to it"
    scene.ledger.priorities.prioritise(an_id("b"), -4)
    assert (priority_of(scene, "a"), priority_of(scene, "b")) == (3, -4)
    assert priority_of(scene, "c") == 2


def test_what_is_handed_over_stays_as_it_is_and_the_dead_keep_the_word(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    assert scene.admit("a") is None
    assert scene.ledger.priorities.prioritise(an_id("a"), 7) == "admitted"
    assert priority_of(scene, "a") == 0
    scene.ledger.commands.cancel(an_id("b"))
    assert scene.ledger.priorities.prioritise(an_id("b"), 7) == "cancelled"
    assert scene.ledger.commands.retry(an_id("b"))
    assert priority_of(scene, "b") == 7
