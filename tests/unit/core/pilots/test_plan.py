"""How many pilots are asked for, when none is, and which are given back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from conductor.core.pilots.follow import LOST_AFTER_S, UP_WITHIN_S, follow, is_young
from conductor.core.pilots.plan import CANCEL_AGAIN_S, LONGEST_BACKOFF_S, backoff_s, plan
from conductor.core.pilots.waiting_work import WaitingWork
from conductor.model.engine import EngineJob
from conductor.model.pilot import EngineState, Pilot, PilotRules, PilotShape
from conductor.model.report import NodeReport

NOW = 1_000_000.0
SHAPE = PilotShape(lanes=("cpu",), cpus=4, ram_mib=8192, time_s=3600.0)
RULES = PilotRules(max=5, idle_s=300.0, shape=SHAPE)
LAB = EngineState(name="lab")
MUCH = WaitingWork(jobs=100, pilot_s=100_000.0, is_stranded=True)
NONE = WaitingWork()
PENDING = EngineJob(state="pending", reason="Resources")
RUNNING = EngineJob(state="running")


def a_pilot(number: int = 1, **changes: object) -> Pilot:
    pilot = Pilot(key=f"cdr-a-b-lab-{number}", engine="lab", asked_at=NOW - 100, state="placed", job=PENDING)
    return replace(pilot, **changes)


def seen(pilot: Pilot, now: float = NOW, **told: object) -> Pilot:
    return follow(pilot, now, **{"has_answered": True, "told": None, "node": None, **told})


# ── how many ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("work_s", "wanted"), [(1.0, 1), (300.0, 1), (301.0, 2), (900.0, 3), (1e6, 4)], ids=str
)
def test_pilots_are_asked_for_by_how_much_waits_for_them(work_s: float, wanted: int) -> None:
    assert plan(LAB, RULES, [], WaitingWork(jobs=3, pilot_s=work_s), NOW).ask == wanted


def test_no_more_than_the_most_and_no_fewer_than_the_least() -> None:
    live = [a_pilot(n) for n in range(4)]
    full = plan(LAB, RULES, [*live, a_pilot(5)], MUCH, NOW)

    assert plan(LAB, RULES, live, MUCH, NOW).ask == 1
    assert (full.ask, full.why_not) == (0, "5 of at most 5 are asked for")
    assert plan(LAB, replace(RULES, min=2), [], NONE, NOW).ask == 2
    assert plan(LAB, RULES, [], NONE, NOW).ask == 0


def test_none_is_asked_for_where_all_is_done_before_it_would_be_up() -> None:
    slow, work = replace(LAB, up_after_s=600.0), WaitingWork(jobs=9, pilot_s=5000.0)

    assert plan(slow, RULES, [], work, NOW, empty_at=NOW + 500).ask == 0
    assert plan(slow, RULES, [], work, NOW, empty_at=NOW + 900).ask > 0
    stranded = replace(work, is_stranded=True)
    assert plan(slow, RULES, [], stranded, NOW, empty_at=NOW + 500).ask > 0, "nobody else does this"


@pytest.mark.parametrize(
    ("lab", "pilots", "words"),
    [
        (replace(LAB, away_since=NOW, words="timed out"), [], "does not answer (timed out)"),
        (replace(LAB, young=3, backoff_until=NOW + 60), [], "the last 3 were refused"),
        (LAB, [a_pilot(7, state="asking", job=None)], "nobody knows yet whether lab has lab-7"),
    ],
)
def test_what_speaks_against_another_one_is_said(lab: EngineState, pilots: list[Pilot], words: str) -> None:
    found = plan(lab, RULES, pilots, MUCH, NOW)

    assert found.ask == 0 and words in found.why_not


def test_who_dies_young_is_followed_later_and_later() -> None:
    waits = [backoff_s(young) for young in range(12)]

    assert waits[:4] == [0.0, 30.0, 60.0, 120.0] and waits == sorted(waits)
    assert waits[-1] == LONGEST_BACKOFF_S


# ── given back ────────────────────────────────────────────────────────────────────────────────────────────


def test_who_has_been_idle_for_long_is_given_back_but_for_the_least() -> None:
    idle = [a_pilot(n, up_at=NOW - 900, idle_since=NOW - 300 - n) for n in range(3)]

    assert set(plan(LAB, RULES, idle, NONE, NOW).cancel) == {pilot.key for pilot in idle}
    assert set(plan(LAB, replace(RULES, min=2), idle, NONE, NOW).cancel) == {idle[2].key}
    assert plan(LAB, RULES, [replace(idle[0], idle_since=NOW - 299)], NONE, NOW).cancel == {}


def test_a_cancel_that_was_lost_is_said_again() -> None:
    ending = a_pilot(state="ending", cancelled_at=NOW - CANCEL_AGAIN_S - 1, words="idle")

    assert plan(LAB, RULES, [ending], NONE, NOW).cancel == {ending.key: "idle"}
    assert plan(LAB, RULES, [replace(ending, cancelled_at=NOW - 5)], NONE, NOW).cancel == {}


def test_who_runs_and_never_comes_up_is_told_to_end() -> None:
    stuck = a_pilot(job=RUNNING, began_at=NOW - UP_WITHIN_S - 1)

    assert "never reported" in plan(LAB, RULES, [stuck], MUCH, NOW).cancel[stuck.key]


# ── what became of one ────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_outcome_is_found_later() -> None:
    asking = a_pilot(state="asking", job=None)

    assert seen(asking).state == "asking"
    assert seen(asking, told=PENDING).state == "placed"
    assert seen(asking, node=NodeReport(node="lab_1", host="h", pilot=asking.key)).state == "placed"


def test_only_an_engine_that_answers_without_it_for_long_makes_it_lost() -> None:
    pilot = a_pilot()
    for n in range(1000):
        pilot = seen(pilot, NOW + n, has_answered=False)
    assert pilot.state == "placed", "nobody was asked"

    pilot = seen(pilot, NOW)
    assert seen(pilot, NOW + LOST_AFTER_S - 1).state == "placed"
    assert seen(seen(pilot, NOW + 60, told=PENDING), NOW + LOST_AFTER_S).state == "placed", "it was told of"
    assert seen(pilot, NOW + LOST_AFTER_S).state == "lost"


def test_a_node_that_reports_is_there_whatever_a_list_says() -> None:
    report = NodeReport(node="lab_1", host="h", pilot="cdr-a-b-lab-1", ends_at=NOW + 99)
    pilot = a_pilot(up_at=NOW - 50)
    for n in range(0, 1000, 10):
        pilot = seen(pilot, NOW + n, node=report)
    assert (pilot.state, pilot.ends_at) == ("placed", NOW + 99)
    assert seen(a_pilot(), told=EngineJob(state="ended", end="failed"), node=report).state == "placed"


def test_an_end_by_the_engine_or_by_its_node_is_one() -> None:
    assert seen(a_pilot(), told=EngineJob(state="ended", end="failed")).state == "ended"
    assert seen(a_pilot(up_at=NOW - 50), left_at=NOW - 1).state == "ended"
    assert seen(a_pilot(), left_at=NOW - 1).state == "placed", "an earlier node of that name"


def test_of_no_use_is_who_never_came_up_or_went_at_once_unless_it_was_told_to() -> None:
    gone = a_pilot(state="ended", over_at=NOW)

    assert is_young(gone) and is_young(replace(gone, up_at=NOW - 10))
    assert not is_young(replace(gone, up_at=NOW - 900))
    assert not is_young(replace(gone, cancelled_at=NOW - 10))


def test_idle_is_who_has_nothing_to_do_while_nothing_waits() -> None:
    up = a_pilot(up_at=NOW - 50, job=RUNNING)

    assert seen(up, is_wanted=False).idle_since == NOW
    assert seen(up, is_wanted=False, is_busy=True).idle_since is None
    assert seen(replace(up, idle_since=NOW - 9), is_wanted=True).idle_since is None
    assert seen(replace(up, idle_since=NOW - 9), is_wanted=False).idle_since == NOW - 9
