"""A job's record: its life as steps, what it took, what it read, what ran beside it, what it raised."""

from __future__ import annotations

from pathlib import Path

import msgspec
from builders import NOW, a_class

from conductor.base.logs import job_output
from conductor.model.decision import Hold
from conductor.model.ledger_entries import JobState, JobView
from conductor.model.receipt import AdmittedNeeds, OutputFact, Receipt, Usage
from conductor.model.review import ItemVerdict
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs
from conductor.record.index.history import HistoryIndex
from conductor.views.job_record import ChainedJob, amounts, beside, life, read_files, trace_in, traces
from conductor.views.job_record_text import behind_lines, beside_lines, life_lines, read_lines

JOB = "job-00000001"


def a_receipt(
    attempt: int = 1, outcome: str = "ok", began: float = 0.0, ended: float = 1.0, **more: object
) -> Receipt:
    return Receipt(
        v=1,
        job_id=str(more.pop("job_id", JOB)),
        attempt=attempt,
        token="abcd1234",
        workflow="w",
        task="media.cut",
        outcome=outcome,  # type: ignore[arg-type]
        started_at=NOW + began,
        ended_at=NOW + ended,
        node="here",
        worker="w1",
        **more,  # type: ignore[arg-type]
    )


def a_view(state: JobState = "done", held: Reservation | None = None) -> JobView:
    c = a_class(vram_mib=10_240)
    return JobView(
        job_id=JOB, state=state, backlog="b", class_id=c.id, job_class=c, attempts=1, since=NOW, line=b"{}",
        reservation=held,
    )  # fmt: skip


def test_a_life_is_each_wait_by_its_gates_each_attempt_and_the_verification() -> None:
    receipts = (
        a_receipt(1, "failed", 60, 90, cause="timeout", waited_for={"vram": 50.0}),
        a_receipt(2, "ok", 100, 205, waited_for={"vram": 55.0, "lane": 1.0}, checked_s=5.0),
    )
    steps = life(a_view(), receipts, None, NOW + 300)
    assert [(step.what, step.seconds) for step in steps] == [
        ("waited", 60.0), ("failed", 30.0), ("waited", 10.0), ("ran", 100.0), ("verified", 5.0)
    ]  # fmt: skip
    assert [step.gates for step in steps if step.what == "waited"] == [
        {"vram": 50.0},
        {"vram": 5.0, "lane": 1.0},
    ]
    (line,) = life_lines(steps)
    assert line.startswith("its life: waited ") and "(vram 5.0 s, lane 1.0 s), ran " in line


def test_a_wait_that_goes_on_has_the_gates_that_are_closed_now() -> None:
    hold = Hold(
        class_id="c", backlog="b", task="t", lane="gpu", waiting=1, verdicts=(),
        closed_since={"vram": NOW - 100, "lane": NOW + 30},
    )  # fmt: skip
    (step,) = life(a_view("waiting"), (), hold, NOW + 40)
    assert (step.seconds, step.gates, step.is_going) == (40.0, {"vram": 40.0, "lane": 10.0}, True)


def test_what_a_person_looked_at_is_a_step_of_its_own() -> None:
    seen = ItemVerdict(item=1, is_accepted=True, who="ann", at=NOW + 50)
    steps = life(
        a_view(), (a_receipt(1, "review", 1, 2), a_receipt(1, "ok", 1, 2, verdicts=(seen,))), None, NOW
    )
    assert [(step.what, step.seconds) for step in steps] == [("waited", 1.0), ("ran", 1.0), ("shown", 48.0)]


def test_asked_learned_and_used_stand_side_by_side() -> None:
    asked = AdmittedNeeds(needs=Needs(vram_mib=10_240, ram_mib=512), vram_mib=12_288)
    receipt = a_receipt(usage=Usage(vram_mib=9_000, rss_mib=600), asked=asked)
    vram, ram, *_ = amounts(a_view(), (receipt,))
    assert (vram.asked, vram.learned, vram.used) == (10_240, 12_288, 9_000)
    assert (ram.asked, ram.learned, ram.used) == (512, None, 600)


def test_what_it_read_has_the_size_that_the_plan_or_the_maker_knew(tmp_path: Path) -> None:
    maker = "job-00000009"
    made = OutputFact(path="scratch:a.json", bytes=77, sha256="0" * 64)
    write(tmp_path, a_receipt(job_id=maker, outputs=(made,)))
    line = {
        "inputs": {"/films/a.mp4": "123456-1700000000000000000", "/films/b.mp4": "sha256-abc"},
        "reads": ["/films/a.mp4", "scratch:a.json"],
        "after": [maker],
    }
    read = read_files(line, HistoryIndex(tmp_path, tmp_path))
    assert [(file.path, file.bytes, file.made_by) for file in read] == [
        ("/films/a.mp4", 123456, ""), ("/films/b.mp4", None, ""), ("scratch:a.json", 77, maker)
    ]  # fmt: skip
    assert read_lines(read)[2] == f"reads scratch:a.json  77 B  made by {maker}"


def test_what_ran_on_its_device_meanwhile_is_named(tmp_path: Path) -> None:
    mine = a_receipt(1, "ok", 10, 20, devices=("gpu0",))
    others = (
        a_receipt(1, "failed", 5, 15, job_id="job-neighbour1", devices=("gpu0",), cause="cuda_oom"),
        a_receipt(1, "ok", 5, 15, job_id="job-elsewhere1", devices=("gpu1",)),
        a_receipt(1, "ok", 0, 9, job_id="job-too-early1", devices=("gpu0",)),
        a_receipt(1, "ok", 21, 25, job_id="job-too-late11", devices=("gpu0",)),
    )
    write(tmp_path, mine, *others)
    history = HistoryIndex(tmp_path, tmp_path)
    history.refresh()
    found = beside(a_view(), (mine,), history, (), NOW + 100)
    assert [each.job_id for each in found] == ["job-neighbour1"]
    assert "beside it on gpu0: media.cut (job-neighbour1)" in beside_lines(found)[0]


def test_the_whole_traceback_is_found_behind_the_bodys_own_words(tmp_path: Path) -> None:
    raised = 'Traceback (most recent call last):\n  File "a.py", line 3, in run\nKeyError: 1'
    file = job_output.file_of(tmp_path, JOB, "1.abcd1234", NOW)
    file.parent.mkdir(parents=True)
    file.write_text(f"hello\nmedia.cut attempt 1 failed:\n{raised}\n")
    (trace,) = traces(tmp_path, JOB, (a_receipt(1, "failed", cause="task_error"),))
    assert (trace.attempt, trace.text) == (1, raised)
    assert traces(tmp_path, JOB, (a_receipt(1, "ok"),)) == ()
    assert trace_in("nothing was raised") == ""


def write(folder: Path, *receipts: Receipt) -> None:
    file = folder / "w1.jsonl"
    with file.open("ab") as stream:
        for receipt in receipts:
            stream.write(msgspec.json.encode(receipt) + b"\n")


def test_who_waits_for_it_is_named_and_the_rest_counted() -> None:
    behind = tuple(ChainedJob(job_id=f"j{n}", state="waiting", subject=f"cut · {n}.mp4") for n in range(5))
    assert behind_lines(0, ()) == []
    assert behind_lines(1, behind[:1]) == ["1 job waits for it: cut · 0.mp4 (waiting)"]
    named = "cut · 0.mp4 (waiting), cut · 1.mp4 (waiting), cut · 2.mp4 (waiting), …"
    assert behind_lines(1200, behind) == [f"1,200 jobs wait for it: {named}"]
