"""The verdict over failed receipts is the one the ledger came to while it lived."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from conductor.core.past import LIFE, Failure, is_unheard, next_life, verdict
from conductor.core.retry import after_failure
from conductor.model.causes import Cause
from conductor.model.outcome import Dead

CAUSES: tuple[Cause, ...] = ("task_error", "server_error", "timeout", "worker_lost", "rate_limited", "bad_input")


def failures(*causes: Cause) -> list[Failure]:
    return [Failure(attempt, cause, f"no {attempt}") for attempt, cause in enumerate(causes, 1)]


def test_nothing_failed_is_nothing_held_against_it() -> None:
    assert verdict([], {}) == (None, {}, None, "")


@given(st.lists(st.sampled_from(CAUSES), max_size=12), st.dictionaries(st.sampled_from(CAUSES), st.integers(0, 3)))
def test_it_is_dead_exactly_where_the_live_table_buried_it(causes: list[Cause], budgets: dict[Cause, int]) -> None:
    lived: list[Cause] = []
    seen: Counter[Cause] = Counter()
    is_dead = False
    for cause in causes:
        lived.append(cause)
        is_dead = isinstance(after_failure(cause, seen, budgets), Dead)
        seen[cause] += 1
        if is_dead:
            break

    found = verdict(list(reversed(failures(*lived))), budgets)

    assert found.over == ("dead" if is_dead else None)
    assert found.failures == seen
    assert found.cause == (lived[-1] if lived else None)


def test_an_attempt_after_the_last_one_allowed_was_the_operators_doing() -> None:
    found = verdict(failures("bad_input", "task_error"), {})
    assert (found.over, found.failures) == (None, {"task_error": 1})


def test_what_the_operator_forgave_does_not_count() -> None:
    assert verdict(failures("bad_input"), {}, forgiven=1).over is None
    assert verdict(failures("bad_input", "bad_input"), {}, forgiven=1).over == "dead"


def test_cancelled_before_its_first_attempt_or_while_it_ran() -> None:
    assert verdict([], {}, cancelled=0).over == "cancelled"
    assert verdict(failures("task_error"), {}, cancelled=1).over == "cancelled"
    assert verdict(failures("cancelled"), {}).over == "cancelled"
    assert verdict(failures("task_error", "task_error"), {}, cancelled=1).over is None, "sent back since"


def test_the_next_life_lies_above_all_numbers_given_out() -> None:
    assert [next_life(n) for n in (0, 1, LIFE - 1, LIFE, LIFE + 1)] == [LIFE, LIFE, LIFE, 2 * LIFE, 2 * LIFE]
    assert is_unheard("waiting", LIFE, 3) and is_unheard("waiting", 0, 1)
    assert not is_unheard("waiting", LIFE + 1, 3) and not is_unheard("done", 0, 1) and not is_unheard("running", 1, 2)
