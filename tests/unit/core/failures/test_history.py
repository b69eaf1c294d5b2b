"""The verdict over failed receipts is the one the ledger came to while it lived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from unittest.mock import ANY

import pytest
from builders import a_class, a_reservation
from hypothesis import given
from hypothesis import strategies as st

from conductor.core.failures.history import (
    GENERATION_STEP,
    Failure,
    HistoryVerdict,
    is_unheard,
    lessons,
    named,
    next_generation_number,
    said,
    tries,
    verdict,
)
from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import as_reserved, raised
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.spec import Needs

CAUSES: tuple[Cause, ...] = (
    "task_error",
    "server_error",
    "timeout",
    "worker_lost",
    "rate_limited",
    "bad_input",
)


def failures(*causes: Cause) -> list[Failure]:
    return [Failure(attempt, cause, f"no {attempt}") for attempt, cause in enumerate(causes, 1)]


def test_nothing_failed_is_nothing_held_against_it() -> None:
    assert verdict([], {}) == HistoryVerdict()


@given(
    st.lists(st.sampled_from(CAUSES), max_size=12),
    st.dictionaries(st.sampled_from(CAUSES), st.integers(0, 3)),
)
def test_it_is_dead_exactly_where_the_live_table_buried_it(
    causes: list[Cause], budgets: dict[Cause, int]
) -> None:
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
    assert [
        next_generation_number(n) for n in (0, 1, GENERATION_STEP - 1, GENERATION_STEP, GENERATION_STEP + 1)
    ] == [
        GENERATION_STEP,
        GENERATION_STEP,
        GENERATION_STEP,
        2 * GENERATION_STEP,
        2 * GENERATION_STEP,
    ]
    assert is_unheard("waiting", GENERATION_STEP, 3) and is_unheard("waiting", 0, 1)
    assert (
        not is_unheard("waiting", GENERATION_STEP + 1, 3)
        and not is_unheard("done", 0, 1)
        and not is_unheard("running", 2, 2)
    )
    assert is_unheard("running", 1, 2) and is_unheard("admitted", 2, 2), "the ledger stepped back"
    assert not is_unheard("admitted", GENERATION_STEP + 1, 2)


# ── what they taught ──────────────────────────────────────────────────────────────────────────────────────

BIGGEST = {"vram_mib": 24_000, "ram_mib": 64_000}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("cuda_oom", "host_oom", "task_error")), st.none() | st.integers(0, 20_000)
        ),
        max_size=6,
    ),
    st.integers(0, 3000),
)
def test_they_teach_what_they_taught_the_ledger_while_it_lived(
    ends: list[tuple[Cause, int | None]], learned_more: int
) -> None:
    live = own = a_class(vram_mib=4000, ram_mib=1000)
    failed: list[Failure] = []
    for attempt, (cause, peak) in enumerate(ends, 1):
        held = a_reservation(
            attempt=attempt, vram_mib=live.needs.vram_mib + learned_more, ram_mib=live.needs.ram_mib
        )
        usage = Usage(vram_mib=peak, rss_mib=peak)
        asked = AdmittedNeeds(needs=live.needs, vram_mib=held.vram_mib if learned_more else None)
        failed.append(Failure(attempt, cause, "", usage=usage, asked=asked))
        live = raised(cause, as_reserved(live, held), usage, BIGGEST).job_class or live

    assert lessons(own, reversed(failed), BIGGEST)[0].needs == live.needs


def test_what_no_node_reports_teaches_nothing() -> None:
    failed = [Failure(1, "cuda_oom", "", usage=Usage(vram_mib=9000)), Failure(2, "host_oom", "")]

    job_class, hopeless = lessons(a_class(vram_mib=4000, ram_mib=1000), failed, {"ram_mib": 64_000})

    assert (job_class.needs.vram_mib, job_class.needs.ram_mib, hopeless) == (4000, 1536, frozenset())


def test_an_attempt_that_had_all_there_is_was_the_last() -> None:
    failed = [Failure(1, "cuda_oom", "", asked=AdmittedNeeds(needs=Needs(vram_mib=24_000)))]

    job_class, hopeless = lessons(a_class(vram_mib=4000), failed, BIGGEST)

    assert verdict(failed, {}, hopeless=hopeless).over == "dead"
    assert verdict(failed, {}).over is None
    assert job_class.needs.vram_mib == 4000


def test_what_was_others_fault_counts_for_nothing_and_teaches_what_it_taught() -> None:
    held = AdmittedNeeds(needs=Needs(vram_mib=4000))
    failed = [
        *(
            Failure(n, "cuda_oom", "", usage=Usage(vram_mib=500), asked=held, is_free=True)
            for n in range(1, 5)
        ),
        Failure(5, "worker_lost", "taken from its worker by the operator", is_free=True),
    ]

    assert verdict(failed, {"cuda_oom": 1, "worker_lost": 0}) == HistoryVerdict(
        failures={}, cause="worker_lost", message=ANY
    )
    job_class, _ = lessons(a_class(vram_mib=4000), failed[:1], BIGGEST)
    assert job_class.needs.vram_mib == BIGGEST["vram_mib"], "next it has a device to itself"


def test_it_waits_out_what_is_left_of_its_last_back_off() -> None:
    once, twice = Failure(1, "server_error", "", 1000.0), Failure(2, "server_error", "", 2000.0)

    assert verdict([once], {}).not_before == pytest.approx(1005.0)
    assert verdict([twice, once], {}).not_before == pytest.approx(2010.0), "twice as long the second time"
    assert verdict([once], {}, forgiven=1).not_before is None
    assert verdict([Failure(1, "worker_lost", "", 1000.0)], {}).not_before is None
    assert verdict([Failure(1, "bad_input", "", 1000.0)], {}).not_before is None


# ── how often it was tried ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "known", "count"),
    [
        (1, (), 1),
        (3, (1, 2), 3),
        (3, (), 3),
        (101, (1, 2), 3),
        (101, (), 1),
        (103, (1, 2, 101), 5),
        (201, (1, 101, 102), 4),
        (301, (2,), 3),
        (150, range(1, 150), 150),
        (201, range(1, 151), 151),
        # Waits since the rebuild: the number was given to nobody.
        (100, (1, 2), 2),
        (200, (), 0),
        (100, range(1, 101), 100),
    ],
)
def test_numbers_that_a_rebuild_left_out_are_no_tries(number: int, known: Iterable[int], count: int) -> None:
    assert tries(number, known) == count


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_tries_are_counted_over_all_lives(lives: list[int]) -> None:
    numbers: list[int] = []
    for length in lives:
        first = next_generation_number(max(numbers)) + 1 if numbers else 1
        numbers += range(first, first + length)

    assert [tries(number, numbers) for number in numbers] == list(range(1, sum(lives) + 1))


def test_a_number_is_named_beside_the_count_where_they_differ() -> None:
    assert said(3, (1, 2)) == "attempt 3"
    assert said(101, (1, 2)) == "attempt 3 (numbered 101)"
    assert (named(7), named(101)) == ("attempt 7", "the attempt numbered 101")
