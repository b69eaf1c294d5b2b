"""What is said of a person's verdicts on a job as a whole."""

from __future__ import annotations

import pytest

from conductor.model.receipt import Outcome, Receipt
from conductor.model.review import ItemVerdict
from conductor.recovery.verdicts import verdict_word


@pytest.mark.parametrize(
    ("outcome", "said", "word"),
    [
        ("ok", (True, True), "accepted"),
        ("ok", (True, False), "judged"),
        ("ok", (False, False), "judged"),
        ("failed", (True, False), "rejected"),
    ],
)
def test_a_job_that_goes_on_with_items_turned_down_was_not_accepted(
    outcome: Outcome, said: tuple[bool, ...], word: str
) -> None:
    verdicts = tuple(
        ItemVerdict(item=n, is_accepted=is_so, who="ann", at=0.0) for n, is_so in enumerate(said, 1)
    )
    end = Receipt(
        v=1, job_id="a", attempt=1, workflow="w", task="t", outcome=outcome, started_at=1.0, ended_at=2.0,
        node="n", worker="w1", verdicts=verdicts,
    )  # fmt: skip
    assert verdict_word(end) == word
