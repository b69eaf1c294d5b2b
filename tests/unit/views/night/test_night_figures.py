"""Every figure of a night against one that was counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from report_scene import SINCE, UNTIL, ReportScene

from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.review import ItemVerdict, ReviewAsked, ReviewItem
from conductor.model.spec import JobSpec
from conductor.views.night.document import NightReport
from conductor.views.night.statistics import joined, strip

HOUR = 3600.0


@pytest.fixture
def night(tmp_path: Path) -> ReportScene:
    return ReportScene(tmp_path)


def states(report: NightReport) -> dict[str, int]:
    names = ("done", "dead", "behind", "cancelled", "review", "running", "waiting")
    return {name: count for name in names if (count := getattr(report.jobs, name))}


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_at_all_is_a_night_too(night: ReportScene) -> None:
    report = night.report()

    assert report.headline == "Nothing was to be done in this time."
    assert states(report) == {} and report.sources.receipts == 0


def test_what_was_done_and_what_waits(night: ReportScene) -> None:
    specs = night.jobs(3)
    night.dispatch(specs)
    night.done(specs[0], 10.0)
    night.done(specs[1], 100.0)

    report = night.report()

    assert states(report) == {"done": 2, "waiting": 1}
    assert report.last_done_at == SINCE + 160
    assert report.headline == "Not through yet: 2 of 3 jobs done and verified, 1 still to do."


def test_what_ended_before_the_night_is_no_part_of_it_and_what_comes_after_is_not_known(
    night: ReportScene,
) -> None:
    before, across, within, after = specs = night.jobs(4)
    night.dispatch(specs)
    night.done(before, -200.0)
    night.done(across, -30.0, 60.0)
    night.done(within, 60.0)
    night.done(after, 14 * HOUR - 10)

    report = night.report()

    assert states(report) == {"done": 2, "waiting": 1}
    assert (report.jobs.done_before, report.sources.receipts) == (1, 3)


def test_a_dispatch_after_the_night_is_no_part_of_it(night: ReportScene) -> None:
    night.dispatch(night.jobs(2), at=UNTIL + 5)
    assert states(night.report()) == {}


def test_a_job_is_dead_once_its_retries_are_used_up(night: ReportScene) -> None:
    retried, dead = specs = night.jobs(2)
    night.dispatch(specs)
    for attempt in (1, 2):
        night.failed(retried, 100.0 * attempt, attempt=attempt)
    for attempt in (1, 2, 3):
        night.failed(dead, 100.0 * attempt, attempt=attempt)

    assert states(night.report()) == {"dead": 1, "waiting": 1}


def test_a_failure_that_was_others_fault_costs_no_try(night: ReportScene) -> None:
    (spec,) = night.jobs(1)
    night.dispatch([spec])
    for attempt in (1, 2, 3):
        night.failed(spec, 100.0 * attempt, attempt=attempt, is_free=attempt > 1)

    report = night.report()

    assert states(report) == {"waiting": 1}
    (row,) = report.retries
    assert (row.failed, row.free, row.open, row.seconds) == (3, 2, 1, 90.0)


def test_the_budget_is_that_of_the_line_where_it_says_one(night: ReportScene) -> None:
    (spec,) = night.jobs(1, retry={"task_error": 0})
    night.dispatch([spec])
    night.failed(spec, 100.0)

    report = night.report()

    assert states(report) == {"dead": 1} and report.retries[0].budget == 0


def test_who_comes_after_a_dead_job_is_behind_it_however_far(night: ReportScene) -> None:
    (root,) = night.jobs(1, retry={"bad_input": 0})
    (second,) = night.jobs(1, after=(root.id,))
    (third,) = night.jobs(1, after=(second.id,))
    (free,) = night.jobs(1, after_ended=(root.id,))
    night.dispatch([third, second, root, free])
    night.failed(root, 5.0, cause="bad_input", message="clip 07.mp4 is cut off")

    report = night.report()

    assert states(report) == {"dead": 1, "behind": 2, "waiting": 1}
    (cause,) = report.causes
    assert (cause.cause, cause.jobs, cause.behind, cause.seconds) == ("bad_input", 1, 2, 30.0)
    assert cause.named[0].job_id == root.id and cause.named[0].file == "clip 001.json"


def test_one_cause_is_one_row_whatever_names_and_numbers_its_messages_hold(night: ReportScene) -> None:
    specs = night.jobs(5, retry={"task_error": 0})
    night.dispatch(specs)
    for n, spec in enumerate(specs[:4]):
        night.failed(spec, 100.0 * n, message=f"cannot read 'clip {n}.mp4' at frame {n * 17}")
    night.failed(specs[4], 50.0, message="the model is not there")

    report = night.report()

    assert [(row.jobs, row.message) for row in report.causes] == [
        (4, "cannot read 'clip 0.mp4' at frame 0"),
        (1, "the model is not there"),
    ]
    assert report.headline == "Waiting for you: 5 jobs dead of 2 causes. 0 of 5 jobs done and verified."


def test_the_operators_word_counts(night: ReportScene) -> None:
    cancelled, failed, forgiven = specs = night.jobs(3, retry={"task_error": 0})
    night.dispatch(specs)
    night.failed(forgiven, 10.0)
    night.note(SINCE + 50, what="retried", ids={forgiven.id: 1})
    night.note(SINCE + 60, what="cancelled", ids={cancelled.id: 0})
    night.note(SINCE + 70, what="cancelled", ids={failed.id: 0}, cause="bad_input")
    night.note(UNTIL + 10, what="cancelled", ids={forgiven.id: 1})

    report = night.report()

    assert states(report) == {"dead": 1, "cancelled": 1, "waiting": 1}
    assert [row.cause for row in report.causes] == ["bad_input", "cancelled"]


def test_what_was_dead_before_is_told_apart(night: ReportScene) -> None:
    old, new = specs = night.jobs(2, retry={"task_error": 0})
    night.dispatch(specs, at=SINCE - 90_000)
    night.failed(old, -80_000.0)
    night.failed(new, 10.0)

    report = night.report()

    assert (report.jobs.dead, report.jobs.earlier) == (2, 1)
    assert sum(row.seconds for row in report.causes) == 30.0


def test_what_was_set_aside_is_in_review(night: ReportScene) -> None:
    specs = night.jobs(3)
    night.dispatch(specs)
    night.done(specs[0], 1.0)
    night.note(SINCE + 100, what="reviewed", kind="diagnostics.echo", words="3 failures alike")

    report = night.report()

    assert states(report) == {"done": 1, "review": 2}
    assert report.headline.startswith("Waiting for you: 2 jobs to review.")


def test_what_waits_for_a_persons_eyes_is_in_review_until_her_word_and_no_failure(night: ReportScene) -> None:
    waits, half, accepted, late, rejected, _ = specs = night.jobs(6)
    specs[5] = a_spec(99, after=(waits.id,))
    night.dispatch(specs)
    asked = ReviewAsked(items=(ReviewItem(words="a goal?"), ReviewItem(words="a save?")))
    for spec in specs[:5]:
        night.receipt(spec, 100.0, 60.0, outcome="review", review=asked)

    def says(spec: JobSpec, at: float, *items: int, is_accepted: bool = True, **more: Any) -> None:
        words = tuple(
            ItemVerdict(item=i, is_accepted=is_accepted, who="ann", at=SINCE + at, note="") for i in items
        )
        values = {"outcome": "ok" if is_accepted else "failed", "verdicts": words, "review": asked, **more}
        night.receipt(spec, 100.0, 60.0, **values)

    says(half, 200.0, 1, outcome="verdict")
    says(accepted, 300.0, 1, 2)
    says(late, 15 * 3600.0, 1, 2)
    says(rejected, 400.0, 1, is_accepted=False, cause="rejected", message="rejected by ann: too dark")

    report = night.report()

    assert states(report) == {"done": 1, "dead": 1, "review": 3, "waiting": 1}
    assert report.jobs.shown == 3 and report.last_done_at == SINCE + 300.0
    assert "1 job dead of 1 cause, 3 jobs to review" in report.headline
    assert [(row.cause, row.message) for row in report.causes] == [("rejected", "rejected by ann: too dark")]
    assert [(row.cause, row.failed) for row in report.retries] == [("rejected", 1)]
    (work,) = [row for row in report.tasks if row.task == waits.task]
    assert (work.attempts, work.done, work.not_done) == (5, 1, 5), "a verdict is no attempt"
    todo = report.answers[-1]
    assert "say yes or no to what 3 jobs show" in todo.words and "conductor review" in todo.commands
    assert night.report(until=SINCE + 250.0).jobs.shown == 5
    left, waited = report.answers[1].words, report.answers[3].words
    assert "1 waiting (1 behind those in review)" in left
    assert waited.endswith(" 1 job waits for a person's word on what is in review.")


def test_what_waits_for_jobs_before_it_is_said_for_no_gate_knows_of_it(night: ReportScene) -> None:
    first, *_ = night.jobs(1)
    second = a_spec(98, after=(first.id,))
    night.dispatch([first, second, a_spec(99, after=(second.id,))])

    report = night.report()

    assert (report.jobs.waiting, report.jobs.behind_others, report.jobs.behind_review) == (3, 2, 0)
    assert report.answers[1].words == "3 waiting (2 behind others that are not done)."
    assert report.answers[3].words.endswith(" 2 jobs wait for jobs before them that are not done.")


def test_of_several_receipts_one_counts_and_what_is_taken_back_does_not(night: ReportScene) -> None:
    twice, redone, later = specs = night.jobs(3)
    night.dispatch(specs)
    night.done(twice, 10.0, attempt=1, token="aaaaaaaa")
    night.done(twice, 40.0, attempt=2, token="bbbbbbbb")
    night.done(redone, 10.0)
    night.receipt(redone, 10.0, 60.0, outcome="superseded")
    night.done(later, 10.0)
    night.receipt(later, 10.0, 60.0, outcome="superseded")
    night.done(later, 500.0, attempt=2)

    report = night.report()

    assert states(report) == {"done": 2, "waiting": 1}
    assert report.outputs.files == 2


def test_a_manifest_that_is_kept_nowhere_is_said(night: ReportScene) -> None:
    specs = night.jobs(2)
    night.dispatch(specs)
    night.done(specs[0], 1.0)
    for kept in (night.receipts_dir / "manifests").iterdir():
        kept.unlink()
    (night.folder / "night.jsonl").unlink()

    report = night.report()

    assert states(report) == {"done": 1}
    assert "is kept nowhere" in report.notes[0]


def test_of_a_job_in_two_manifests_the_last_line_holds(night: ReportScene) -> None:
    (spec,) = night.jobs(1, retry={"task_error": 3})
    night.dispatch([spec], "a.jsonl", "first")
    import msgspec

    night.dispatch([msgspec.structs.replace(spec, retry={"task_error": 0})], "b.jsonl", "second")
    night.failed(spec, 10.0)

    assert states(night.report()) == {"dead": 1}


# ── attempts ──────────────────────────────────────────────────────────────────────────────────────────────


def test_retries_say_what_trying_again_was_worth(night: ReportScene) -> None:
    mended, lost, both = specs = night.jobs(3)
    night.dispatch(specs)
    night.failed(mended, 0.0)
    night.done(mended, 50.0, attempt=2)
    for attempt in (1, 2, 3):
        night.failed(lost, 100.0 * attempt, 10.0, attempt=attempt)
    night.failed(both, 0.0, cause="timeout", message="took too long")
    night.failed(both, 50.0, attempt=2)

    rows = {row.cause: row for row in night.report().retries}

    error, timeout = rows["task_error"], rows["timeout"]
    assert (error.failed, error.jobs, error.recovered, error.dead, error.open) == (5, 3, 1, 1, 1)
    assert (error.seconds, error.most_to_recover, error.budget) == (90.0, 1, 2)
    assert (timeout.failed, timeout.jobs, timeout.open, timeout.budget) == (1, 1, 1, 1)


def test_work_is_counted_by_task(night: ReportScene) -> None:
    specs = night.jobs(2)
    night.dispatch(specs)
    night.failed(specs[0], 0.0, 20.0)
    night.done(specs[0], 100.0, 40.0, content=b"[1, 2]", attempt=2, frozen_s=5.0)

    (row,) = night.report().tasks

    assert (row.task, row.done, row.not_done, row.attempts) == ("diagnostics.echo", 1, 1, 2)
    assert (row.seconds, row.outputs, row.bytes) == (55.0, 1, 6)


def test_devices_are_busy_once_whoever_ran_there(night: ReportScene) -> None:
    specs = night.jobs(4)
    night.dispatch(specs)
    night.done(specs[0], 0.0, HOUR, usage=Usage(vram_mib=9000))
    night.done(specs[1], HOUR / 2, HOUR, usage=Usage(vram_mib=4000))
    night.failed(specs[2], 7 * HOUR, HOUR)
    night.done(specs[3], 0.0, HOUR, devices=(), node="studio2")

    gpu, plain = night.report().devices

    assert (gpu.node, gpu.device, gpu.jobs, gpu.busy_s, gpu.failed_s) == (
        "studio1",
        "gpu0",
        3,
        2.5 * HOUR,
        HOUR,
    )
    assert gpu.peak_mib == 9000 and (plain.node, plain.device, plain.busy_s) == ("studio2", "", HOUR)
    assert sum(gpu.strip) / 100 * (14 * HOUR / len(gpu.strip)) == pytest.approx(2.5 * HOUR, rel=0.02)


def test_spans_are_joined_and_cut_into_parts() -> None:
    assert joined([(5.0, 9.0), (0.0, 2.0), (1.0, 3.0), (4.0, 4.0)]) == [(0.0, 3.0), (5.0, 9.0)]
    parts = strip([(0.0, 24.0), (30.5, 31.0)], 0.0, 48.0)
    assert parts[:24] == (100,) * 24 and parts[30] == 50 and sum(parts) == 2450


def test_durations_are_held_against_what_was_expected(night: ReportScene) -> None:
    specs = night.jobs(4)
    night.dispatch(specs)
    for spec, took in zip(specs, (50.0, 100.0, 200.0), strict=False):
        night.done(spec, 0.0, took, asked=AdmittedNeeds(duration_s=100.0))
    night.done(specs[3], 0.0, 5.0)

    (row,) = night.report().predicted_tasks

    assert (row.jobs, row.expected_s, row.took_s, row.median_off) == (3, 300.0, 350.0, 0.5)


def test_the_end_that_was_foretold_is_held_against_the_real_one(night: ReportScene) -> None:
    mine, other = night.jobs(2), night.jobs(1)
    night.dispatch(mine, "a.jsonl", "night")
    night.dispatch(other, "b.jsonl", "slow")
    night.note(SINCE + 10, what="foretold", backlog="night", jobs=2, instant=int(SINCE) + 600)
    night.note(SINCE + 11, what="foretold", jobs=3, instant=int(SINCE) + 700)
    night.done(mine[0], 100.0)
    night.done(mine[1], 840.0)

    own, whole = night.report().predicted_ends

    assert (own.backlog, own.left, own.ends_at, own.ended_at) == ("night", 2, SINCE + 600, SINCE + 900)
    assert (whole.backlog, whole.ended_at) == ("", None)
