"""A disk closes below its headroom and opens well above it."""

from __future__ import annotations

from pathlib import Path

from builders import GIB, a_candidate, a_class, a_report, a_snapshot, a_volume

from conductor.base.settings.sections import Root
from conductor.core.admission.admission import decide
from conductor.core.admission.sentences import words_of
from conductor.model.chains import Chain, FileJob, RecentWrite
from conductor.model.limits import Limits
from conductor.model.report import Volume
from conductor.node.health.report import with_thresholds

ROOTS = {"scratch": Root(path=Path("/s"), headroom_bytes=10)}
LIMITS = Limits(disk_headroom_bytes={"scratch": 10, "published": 0})


def reading(free: int | None, total: int = 1000) -> Volume:
    return a_volume("scratch", total_bytes=total, free_bytes=free)


def played(*free: int | None) -> list[bool]:
    """Was it closed after each reading."""
    before: tuple[Volume, ...] = ()
    closed: list[bool] = []
    for amount in free:
        before = with_thresholds(before, (reading(amount),), ROOTS)
        closed.append(before[0].opens_at_bytes is not None)
    return closed


def test_a_disk_that_hovers_at_its_headroom_closes_once_and_opens_half_as_much_above_it() -> None:
    assert played(50, 11, 9, 11, 9, 14, 15, 11) == [False, False, True, True, True, True, False, False]


def test_a_reading_that_cannot_be_had_changes_nothing() -> None:
    assert played(9, None, 11, None, 20, None) == [True, True, True, True, False, False]


def test_the_users_own_threshold_counts_and_no_empty_disk_stays_closed() -> None:
    assert Root(path=Path("/s"), headroom_bytes=10, reopen_bytes=90).opens_at(1000) == 90
    assert Root(path=Path("/s"), headroom_bytes=10, reopen_bytes=5).opens_at(1000) == 10
    assert Root(path=Path("/s"), headroom_bytes=900).opens_at(1000) == 950
    assert Root(path=Path("/s"), headroom_bytes=2000).opens_at(1000) == 2000


def closed_node(free: int) -> Volume:
    return a_volume("scratch", total_bytes=1000, free_bytes=free, opens_at_bytes=500)


def test_nothing_new_starts_on_a_closed_disk_and_the_gate_says_when_it_will() -> None:
    snapshot = a_snapshot(nodes=(a_report(volumes=(closed_node(200), a_volume("published"))),))
    decision = decide(snapshot, [a_candidate(a_class("cpu", writes={"scratch": 1}))], LIMITS)

    assert decision.admit == ()
    (verdict,) = [v for v in decision.hold[0].closed if v.gate == "scratch"]
    assert (verdict.have, verdict.limit) == (200, 500)
    assert "opens at 500 B" in words_of(verdict)


def test_a_begun_chain_goes_on_where_the_disk_is_closed_for_it_is_what_gives_it_back() -> None:
    job_class = a_class("cpu", writes={"scratch": 1})
    candidate = a_candidate(job_class)
    reader = FileJob(job_id=candidate.heads[0].job_id, reads=("scratch:x",), stays=1)
    chain = Chain(id="1", node="node1", jobs=(reader,), kept={"scratch:x": 100})
    node = a_report(volumes=(closed_node(200), a_volume("published")))

    assert len(decide(a_snapshot(nodes=(node,), chains=(chain,)), [candidate], LIMITS).admit) == 1


def test_what_was_written_since_the_disk_was_measured_is_counted_until_a_reading_has_it() -> None:
    candidate = a_candidate(a_class("cpu", writes={"scratch": 6 * GIB}))
    volume = a_volume("scratch", total_bytes=10 * GIB, free_bytes=10 * GIB)
    node = a_report(volumes=(volume, a_volume("published")), volumes_age_s=2.0)
    before, after = node.sent_at - 3.0, node.sent_at - 1.0

    def fed(at: float) -> int:
        written = (RecentWrite(node="node1", root="scratch", bytes=5 * GIB, at=at),)
        return len(decide(a_snapshot(nodes=(node,), written=written), [candidate], LIMITS).admit)

    assert (fed(before), fed(after)) == (1, 0)
