"""What the page that stays open shows: every row made of one look."""

from __future__ import annotations

from conductor.model.decision import Hold, Shared, Verdict
from conductor.model.forecast import Forecast
from conductor.model.reason import Reason
from conductor.model.snapshot import RateState, Reservation
from conductor.views.now import now_of
from conductor.views.status import Status

MIB = "MiB"


def closed_at(
    where: str, need: float, have: float, *, opens: float | None = None, holders: tuple[str, ...] = ()
):
    return Verdict(
        gate="vram", passed=False, reason=Reason.NO_ROOM, where=where, need=need, have=have, limit=24000,
        unit=MIB, reopens_at=opens, holders=holders,
    )  # fmt: skip


def held(class_id: str, waiting: int, *verdicts: Verdict, since: float = 100.0) -> Hold:
    gates = {v.gate for v in verdicts if not v.passed}
    return Hold(
        class_id=class_id,
        backlog="night",
        task=f"task.{class_id}",
        lane="gpu",
        waiting=waiting,
        verdicts=verdicts,
        head=f"head-{class_id}",
        since=since,
        closed_since=dict.fromkeys(gates, since),
    )


def test_a_gate_adds_up_what_it_holds_back_and_opens_with_the_first_that_leaves():
    one = held("a", 3, closed_at("node1/gpu0", 10000, 6000, opens=900.0, holders=("x",)))
    other = held("b", 28, closed_at("node1/gpu0", 8000, 6000, opens=800.0), since=50.0)
    shared = (
        Shared(where="node1/gpu0", gate="vram", unit=MIB, limit=24000, reserved=18000, others=0, free=6000),
        Shared(where="node1", gate="cpu", unit="cores", limit=8, reserved=2, others=0, free=6),
    )
    status = Status(
        now=200.0, backlogs={"night": {"waiting": 31}}, holds=(one, other), lost_s={"vram": 4320.0}
    )
    first, second = now_of(status, shared).gates
    assert (first.gate, first.where, first.is_open, first.waiting) == ("vram", "node1/gpu0", False, 31)
    assert (first.need, first.free, first.limit, first.closed_since, first.opens_at) == (
        10000,
        6000,
        24000,
        50.0,
        800.0,
    )
    assert (first.heads, first.holders, first.lost_s) == (("head-a", "head-b"), ("x",), 4320.0)
    assert (second.gate, second.is_open, second.waiting, second.value) == (
        "cpu",
        True,
        0,
        "6 cores of 8 cores free",
    )


def test_a_gate_that_some_pass_one_day_is_not_never():
    final = Verdict(gate="vram", passed=False, reason=Reason.TOO_LARGE, where="node1/gpu0", unit=MIB)
    both = Status(now=1.0, holds=(held("a", 1, final), held("b", 1, closed_at("node1/gpu0", 2, 1))))
    assert [row.is_never for row in now_of(both).gates] == [False]
    assert [row.is_never for row in now_of(Status(now=1.0, holds=(held("a", 1, final),))).gates] == [True]


def test_budgets_of_apis_are_gates_too():
    rate = RateState(key="openai", requests_left=0, requests_limit=60)
    (row,) = now_of(Status(now=1.0, rates=(rate,))).gates
    assert (row.gate, row.where, row.value) == ("rate", "openai", "0 of 60 requests left")


def test_what_waits_is_told_with_the_file_it_is_about_and_what_can_never_run_comes_first():
    many = held("many", 40, closed_at("node1/gpu0", 2, 1))
    told = {"class_id": "n", "backlog": "night", "task": "big", "lane": "gpu", "head": "h"}
    never = Hold(**told, waiting=1, verdicts=(), is_infeasible=True)
    files = {"h": "holiday.mp4", "head-many": ""}
    rows = now_of(Status(now=1.0, holds=(many, never), files=files)).waiting
    assert [(row.task, row.is_never, row.about) for row in rows] == [
        ("big", True, "holiday.mp4"),
        ("task.many", False, ""),
    ]


def test_what_runs_is_told_with_asked_and_used_and_since_when():
    active = Reservation(
        job_id="r", attempt=2, class_id="c", task="vision.analyse", backlog="night", node="node1", queue="q",
        lane="gpu", devices=("gpu0",), vram_mib=10000, state="running", admitted_at=10.0, started_at=20.0,
        expected_s=60.0, progress=0.5, note="half 2",
    )  # fmt: skip
    (row,) = now_of(Status(now=80.0, active=(active,), files={"r": "match.mp4"})).running
    assert (row.about, row.where, row.since, row.expected_s) == ("match.mp4", "node1/gpu0", 20.0, 60.0)
    assert (row.asked_vram_mib, row.progress, row.note, row.trouble) == (10000, 0.5, "half 2", "")


def test_kinds_that_are_held_for_reasons_of_their_own_have_a_tile_each_and_their_reason_stands_first():
    lane = Verdict(gate="lane", passed=False, reason=Reason.QUEUE_FULL, where="node1", have=2, limit=2)
    canary = Verdict(gate="hold", passed=False, reason=Reason.CANARY, need=1, limit=1)
    drain = Verdict(gate="hold", passed=False, reason=Reason.DRAINING)
    holds = (held("a", 3, lane, canary), held("b", 5, lane, canary, drain))
    told = now_of(Status(now=200.0, holds=holds))
    kinds = {row.where: row.waiting for row in told.gates if row.gate == "hold"}
    assert kinds == {"task.a": 3, "task.b": 5, "": 5}
    assert all(row.gate == "hold" and not row.words[0].startswith("lane") for row in told.waiting)


def test_who_holds_a_gate_is_called_by_what_it_is_about_and_a_backlog_says_how_fast_it_goes():
    hold = held("a", 3, closed_at("node1/gpu0", 10000, 6000, holders=("x",)))
    runs = Reservation(
        job_id="x", attempt=1, class_id="a", task="media.cut", lane="gpu", queue="q", node="node1"
    )
    said = Forecast(
        backlog="night", begun_at=0.0, first_made_at=0.0, first_ends_at=9e3, first_left=40, first_known=40,
        made_at=3600.0, ends_at=9e3,
    )  # fmt: skip
    status = Status(
        now=7200.0, backlogs={"night": {"waiting": 25, "running": 1, "done": 20}}, holds=(hold,),
        active=(runs,), files={"x": "clip 7.mp4"}, forecast=said,
    )  # fmt: skip
    told = now_of(status, forecasts=(said,))
    assert told.subjects == {"x": "media.cut · clip 7.mp4", "head-a": "task.a"}
    # Six more came meanwhile, and 26 are left.
    assert told.backlogs[0].per_hour == 10.0
