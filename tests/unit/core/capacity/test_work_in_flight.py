"""The work under way, kept while reservations come and go, against the plain sum over them."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from conductor.core.capacity.work_in_flight import Work
from conductor.model.snapshot import Reservation


def a_reservation(n: int, draw: random.Random, now: float) -> Reservation:
    expected_s = draw.choice((0.0, 1.5, 20.0, 333.25))
    started_at = draw.choice((None, now - 10.0, now))
    return Reservation(
        job_id=f"job-{n:05}",
        attempt=1,
        class_id="c",
        task="t",
        node="n",
        queue="q",
        lane="gpu",
        vram_mib=100 * n,
        expected_s=expected_s,
        started_at=started_at,
    )


def share(r: Reservation) -> float:
    return r.vram_mib / 7_777


def plain_sum(going: dict[str, Reservation], now: float) -> float:
    ends = [(r, (r.started_at or now) + r.expected_s) for r in going.values() if r.expected_s > 0]
    return sum(max(0.0, at - now) * share(r) for r, at in ends)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_is_what_the_sum_would_be(seed: int) -> None:
    draw, now, going = random.Random(seed), 1000.0, dict[str, Reservation]()
    work = Work((), share)
    for n in range(300):
        now += draw.choice((0.0, 0.5, 7.0))
        r = a_reservation(n, draw, now)
        going[r.job_id] = r
        work.add(r)
        if draw.random() < 0.5:
            job_id = draw.choice(list(going))
            del going[job_id]
            work.drop(job_id)
        if draw.random() < 0.3:
            job_id = draw.choice([*going, r.job_id])
            if job_id in going:
                going[job_id] = replace(going[job_id], started_at=now)
                work.add(going[job_id])
        left = work.left_s(now)
        assert left is not None
        assert left == pytest.approx(plain_sum(going, now), abs=1e-3)
        assert left == Work(reversed(going.values()), share).left_s(now), "whatever the order they came in"


def test_an_earlier_moment_is_not_answered() -> None:
    work = Work((), share)
    assert work.left_s(10.0) == 0.0
    assert work.left_s(9.0) is None
