"""The backlog's contract, over Redis and over the twin."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene, a_class, an_entry, an_id, line_of

from conductor.model.failure_outcome import Dead
from conductor.model.ledger_entries import Entry, PutResult
from conductor.model.snapshot import Lookahead


def test_what_is_put_waits_and_a_second_put_changes_nothing(scene: LedgerScene) -> None:
    assert scene.put(an_entry("a"), an_entry("b")) == (2, 0)
    assert scene.put(an_entry("a"), an_entry("c")) == (1, 1)
    assert scene.ledger.tallies.counts("night")["waiting"] == 3
    assert scene.heads() == ["a", "b", "c"]


def test_a_line_comes_out_byte_for_byte(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    view = scene.view("a")
    assert view.line == line_of("a")
    assert (view.backlog, view.class_id, view.attempts, view.state) == ("night", "c1", 0, "waiting")
    assert view.since == pytest.approx(scene.ledger.bell.now(), abs=5)


def test_the_same_job_twice_in_one_call_is_one_job(scene: LedgerScene) -> None:
    assert scene.put(an_entry("a"), an_entry("a")) == (1, 1)


def test_a_put_of_nothing_is_nothing(scene: LedgerScene) -> None:
    assert scene.ledger.intake.put("night", []) == PutResult(new=0, known=0)


def test_a_call_of_thousands_goes_in_whole_and_in_order(scene: LedgerScene) -> None:
    names = [f"n{i:04d}" for i in range(2500)]
    scene.put(*(an_entry(name, a_class(f"c{i % 3}")) for i, name in enumerate(names)))
    assert scene.ledger.tallies.counts()["waiting"] == 2500
    heads = {
        c.job_class.id: (c.waiting, c.heads[0].job_id)
        for c in scene.ledger.waiting.candidates(Lookahead(heads=1))
    }
    assert heads == {"c0": (834, an_id("n0000")), "c1": (833, an_id("n0001")), "c2": (833, an_id("n0002"))}


def test_jobs_of_one_request_are_one_class_with_its_oldest_first(scene: LedgerScene) -> None:
    gpu = a_class("gpu", lane="gpu", priority=5, writes={"scratch": 10}, duration_s=2.5)
    scene.put(an_entry("a", gpu), an_entry("b"), an_entry("c", gpu))
    by_class = {c.job_class.id: c for c in scene.ledger.waiting.candidates(Lookahead(heads=1))}
    assert by_class["gpu"].job_class == gpu
    assert by_class["gpu"].waiting == 2
    assert [head.job_id for head in by_class["gpu"].heads] == [an_id("a")]
    assert by_class["c1"].waiting == 1


def test_a_class_of_another_backlog_is_a_fault_of_the_caller(scene: LedgerScene) -> None:
    with pytest.raises(ValueError, match="not morning"):
        scene.ledger.intake.put("morning", [an_entry("a")])


def test_backlogs_are_counted_and_offered_apart(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.put(an_entry("b", a_class("c2", backlog="day")), backlog="day")
    assert scene.ledger.tallies.backlogs() == ("day", "night")
    assert scene.heads(backlogs=["day"]) == ["b"]
    assert scene.heads(backlogs=["night"]) == ["a"]
    assert sorted(scene.heads()) == ["a", "b"]
    assert scene.ledger.tallies.counts("day")["waiting"] == 1
    assert scene.ledger.tallies.counts()["waiting"] == 2
    assert scene.ledger.tallies.counts("nowhere")["waiting"] == 0
    assert list(scene.ledger.jobs.ids("waiting", "day")) == [an_id("b")]


def test_ids_are_found_by_their_beginning(scene: LedgerScene) -> None:
    scene.put(an_entry("alpha"), an_entry("alps"), an_entry("beta"))
    find = scene.ledger.jobs.find
    assert find("al") == (an_id("alpha"), an_id("alps"))
    assert find("beta") == (an_id("beta"),)
    assert find("*") == ()
    assert find("[a") == ()
    assert len(find("", limit=2)) == 2


def test_the_lines_of_some_jobs_are_read_in_one_look(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    lines = scene.ledger.jobs.lines
    assert lines([an_id("c"), an_id("a"), an_id("nobody")]) == {
        an_id("c"): line_of("c"),
        an_id("a"): line_of("a"),
    }
    assert lines([]) == {}


def test_those_set_aside_are_found_by_their_state_and_the_dead_by_their_cause(scene: LedgerScene) -> None:
    jobs, tallies = scene.ledger.jobs, scene.ledger.tallies
    scene.put(*(an_entry(name) for name in "abcd"))
    scene.put(an_entry("e", a_class("c2", backlog="day")), backlog="day")
    for name in "abe":
        scene.force_fail(name, "bad_input" if name == "b" else "stalled")
    scene.cancel("c")
    assert sorted(jobs.ids("dead")) == sorted(an_id(name) for name in "abe")
    assert list(jobs.ids("dead", "day")) == [an_id("e")]
    assert list(jobs.ids("cancelled")) == [an_id("c")]
    assert tallies.causes() == {"stalled": 2, "bad_input": 1}
    assert tallies.causes("day") == {"stalled": 1}
    for name in "abc":
        scene.retry(name)
    assert list(jobs.ids("dead")) == [an_id("e")]
    assert list(jobs.ids("cancelled")) == []
    assert tallies.causes("night") == {}


def test_thousands_that_died_are_each_found_once(scene: LedgerScene) -> None:
    names = [f"n{i:04d}" for i in range(2500)]
    scene.put(
        *(
            an_entry(name, over="dead", cause="stalled", message="m", failures={"stalled": 1})
            for name in names
        )
    )
    assert sorted(scene.ledger.jobs.ids("dead")) == sorted(an_id(name) for name in names)
    assert scene.ledger.tallies.causes() == {"stalled": 2500}


def test_thousands_that_died_for_the_sake_of_a_few_are_counted_apart_from_these(scene: LedgerScene) -> None:
    roots = {"a": "task_error", "b": "stalled", "c": "stalled"}
    scene.put(*(an_entry(name) for name in roots))
    for name in roots:
        scene.put(*(an_entry(f"{name}{i:04d}", after=(an_id(name),)) for i in range(700)))
    for name, cause in roots.items():
        scene.force_fail(name, cause)
    causes = scene.ledger.tallies.causes
    assert causes() == causes("night") == {"stalled": 2, "task_error": 1, "dependency_dead": 2100}
    assert list(causes())[-1] == "dependency_dead", "those behind come last"
    scene.retry("a")
    assert causes() == {"stalled": 2, "dependency_dead": 1400}
    scene.cancel("b")
    assert causes() == {"stalled": 1, "dependency_dead": 1400}, (
        "who is given up is not among the dead; those behind are"
    )


def test_a_dead_job_that_comes_into_another_backlog_is_counted_there(scene: LedgerScene) -> None:
    day = a_class("day", "day")
    scene.put(an_entry("a"))
    scene.force_fail("a", "stalled")
    scene.ledger.intake.revise("day", (an_entry("a", day),), is_moving=True)
    causes = scene.ledger.tallies.causes
    assert (causes("night"), causes("day"), causes()) == ({}, {"stalled": 1}, {"stalled": 1})
    scene.retry("a")
    assert causes("day") == {}


def test_of_thousands_that_one_waits_for_the_few_that_matter_are_named_and_all_are_counted(
    scene: LedgerScene,
) -> None:
    names = [f"w{i:04d}" for i in range(1200)]
    scene.put(*(an_entry(name) for name in (*names, "dead", "runs")))
    scene.run("runs")
    others = tuple(an_id(name) for name in (*names, "runs", "elsewhere"))
    scene.put(an_entry("last", after=others, after_ended=()))
    view = scene.view("last")
    assert view.waits == {"waiting": 1200, "running": 1, "unknown": 1}
    assert view.waits_for == (an_id("elsewhere"), an_id("runs"), *(an_id(name) for name in names[:18]))
    scene.force_fail("w0700")
    view = scene.view("last")
    assert view.state == "dead" and view.waits["dead"] == 1
    assert view.waits_for[0] == an_id("w0700"), "what keeps it comes first"


def test_who_asks_is_told_which_ids_are_known_and_where_their_jobs_are(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b", is_done=True, attempts=1))
    ask = [an_id(name) for name in ("a", "b", "c")] + [f"nobody-{n:05d}" for n in range(9000)]
    assert scene.ledger.jobs.states(ask) == {an_id("a"): "waiting", an_id("b"): "done"}
    assert scene.ledger.jobs.states([]) == {}


def put_ahead(scene: LedgerScene, names: list[str]) -> tuple[str, float]:
    """All put before they are due, whatever the disk did meanwhile: their class, and when they are due."""
    for lead in (1.0, 4.0, 16.0):
        name, due = f"c{lead:.0f}", scene.ledger.bell.now() + lead
        scene.put(*(an_entry(f"{name}{n}", a_class(name), not_before=due) for n in names))
        if scene.ledger.bell.now() < due:
            return name, due
        while drained(scene):
            pass
    pytest.fail("2,500 jobs were not put in sixteen seconds")


def drained(scene: LedgerScene) -> bool:
    """Every ring heard, one look taken; whether that look rang again."""
    while scene.ledger.bell.wait(0.01):
        pass
    scene.ledger.waiting.candidates(Lookahead(heads=1))
    return scene.ledger.bell.wait(0.01)


def test_back_offs_that_are_due_by_the_thousand_come_in_by_and_by_and_the_bell_rings(
    scene: LedgerScene,
) -> None:
    name, due = put_ahead(scene, [f"n{i:04d}" for i in range(2500)])
    assert [c for c in scene.ledger.waiting.candidates(Lookahead(heads=1)) if c.job_class.id == name] == []
    scene.let(max(0.0, due + 0.05 - scene.ledger.bell.now()))
    seen: list[int] = []
    while True:
        while scene.ledger.bell.wait(0.01):
            pass
        by_class = {c.job_class.id: c for c in scene.ledger.waiting.candidates(Lookahead(heads=1))}
        seen.append(by_class[name].waiting)
        if seen[-1] == 2500:
            break
        assert scene.ledger.bell.wait(0.5), "there is more to come"
    assert seen == [1000, 2000, 2500]
    assert by_class[name].heads[0].job_id == an_id(f"{name}n0000")


def test_an_unknown_job_is_none(scene: LedgerScene) -> None:
    assert scene.ledger.jobs.job(an_id("nobody")) is None


def test_jobs_done_before_redis_was_emptied_go_in_as_done(scene: LedgerScene) -> None:
    scene.put(an_entry("b", after=(an_id("a"),)), an_entry("a", is_done=True, attempts=3))
    assert scene.state("a") == "done"
    assert scene.heads() == ["b"], "and free those that wait for them"
    assert scene.accept("a", 3) == "accepted", "the very receipt that was counted"
    assert scene.accept("a", 2) == "already"


def test_attempts_made_before_redis_was_emptied_are_not_numbered_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a", attempts=2))
    assert scene.admit("a", 1) == "attempt 1 is not its next"
    assert scene.admit("a", 3) is None


# ── jobs that wait for others ─────────────────────────────────────────────────────────────────────────────


def after(name: str, *others: str) -> Entry:
    return an_entry(name, after=tuple(an_id(other) for other in others))


def after_ended(name: str, *others: str) -> Entry:
    return an_entry(name, after_ended=tuple(an_id(other) for other in others))


def test_a_job_goes_when_all_it_comes_after_are_accepted(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), after("c", "a", "b"))
    assert scene.heads() == ["a", "b"]
    assert scene.view("c").waits_for == (an_id("a"), an_id("b"))
    scene.run("a")
    scene.accept("a")
    assert scene.heads() == ["b"]
    assert scene.view("c").waits_for == (an_id("b"),)
    scene.run("b")
    scene.accept("b")
    assert scene.heads() == ["c"]


def test_who_waits_for_a_job_is_told_until_it_is_done(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), after("b", "a"), after_ended("c", "a"), after("d", "a"))
    behind = {an_id(name) for name in "bcd"}
    count, first = scene.ledger.jobs.waiters(an_id("a"), 2)
    assert count == 3 and len(first) == 2 and set(first) <= behind
    assert scene.ledger.jobs.waiters(an_id("a"), 20) == (3, tuple(sorted(behind)))
    assert scene.ledger.jobs.waiters(an_id("b"), 20) == (0, ())
    scene.run("a")
    scene.accept("a")
    assert scene.ledger.jobs.waiters(an_id("a"), 20) == (0, ())


def test_the_order_in_which_lines_come_does_not_matter(scene: LedgerScene) -> None:
    scene.put(after("c", "a"))
    assert scene.heads() == [], "unknown is unmet"
    scene.put(an_entry("a"))
    scene.run("a")
    scene.accept("a")
    assert scene.heads() == ["c"]


def test_what_is_done_already_is_met(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.accept("a")
    scene.put(after("b", "a"))
    assert scene.heads() == ["b"]


def test_death_takes_along_all_that_come_after_however_deep(scene: LedgerScene) -> None:
    scene.put(
        an_entry("a"), after("b", "a"), after("c", "b"), after("d", "c", "e"), an_entry("e"), an_entry("f")
    )
    scene.run("a")
    scene.fail("a", then=Dead())
    assert [scene.state(name) for name in "abcdef"] == ["dead", "dead", "dead", "dead", "waiting", "waiting"]
    assert scene.view("a").cause == "task_error"
    view = scene.view("c")
    assert view.cause == "dependency_dead"
    assert an_id("b") in view.message
    assert view.failures == {}, "it made no attempt"


def test_a_job_put_after_a_dead_one_is_dead_and_takes_its_own_along(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.fail("a", then=Dead())
    scene.put(after("c", "b"), after("b", "a"))
    assert scene.state("b") == scene.state("c") == "dead"
    assert scene.view("b").cause == "dependency_dead"


def test_a_retried_root_brings_back_those_that_died_with_it(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), after("b", "a"), after("c", "b"), after("x", "a", "c"))
    scene.run("a")
    scene.fail("a", then=Dead())
    assert scene.retry("a")
    assert [scene.state(name) for name in "abcx"] == ["waiting"] * 4
    assert scene.view("b").cause is None
    for name, attempt in (("a", 2), ("b", 1), ("c", 1), ("x", 1)):
        assert scene.heads() == [name]
        scene.run(name, attempt)
        scene.accept(name, attempt)
    assert scene.ledger.tallies.counts()["done"] == 4


def test_with_two_dead_roots_both_must_come_back(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), after("c", "a", "b"))
    for name in "ab":
        scene.run(name)
        scene.fail(name, then=Dead())
    assert scene.retry("a")
    assert scene.state("c") == "dead"
    assert scene.retry("c") is False, "it would wait for ever"
    assert scene.retry("b")
    assert scene.state("c") == "waiting"


def test_a_late_receipt_of_a_dead_root_brings_its_own_back_to_life(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), after("b", "a"), after("c", "b"))
    scene.run("a")
    scene.rescue("a", then=Dead())
    assert scene.state("c") == "dead"
    assert scene.accept("a") == "accepted"
    assert [scene.state(name) for name in "abc"] == ["done", "waiting", "waiting"]
    assert scene.heads() == ["b"]


def test_a_job_that_makes_the_best_of_what_there_is_goes_when_all_have_ended(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"), after_ended("best", "a", "b", "c"))
    scene.run("a")
    scene.accept("a")
    scene.run("b")
    scene.fail("b", then=Dead())
    assert "best" not in scene.heads()
    scene.cancel("c")
    assert scene.heads() == ["best"]
    scene.put(after_ended("late", "a", "b", "c"))
    assert scene.heads() == ["best", "late"]


def test_a_job_that_needs_one_and_outlasts_another_dies_only_with_the_first(scene: LedgerScene) -> None:
    both = an_entry("both", after=(an_id("a"),), after_ended=(an_id("b"),))
    scene.put(an_entry("a"), an_entry("b"), both)
    scene.cancel("b")
    assert scene.view("both").waits_for == (an_id("a"),)
    scene.cancel("a")
    assert scene.state("both") == "dead"


def test_a_waiting_dependant_can_be_cancelled_and_its_root_does_not_mind(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), after("b", "a"), after("c", "b"))
    assert scene.cancel("b") == "waiting"
    assert scene.state("c") == "dead"
    scene.run("a")
    scene.accept("a")
    assert scene.state("b") == "cancelled"
    assert scene.retry("b")
    assert scene.heads() == ["b"]
    assert scene.state("c") == "waiting"


def test_one_class_can_be_looked_at_further_than_the_others(scene: LedgerScene) -> None:
    for name in ("one", "two"):
        scene.put(*(an_entry(f"{name}{i}", a_class(name)) for i in range(5)))
    look = Lookahead(heads=2, of={"one": 4, "unknown": 7})

    found = {c.job_class.id: len(c.heads) for c in scene.ledger.waiting.candidates(look)}

    assert found == {"one": 4, "two": 2}
