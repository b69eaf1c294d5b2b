"""What dispatch knows of the past, held against the rule for receipts that all others go by."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from conductor.adapters.files.receipt_log import FileReceiptLog, accepted
from conductor.dispatch.past_attempts import past_of
from conductor.model.receipt import Outcome, Receipt

JOBS = [letter * 8 for letter in "abc"]
OUTCOMES: list[Outcome] = ["ok", "failed", "superseded"]


def a_receipt(job_id: str, attempt: int, outcome: Outcome) -> Receipt:
    return Receipt(
        v=1,
        job_id=job_id,
        attempt=attempt,
        workflow="w",
        task="t",
        outcome=outcome,
        started_at=1.0,
        ended_at=2.0,
        node="n",
        worker="w1",
    )


@given(
    st.lists(
        st.builds(a_receipt, st.sampled_from(JOBS), st.integers(1, 4), st.sampled_from(OUTCOMES)), max_size=12
    )
)
def test_the_same_attempts_count_as_everywhere_else(receipts: list[Receipt]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = FileReceiptLog(Path(folder), "w1")
        log.extend(receipts)
        log.close()
        past = past_of(Path(folder), set(JOBS[:2]), {JOBS[1]})
    ours = [receipt for receipt in receipts if receipt.job_id in JOBS[:2]]
    by_rule = accepted(ours)
    assert past.accepted == {job_id: receipt.attempt for job_id, receipt in by_rule.items()}
    assert past.receipts == {job_id: receipt for job_id, receipt in by_rule.items() if job_id == JOBS[1]}
    assert past.attempts == {
        job: max(r.attempt for r in ours if r.job_id == job) for job in {r.job_id for r in ours}
    }
