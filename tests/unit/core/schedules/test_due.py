"""Which fires are due, which are skipped, and which wait: tables of cases."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.core.schedules.due import NOTHING, ON_TIME_S, DueFires, SkippedFires, due, passed, put_off_s
from conductor.model.schedule import ScheduleRule, TakenFire

NIGHT = 86_400
A, B, C = NIGHT, 2 * NIGHT, 3 * NIGHT
LATE = C + ON_TIME_S + 1


def a_rule(**more: Any) -> ScheduleRule:
    return ScheduleRule(name="nightly", **more)


def skipped(*instants: int, why: Any = "missed") -> SkippedFires:
    return SkippedFires(instants, why)


@pytest.mark.parametrize(
    ("rule", "instants", "now", "expected"),
    [
        ({}, (), C, NOTHING),
        ({}, (C,), C, DueFires(fire=(C,))),
        ({}, (C,), LATE, DueFires(fire=(C,))),
        ({}, (A, B, C), LATE, DueFires(skip=skipped(A, B), fire=(C,))),
        ({"missed": "skip"}, (A, B, C), C + 1, DueFires(skip=skipped(A, B), fire=(C,))),
        ({"missed": "skip"}, (A, B, C), LATE, DueFires(skip=skipped(A, B, C))),
        ({"missed": "all", "overlap": "queue"}, (A, B, C), LATE, DueFires(fire=(A, B, C))),
        (
            {"missed": "all", "all_up_to": 2, "overlap": "queue"},
            (A, B, C),
            LATE,
            DueFires(skip=skipped(A), fire=(B, C)),
        ),
    ],
)
def test_missed_fires(
    rule: dict[str, Any], instants: tuple[int, ...], now: float, expected: DueFires
) -> None:
    assert due(a_rule(**rule), instants, now) == expected


def test_a_fire_that_overlaps_is_skipped_or_waits() -> None:
    assert due(a_rule(), (C,), C, is_busy=True) == DueFires(skip=skipped(C, why="overlap"))
    assert due(a_rule(), (B, C), C, is_busy=True) == DueFires(skip=skipped(B)), "first what was missed"
    assert due(a_rule(overlap="queue"), (C,), C, is_busy=True) == DueFires(waits=True)


@pytest.mark.parametrize("missed", ["once", "skip"])
def test_of_several_that_waited_the_last_fires(missed: Any) -> None:
    found = due(a_rule(overlap="queue", missed=missed), (A, B, C), LATE, has_waited=True)
    assert found == DueFires(skip=skipped(A, B, why="overlap"), fire=(C,))


def test_what_is_paused_is_skipped_and_not_made_up_for() -> None:
    assert due(a_rule(), (B, C), C, is_paused=True) == DueFires(skip=skipped(B, C, why="paused"))


def taken(instant: int, until: float, **more: Any) -> TakenFire:
    return TakenFire(instant=instant, owner="one", since=instant, until=until, **more)


def test_while_somebody_has_a_fire_in_hand_no_other_begins() -> None:
    held = taken(B, C + 10)
    assert due(a_rule(), (B,), C, taken=held) == NOTHING
    assert due(a_rule(), (B, C), C, taken=held) == DueFires(skip=skipped(C, why="overlap"))
    assert due(a_rule(overlap="queue"), (B, C), C, taken=held) == DueFires(waits=True)
    assert due(a_rule(), (B, C), C, taken=held, is_paused=True) == NOTHING
    by_hand = taken(B + 5, C + 10, is_by_hand=True)
    assert due(a_rule(), (B,), C, taken=by_hand) == DueFires(skip=skipped(B, why="overlap"))


@pytest.mark.parametrize("missed", ["once", "skip"])
def test_a_fire_that_was_taken_and_not_ended_is_never_missed(missed: Any) -> None:
    broken_off = taken(A, A + 30)
    for more in ({}, {"is_busy": True}, {"is_paused": True}):
        assert due(a_rule(missed=missed), (A, B, C), LATE, taken=broken_off, **more) == DueFires(fire=(A,))


def test_a_fire_is_put_off_by_the_same_everywhere_and_overtakes_none() -> None:
    rule = a_rule(jitter_s=600.0)
    offs = [put_off_s(rule, NIGHT * n) for n in range(50)]
    assert offs == [put_off_s(rule, NIGHT * n) for n in range(50)]
    assert len(set(offs)) == 50 and all(0 <= off < 600 for off in offs)
    assert put_off_s(ScheduleRule(name="other", jitter_s=600.0), A) != put_off_s(rule, A)
    minutes = [60 * n for n in range(100)]
    found = passed(rule, minutes, 60 * 50)
    assert found == tuple(minutes[: len(found)]), "none is left out in between"
    assert passed(a_rule(), minutes, 60 * 50) == tuple(minutes[:51])
