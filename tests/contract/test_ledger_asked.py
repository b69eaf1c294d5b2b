"""What an attempt teaches about its job, and the operator's word on one that runs, over Redis and over the
twin.
"""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene, a_class, an_entry, an_id
from msgspec import structs

from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import Lookahead
from conductor.model.spec import Needs


def test_a_job_comes_back_in_another_class_when_its_needs_were_raised(scene: LedgerScene) -> None:
    larger = structs.replace(a_class("c9"), needs=Needs(cpu=1.0, vram_mib=12_032))
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    assert scene.fail("a", cause="cuda_oom", then=Retry(job_class=larger)) == "accepted"
    assert (scene.view("a").class_id, scene.view("a").job_class.needs) == ("c9", larger.needs)
    assert scene.view("b").class_id == "c1"
    found = [
        (c.job_class, [h.job_id for h in c.heads])
        for c in scene.ledger.waiting.candidates(Lookahead(heads=10))
    ]
    assert found == [(a_class(), [an_id("b")]), (larger, [an_id("a")])]
    assert scene.admit("a", 2) is None
    assert scene.ledger.attempts.start(an_id("a"), 2, "w1", 30).job_class == larger
    assert scene.rescue("a", 2)
    assert scene.view("a").class_id == "c9", "what was learned stays"


def test_a_lost_worker_s_job_is_raised_in_the_same_step_with_its_cause(scene: LedgerScene) -> None:
    larger = structs.replace(a_class("c9"), needs=Needs(cpu=1.0, ram_mib=4096))
    scene.put(an_entry("a"))
    scene.run("a")
    assert scene.ledger.orphans.rescue(
        an_id("a"), 1, "killed for memory", Retry(job_class=larger), "host_oom"
    )
    view = scene.view("a")
    assert (view.state, view.cause, view.failures, view.job_class.needs.ram_mib) == (
        "waiting",
        "host_oom",
        {"host_oom": 1},
        4096,
    )


@pytest.mark.parametrize("ending", ["fail", "rescue"])
@pytest.mark.parametrize(
    ("verb", "state"), [("cancel", "cancelled"), ("force_fail", "dead"), ("requeue", "waiting")]
)
def test_the_operator_s_word_on_a_running_job_holds_however_its_attempt_ends(
    scene: LedgerScene, ending: str, verb: str, state: str
) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert getattr(scene, verb)("a") == "running"
    assert scene.state("a") == "running", "it holds what it holds until it has stopped"
    assert list(scene.ledger.commands.asked()) == [an_id("a")]
    assert scene.renew("a") == "cancel"
    assert scene.fail("a", cause="cancelled") == "accepted" if ending == "fail" else scene.rescue("a")
    assert scene.state("a") == state
    assert scene.ledger.commands.asked() == {}
    assert scene.ledger.handover.reservations() == ()
    if verb == "force_fail":
        assert (scene.view("a").cause, scene.view("a").message) == ("stalled", "by the operator: it hangs")
    if verb == "requeue":
        assert scene.view("a").failures == {}
        assert scene.heads() == ["a"]


def test_the_operator_s_word_on_what_nobody_runs_is_done_at_once(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"), an_entry("d", after=(an_id("a"),)))
    assert scene.force_fail("a") == "waiting"
    assert (scene.state("a"), scene.state("d")) == ("dead", "dead")
    scene.admit("b")
    assert scene.requeue("b") == "admitted"
    assert scene.state("b") == "waiting"
    assert scene.ledger.handover.queued() == {}
    assert scene.admit("b", 2) is None
    assert scene.admit("c") is None
    scene.start("c")
    scene.fail("c", then=Retry(delay_s=5000))
    assert scene.heads() == []
    assert scene.requeue("c") == "waiting"
    assert scene.heads() == ["c"], "its back-off is over"
    assert scene.requeue("a") == "dead"
    assert scene.ledger.commands.requeue("nobody-00000") is None


def test_a_result_that_comes_before_the_stop_still_counts(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.requeue("a")
    assert scene.accept("a") == "accepted"
    assert scene.state("a") == "done"
    assert scene.ledger.commands.asked() == {}


def test_who_was_told_to_stop_and_does_not_is_an_orphan_in_the_end(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a", lease_s=0.05)
    scene.force_fail("a")
    assert scene.renew("a", lease_s=0.05) == "cancel"
    if scene.redis is not None:
        scene.redis.zadd(scene.keys.leases, {an_id("a"): 1})  # instead of ten seconds
    else:
        scene.let(11)
    assert scene.renew("a", lease_s=30) == "cancel"
    assert [r.job_id for r in scene.ledger.orphans.orphans(3)] == [an_id("a")]


def test_a_job_whose_output_is_gone_is_made_again_and_its_dependants_wait(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),)), an_entry("c", after=(an_id("a"),)))
    scene.run("a")
    scene.accept("a")
    scene.run("c")
    scene.fail("c", cause="bad_input", then=Dead())
    assert scene.heads() == ["b"]

    assert not scene.redo("a", 2), "another attempt is the accepted one"
    assert scene.redo("a", 1, after=["b", "c"])
    assert not scene.redo("a", 1)

    assert (scene.state("a"), scene.heads()) == ("waiting", ["a"])
    assert scene.view("b").waits_for == (an_id("a"),)
    assert scene.retry("c")
    assert scene.heads() == ["a"]
    scene.run("a", 2)
    assert scene.accept("a", 2) == "accepted"
    assert sorted(scene.heads()) == ["b", "c"]


def test_a_job_that_waits_or_is_over_comes_into_another_class_and_stays_what_it_is(
    scene: LedgerScene,
) -> None:
    larger = structs.replace(a_class("c9"), needs=Needs(cpu=1.0, vram_mib=12_032))
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),)), an_entry("c"), an_entry("d"))
    scene.run("c")
    scene.run("d")
    scene.fail("d", cause="cuda_oom", then=Retry(job_class=larger, delay_s=60))
    states = {name: scene.state(name) for name in "abcd"}

    moved = {name: scene.ledger.commands.reclass(an_id(name), a_class("c5")) for name in "abcd"}
    scene.check()

    assert moved == {"a": True, "b": True, "c": False, "d": True}, "not what runs"
    assert {name: scene.state(name) for name in "abcd"} == states
    assert scene.view("d").not_before is not None, "its back-off goes on"
    assert {name: scene.view(name).class_id for name in "abcd"} == {
        "a": "c5",
        "b": "c5",
        "c": "c1",
        "d": "c5",
    }
    found = [
        (c.job_class.id, [h.job_id for h in c.heads])
        for c in scene.ledger.waiting.candidates(Lookahead(heads=10))
    ]
    assert found == [("c5", [an_id("a")])]
    assert not scene.ledger.commands.reclass(an_id("nobody"), a_class("c5"))


def test_a_failure_that_was_others_fault_is_not_counted(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert scene.fail("a", cause="cuda_oom", then=Retry(is_free=True)) == "accepted"
    view = scene.view("a")
    assert (view.state, view.cause, view.failures) == ("waiting", "cuda_oom", {})
