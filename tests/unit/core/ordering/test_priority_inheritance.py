"""Priorities that are handed down to what a job waits for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conductor.core.ordering.priority_inheritance import inherit_priorities


def test_the_jobs_before_an_urgent_one_are_as_urgent_through_however_many():
    waits = {"u": ["b"], "b": ["a"], "x": ["a", "y"]}
    assert inherit_priorities({"u": 100, "y": 5, "x": -3}, waits) == {"b": 100, "a": 100}


def test_who_is_more_urgent_itself_hands_down_its_own():
    assert inherit_priorities({"u": 7, "b": 50}, {"u": ["b"], "b": ["a"]}) == {"a": 50}


def test_a_negative_priority_takes_nothing_away():
    assert inherit_priorities({"u": -5}, {"u": ["a"]}) == {}


JOBS = st.integers(0, 7)


@given(st.dictionaries(JOBS, st.integers(-3, 3)), st.dictionaries(JOBS, st.lists(JOBS, max_size=3)))
def test_it_is_what_all_behind_a_job_say_at_most(priorities: dict[int, int], edges: dict[int, list[int]]):
    """A job waits for those of lower numbers only."""
    own = {str(job): n for job, n in priorities.items()}
    waits = {str(job): [str(other) for other in others if other < job] for job, others in edges.items()}

    def most(job: str) -> int:
        return max([own.get(job, 0), *(most(other) for other, before in waits.items() if job in before)])

    jobs = [str(job) for job in range(8)]
    assert inherit_priorities(own, waits) == {job: most(job) for job in jobs if most(job) > own.get(job, 0)}
