"""What is kept of reservations, node by node, says what a look at all of them says, whatever came and went
since.
"""

from __future__ import annotations

import os

from builders import a_reservation
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.core.capacity.in_flight import Reservations, release_at
from conductor.model.snapshot import Reservation

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "60")), deadline=None)


@st.composite
def a_moment(draw: st.DrawFn) -> tuple[float, list[Reservation]]:
    """A time, and what is under way then: some not begun, some overdue, some without an estimate."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
    return draw(st.floats(1000.0, 1100.0)), [
        a_reservation(
            name,
            node=draw(st.sampled_from(["one", "two", "three"])),
            started_at=draw(st.sampled_from([None, 990.0, 1000.0, 1003.3])),
            expected_s=draw(st.sampled_from([1.0, 7.3, 60.0, 60.0, 90.0, 0.0])),
            vram_mib=draw(st.sampled_from([0, 100])),
            ram_mib=draw(st.sampled_from([10, 20])),
            lane=draw(st.sampled_from(["gpu", "io"])),
            backlog=draw(st.sampled_from(["", "night"])),
            held=draw(st.sampled_from([{}, {":seat": 1}, {":seat": 3}])),
        )
        for name in names
    ]


@few
@given(st.lists(a_moment(), min_size=1, max_size=6))
def test_what_is_kept_is_what_a_look_at_all_finds(moments: list[tuple[float, list[Reservation]]]) -> None:
    kept = Reservations((), 0.0)
    for now, there in moments:
        over, new = kept.changes(there)
        kept.renew(now)
        for r in over:
            kept.drop(r)
        for r in new:
            kept.add(r)
        assert sorted(kept, key=lambda r: r.job_id) == sorted(there, key=lambda r: r.job_id)
        assert kept.longest_left_s() == max((release_at(r, now) - now for r in there), default=0.0)
        for node in ("one", "two", "three"):
            by_end = sorted(
                (r for r in there if r.node == node), key=lambda r: (release_at(r, now), r.job_id)
            )
            assert kept.by_end(node) == by_end
            holding = kept.holding(node, "vram", lambda r: r.vram_mib)
            assert holding.rows == [(r, r.vram_mib) for r in by_end if r.vram_mib]
            assert holding.ends == [release_at(r, now) for r, _ in holding.rows]
        assert kept.held(":seat") == sum(r.held.get(":seat", 0) for r in there)
