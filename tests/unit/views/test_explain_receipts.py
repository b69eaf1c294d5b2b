"""What `explain` says of an attempt, from its receipt."""

from __future__ import annotations

from conductor.model.receipt import Receipt, Usage
from conductor.views.explain_job import receipt_lines


def test_a_job_that_went_beyond_its_word_and_left_something_running_is_told_of():
    receipt = Receipt(
        v=1,
        job_id="job-00000001",
        attempt=1,
        workflow="w",
        task="media.cut",
        outcome="ok",
        started_at=1.0,
        ended_at=3.0,
        node="here",
        worker="w1",
        usage=Usage(rss_mib=8192),
        beyond="held 8.0 GiB of memory where 300 MiB were reserved",
        left_running=("sleep 1000 (pid 7)",),
    )
    assert receipt_lines(receipt, {1})[1:] == [
        "    at most 8192 MiB memory",
        "    beyond its word: held 8.0 GiB of memory where 300 MiB were reserved",
        "    left running, and ended with it: sleep 1000 (pid 7)",
    ]
