"""The first line of `status` and of the page: what goes on, and what waits for a person."""

from __future__ import annotations

from conductor.analysis.forecast.text import ForecastEnd
from conductor.core.failures.stuck import Stuck
from conductor.model.decision import Hold, Verdict
from conductor.model.reason import Reason
from conductor.model.report import NodeReport
from conductor.views.headline import headline_of, line
from conductor.views.staleness import LedgerAge
from conductor.views.status import Status

NODE = NodeReport(node="node1", host="node1", sent_at=0.0)


def a_night(states: dict[str, int], **more: object) -> Status:
    told: dict[str, object] = {"now": 1000.0, "leader": "host:1", "nodes": (NODE,), **more}
    return Status(backlogs={"night": states}, **told)  # type: ignore[arg-type]


def a_hold_of(task: str, waiting: int, **more: object) -> Hold:
    verdict = Verdict(gate="vram", passed=False, reason=Reason.TOO_LARGE, where="node1/gpu0")
    return Hold(
        class_id=f"c-{task}",
        backlog="night",
        task=task,
        lane="gpu",
        waiting=waiting,
        verdicts=(verdict,),
        head=f"{task}-first-of-them",
        **more,  # type: ignore[arg-type]
    )


def test_of_nothing_it_says_what_to_do():
    found = headline_of(Status(now=0.0))
    assert (found.tone, found.todo) == ("empty", ())
    assert "conductor plan" in found.words


def test_while_all_goes_well_it_says_how_far_and_until_when():
    night = a_night(
        {"done": 212, "running": 3, "waiting": 125},
        end=ForecastEnd(at=9000.0, words="done about 04:10 (in 2 h 10 min)"),
    )
    found = headline_of(night)
    assert found.tone == "runs"
    assert line(found) == "Running: 212 of 340 jobs done, the rest done about 04:10 (in 2 h 10 min)."


def test_what_is_over_says_so_and_asks_for_nobody():
    found = headline_of(a_night({"done": 4, "cancelled": 1}))
    assert (found.tone, found.todo) == ("over", ())
    assert "4 of 5 jobs done" in found.words


def test_the_dead_are_named_by_cause_with_those_behind_them_and_where_they_are_listed():
    night = a_night({"done": 1, "dead": 7}, dead={"timeout": 2, "task_error": 1, "dependency_dead": 4})
    found = headline_of(night)
    assert found.tone == "act"
    assert [(t.jobs, t.words, t.filter) for t in found.todo] == [
        (7, "7 dead: 2 timeout, 1 task_error, 4 behind those", "state:dead")
    ]
    assert line(found).endswith("4 behind those (`conductor jobs state:dead`).")


def test_without_a_conductor_that_comes_first():
    night = a_night({"waiting": 3, "dead": 1}, dead={"timeout": 1}, leader=None,
                    ledger_age=LedgerAge(has_leader=False))  # fmt: skip
    found = headline_of(night)
    assert [todo.command for todo in found.todo] == ["conductor up", "conductor jobs state:dead"]
    assert found.todo[0].words == "3 jobs left and no conductor has run here yet"


def test_what_can_never_run_and_what_hangs_waits_for_a_person():
    night = a_night(
        {"waiting": 5, "running": 2},
        holds=(a_hold_of("big", 2, is_infeasible=True), a_hold_of("usual", 3)),
        stuck=(
            Stuck(job_id="j1", task="t", sign="silent", seen="", then=""),
            Stuck(job_id="j2", task="t", sign="slow", seen="", then=""),
        ),
    )
    never, hangs = headline_of(night).todo
    assert (never.jobs, never.words, never.filter) == (
        2,
        "2 jobs can never run here",
        "state:waiting task:big",
    )
    assert never.command == "conductor explain big-first-of"
    assert (hangs.jobs, hangs.words) == (1, "1 job does not get on")


def test_jobs_that_no_node_can_take_and_those_in_review_are_said():
    night = a_night({"waiting": 2, "review": 12}, nodes=())
    assert [todo.words for todo in headline_of(night).todo] == ["2 jobs and no node", "12 to review"]
