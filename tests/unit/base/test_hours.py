"""Hours of the day at which a lane or a backlog may start jobs."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_snapshot

from conductor.base import hours
from conductor.core.admission.admission import decide
from conductor.core.admission.explain import describe
from conductor.core.admission.sentences import words_of
from conductor.model.limits import Limits

H = 3600


@pytest.mark.parametrize(
    ("text", "at", "until"),
    [
        ("18:00-08:00", 17 * H, 1 * H),
        ("18:00-08:00", 18 * H, None),
        ("18:00-08:00", 2 * H, None),
        ("18:00-08:00", 8 * H, 10 * H),
        ("09:00-12:00, 13:00-17:30", 12 * H + 60, H - 60),
        ("09:00-12:00,13:00-17:30", 18 * H, 15 * H),
        ("00:00-24:00", 0, None),
        ("22:00-24:00", 0, 22 * H),
    ],
)
def test_outside_its_hours_it_is_closed_until_they_begin_again(text: str, at: int, until: int | None) -> None:
    closed = hours.outside_hours(
        {"cloud": hours.parse(text)}, NOW, lambda t: (int(at + t - NOW) % hours.DAY_S, 0)
    )

    assert closed == ({} if until is None else {"cloud": NOW + until})


@pytest.mark.parametrize(
    "text", ["", "18-8", "18:00", "25:00-08:00", "18:00-18:00", "24:30-25:00", "18:00–08:00 "]
)
def test_what_is_no_span_of_hours_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of hours"):
        hours.parse(text)


@pytest.mark.parametrize("name", ["cloud", "night"])
def test_a_lane_and_a_backlog_outside_their_hours_are_held_until_then_and_others_go(name: str) -> None:
    closed = a_snapshot(outside_hours={name: NOW + 600})
    candidates = [a_candidate(a_class("cloud", id="c", backlog="night")), a_candidate(a_class("cpu", id="d"))]

    decision = decide(closed, candidates, Limits(canary={"media.cut": 1}))

    assert [a.reservation.class_id for a in decision.admit] == ["d"]
    (verdict,) = decision.hold[0].closed
    assert (verdict.gate, verdict.where, verdict.reopens_at) == ("hold", name, NOW + 600)
    assert "is outside its hours" in words_of(verdict)
    assert "canary" not in describe(verdict, NOW) and "for about 10 min 00 s more" in describe(verdict, NOW)
    assert len(decide(a_snapshot(), candidates, Limits()).admit) == 2
