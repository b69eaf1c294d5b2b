"""Whatever a night was: no job is lost in its report, the order of receipts on disk says nothing, and what
was just made holds.
"""

from __future__ import annotations

import random
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from report_scene import SINCE, ReportScene

from conductor.model.spec import JobSpec
from conductor.views.night.page import encoded, render

HOUR = 3600.0
CAUSES = ["task_error", "timeout", "bad_input", "worker_lost", "rate_limited"]


class DrawnAttempt(NamedTuple):
    """`ends`: hours after the night's beginning; some ended before it, some after it."""

    outcome: str
    ends: float
    cause: str
    is_free: bool
    is_lasting: bool


class DrawnJob(NamedTuple):
    attempts: list[DrawnAttempt]
    #: It comes after the job so many places before it, where there is one.
    behind: int
    is_cancelled: bool


ATTEMPTS = st.builds(
    DrawnAttempt,
    st.sampled_from(["ok", "failed", "failed", "superseded"]),
    st.floats(-3, 16, allow_nan=False).map(lambda hours: round(hours, 2)),
    st.sampled_from(CAUSES),
    st.booleans(),
    st.booleans(),
)
JOBS = st.builds(DrawnJob, st.lists(ATTEMPTS, max_size=4), st.integers(0, 3), st.booleans())


def night_of(folder: Path, jobs: list[DrawnJob]) -> ReportScene:
    night = ReportScene(folder)
    specs: list[JobSpec] = []
    for n, job in enumerate(jobs):
        after = (specs[n - job.behind].id,) if 0 < job.behind <= n else ()
        specs += night.jobs(1, after=after)
    night.dispatch(specs)
    for spec, job in zip(specs, jobs, strict=True):
        numbers = count(1)
        for attempt in job.attempts:
            write(night, spec, next(numbers), attempt)
        if job.is_cancelled:
            night.note(SINCE + HOUR, what="cancelled", ids={spec.id: len(job.attempts)})
    return night


def write(night: ReportScene, spec: JobSpec, number: int, drawn: DrawnAttempt) -> None:
    values: dict[str, Any] = {"attempt": number, "outcome": drawn.outcome}
    if drawn.outcome == "failed":
        values |= {"cause": drawn.cause, "is_free": drawn.is_free, "is_lasting": drawn.is_lasting}
        values |= {"message": f"broke at {number}"}
    if drawn.outcome == "superseded":
        values["attempt"] = max(1, number - 1)
    night.receipt(spec, drawn.ends * HOUR - 60.0, 60.0, **values)


#: A report reads and writes files: of few examples each is worth much.
@settings(deadline=None, max_examples=20)
@given(st.lists(JOBS, max_size=6), st.randoms(use_true_random=False))
def test_no_job_is_lost_and_what_was_made_holds(jobs: list[DrawnJob], chance: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        night = night_of(Path(folder), jobs)
        report = night.report()
        assert report.jobs.all + report.jobs.done_before == len(jobs)
        dead = sum(row.jobs for row in report.causes)
        assert dead == report.jobs.dead + report.jobs.cancelled
        assert sum(row.behind for row in report.causes) == report.jobs.behind

        file = Path(folder) / "night.html"
        file.write_text(render(report, {}, ""))
        assert night.check(file).differences == ()

        if night.log.file.exists():
            lines = night.log.file.read_bytes().splitlines(keepends=True)
            chance.shuffle(lines)
            night.log.file.write_bytes(b"".join(lines))
            assert encoded(night.report()) == encoded(report)

        wrong = msgspec.structs.replace(report.jobs, done=report.jobs.done + 1)
        file.write_text(render(msgspec.structs.replace(report, jobs=wrong), {}, ""))
        assert any(each.startswith("jobs.done: ") for each in night.check(file).differences)
