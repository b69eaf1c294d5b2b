"""What a person reads of engines and pilots."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from conductor.model.decision import Hold, Verdict
from conductor.model.engine import EngineJob
from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates
from conductor.model.reason import Reason
from conductor.model.snapshot import Reservation
from conductor.views.engine_list import (
    engine_lines,
    is_submitted,
    pilot_words,
    pilots_by_state,
    submissions_by_state,
    waits_for_pilot,
)

NOW = time.mktime((2026, 11, 30, 22, 0, 0, 0, 0, -1))
SOON = time.mktime((2026, 12, 1, 2, 40, 0, 0, 0, -1))
LAB = EngineState(name="lab", kind="slurm", max=4)
JOB = EngineJob(state="pending", reason="Resources", position=4, expected_at=SOON)
WAITS = Pilot(key="cdr-a-b-lab-7", engine="lab", state="placed", asked_at=NOW - 60, job=JOB)
NO_ROOM = Verdict(gate="cpu", passed=False, reason=Reason.NO_ROOM)
PAUSED = Verdict(gate="hold", passed=False, reason=Reason.LANE_PAUSED)


def held(*closed: Verdict) -> Hold:
    return Hold(class_id="c", backlog="b", task="t", lane="cpu", waiting=3, verdicts=closed)


def test_a_job_that_another_host_would_let_in_is_told_where_its_pilot_stands() -> None:
    states = PilotStates(engines={"lab": LAB}, pilots={WAITS.key: WAITS})

    assert list(waits_for_pilot(held(NO_ROOM), states, NOW)) == [
        "waits for a pilot: Slurm says Resources, position 4, perhaps 02:40 (lab-7)"
    ]
    assert list(waits_for_pilot(held(NO_ROOM, PAUSED), states, NOW)) == []
    assert list(waits_for_pilot(None, states, NOW)) == []


def test_where_none_is_asked_for_it_is_said_why() -> None:
    states = PilotStates(engines={"lab": replace(LAB, why_not="4 of at most 4 are asked for")})

    assert list(waits_for_pilot(held(NO_ROOM), states, NOW)) == [
        "no further pilot of lab is asked for: 4 of at most 4 are asked for"
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"state": "asking", "job": None, "words": "no answer in 5 s"},
            "nobody knows yet whether Slurm has it",
        ),
        ({"state": "lost", "words": "the engine"}, "lost: the engine"),
        (
            {"up_at": NOW - 60, "ends_at": SOON, "idle_since": NOW - 30},
            "up, takes work until 02:40, idle for 30 s",
        ),
        ({"began_at": NOW, "job": EngineJob(state="running", host="n3")}, "begins on n3"),
        ({}, "waits: Slurm says Resources, position 4, perhaps 02:40"),
    ],
)
def test_a_pilot_is_told_of_in_one_clause(changes: dict[str, object], words: str) -> None:
    assert pilot_words(replace(WAITS, **changes), "slurm", NOW).startswith(words)


def test_an_engine_that_is_away_says_so_and_figures_go_by_what_pilots_do() -> None:
    away = replace(LAB, away_since=NOW - 75, words="timed out")

    assert engine_lines([away], [WAITS], NOW) == [
        "engine lab (Slurm): 1 of at most 4 pilots; has not answered for 1 min 15 s: timed out",
        "  lab-7: waits: Slurm says Resources, position 4, perhaps 02:40",
    ]
    up = replace(WAITS, key="cdr-a-b-lab-8", up_at=NOW)
    assert pilots_by_state([WAITS, up, replace(up, state="ended")]) == {
        ("lab", "pending"): 1,
        ("lab", "up"): 1,
    }


def test_a_job_that_an_engine_runs_by_itself_is_told_where_it_stands_there() -> None:
    lab = replace(LAB, mode="jobs", why_not="lab does not answer")
    waits = JobSubmission(key="k", engine="lab", job_id="k3v7abcdefgh", attempt=2, asked_at=NOW,
                          state="placed", job=JOB)  # fmt: skip
    runs = replace(waits, key="l", job_id="r1", job=EngineJob(state="running", host="n3"))
    states = PilotStates(engines={"lab": lab}, submissions={job.key: job for job in (waits, runs)})

    assert list(is_submitted(a_reservation("k3v7abcdefgh", 2), states, NOW)) == [
        "submitted to lab: Slurm says Resources, position 4, perhaps 02:40"
    ]
    assert list(is_submitted(a_reservation("k3v7abcdefgh", 1), states, NOW)) == []
    assert engine_lines([lab], [], NOW, [waits, runs]) == [
        "engine lab (Slurm): 2 of at most 4 jobs; no more are given to it: lab does not answer",
        "  k3v7abcd attempt 2: waits: Slurm says Resources, position 4, perhaps 02:40",
        "  r1 attempt 2: begun on n3",
    ]
    assert submissions_by_state([waits, runs, replace(runs, state="over")]) == {
        ("lab", "pending"): 1.0, ("lab", "running"): 1.0, ("lab", "leaving"): 1.0
    }  # fmt: skip


def a_reservation(job_id: str, attempt: int) -> Reservation:
    return Reservation(job_id=job_id, attempt=attempt, class_id="c", task="t", node="lab", queue="cpu-lab",
                       lane="cpu")  # fmt: skip
