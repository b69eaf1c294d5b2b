"""What the conductor says of its ticks: one line when a reason changes, however much the numbers move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from builders import NOW, a_reservation
from loguru import logger

from conductor.base.errors import Unreachable
from conductor.model.decision import Admission, Hold, Verdict
from conductor.model.reason import Detail, Reason
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, to_line
from conductor.tick.apply import Applied
from conductor.tick.log import MOST_REASONS, QUIET_S, TickLog


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(
        lambda message: lines.append(message.record["message"]), level="INFO", format="{message}"
    )
    yield lines
    logger.remove(sink)


def a_hold(*verdicts: Verdict, class_id: str = "c", is_infeasible: bool = False) -> Hold:
    return Hold(class_id=class_id, backlog="b", task="media.cut", lane="gpu", waiting=3, verdicts=verdicts,
                is_infeasible=is_infeasible)  # fmt: skip


def short(n: int) -> Verdict:
    """The same reason with other numbers, places and holders each time."""
    return Verdict(
        gate="vram",
        passed=False,
        reason=Reason.NO_ROOM,
        where=f"node1/gpu{n % 8}",
        need=10240,
        have=n % 9000,
        limit=24064,
        unit="MiB",
        holders=(f"{n:08x}-job", f"{n + 1:08x}-job"),
        reopens_at=NOW + n / 7,
        detail=Detail(others=n * 10),
    )


def kept(n: int) -> Verdict:
    job_id = f"{n * 7919:08x}-job"
    return Verdict(gate="hold", passed=False, reason=Reason.PLACE_RESERVED, where="node1/gpu0",
                   holders=(job_id,), reopens_at=NOW + n)  # fmt: skip


def held_back(words: str) -> Verdict:
    return Verdict(gate="hold", passed=False, reason=Reason.HELD_BACK, detail=Detail(words=words))


def test_54_000_ticks_of_a_waiting_job_whose_numbers_move_are_one_line(said: list[str]) -> None:
    log = TickLog()
    for tick in range(54_000):
        log.held([a_hold(short(tick))], NOW + tick)

    assert len(said) == 1


def test_another_reason_is_another_line_and_going_to_and_fro_between_two_is_none(said: list[str]) -> None:
    log = TickLog()
    for tick in range(2_000):
        log.held([a_hold(short(tick) if tick % 3 else kept(tick))], NOW + tick)

    assert ["vram" in line for line in said] == [False, True]


def test_a_reason_that_had_been_gone_for_long_is_news_again(said: list[str]) -> None:
    log = TickLog()
    log.held([a_hold(short(1))], NOW)
    log.held([], NOW + QUIET_S / 2)
    log.held([a_hold(short(2))], NOW + QUIET_S + 1)

    assert len(said) == 2


def test_words_of_others_in_which_only_numbers_move_are_no_news(said: list[str]) -> None:
    log = TickLog()
    for tick in range(100):
        log.held([a_hold(held_back(f"no answer for {tick}.5 s"))], NOW + tick)
    log.held([a_hold(held_back("it was emptied"))], NOW + 100)

    assert [line.rpartition(": ")[2] for line in said] == ["no answer for 0.5 s", "it was emptied"]


def fed(count: int) -> Applied:
    return applied_of([a_reservation(f"job{n:04}", lane="cpu", node="node1") for n in range(count)])


def applied_of(reservations: Sequence[Reservation]) -> Applied:
    return Applied(
        fed=tuple(Admission(reservation=r, backlog="b", ceilings={}, rates={}) for r in reservations)
    )


def test_a_thousand_short_jobs_fed_at_once_are_one_line_that_names_them_all_in_the_file() -> None:
    records: list[Any] = []
    sink = logger.add(lambda message: records.append(message.record), level="INFO")
    TickLog().applied(fed(1000))
    logger.remove(sink)

    assert [record["message"] for record in records] == ["Fed cpu media.cut: 1,000 jobs → node1"]
    assert len(set(records[0]["extra"]["job_ids"])) == 1000


def test_short_jobs_that_are_spread_over_a_fleet_are_one_line_and_one_read_of_their_names(
    said: list[str],
) -> None:
    reads: list[int] = []

    def read(ids: Sequence[str]) -> dict[str, bytes]:
        reads.append(len(ids))
        return {}

    reservations = [a_reservation(f"job{n:04}", lane="cpu", node=f"node{n % 64}") for n in range(256)]
    few = [a_reservation(f"few{n:04}", lane="cpu", node=f"node{n}", task="media.join") for n in range(3)]
    TickLog(read).applied(applied_of([*reservations, *few]))

    assert said[0] == "Fed cpu media.cut: 256 jobs → node0 and 63 other places"
    assert [line.rpartition(" → ")[2] for line in said[1:]] == ["node0", "node1", "node2"]
    assert reads == [3], "what shares a line is not named, and all others are read at once"


def test_a_few_jobs_are_named_one_by_one(said: list[str]) -> None:
    TickLog().applied(fed(3))

    assert [line[:27] for line in said] == [f"Fed cpu media.cut (job000{n})" for n in range(3)]


def test_a_job_that_is_fed_is_named_by_the_file_that_it_is_about_its_id_beside_it(said: list[str]) -> None:
    spec = JobSpec(v=1, id="a" * 12, workflow="w", task="media.cut", reads=("scratch:a/clip 07.mp4",))
    TickLog(lambda ids: {"job0001": to_line(spec)}).applied(fed(2))

    assert said == [
        "Fed cpu media.cut (job0000) → node1",
        "Fed cpu media.cut · clip 07.mp4 (job0001) → node1",
    ]


def test_where_redis_went_away_behind_the_hand_over_the_line_is_written_all_the_same(
    said: list[str],
) -> None:
    def away(ids: Sequence[str]) -> dict[str, bytes]:
        raise Unreachable("no Redis")

    TickLog(away).applied(fed(1))

    assert len(said) == 1 and "job0000" in said[0]


def test_what_can_never_run_is_said_once_for_each_class(said: list[str]) -> None:
    log = TickLog()
    never = Verdict(
        gate="vram",
        passed=False,
        reason=Reason.TOO_LARGE,
        where="node1/gpu0",
        need=40960,
        limit=24064,
        unit="MiB",
    )
    for tick in range(100):
        log.held(
            [a_hold(never, is_infeasible=True), a_hold(never, class_id="d", is_infeasible=True)], NOW + tick
        )

    assert len(said) == 2
    assert (
        "3 jobs of media.cut can never run here: vram needs 40.0 GiB, node1/gpu0 can never (23.5 GiB)"
        in said[0]
    )


def test_reasons_without_end_are_not_remembered_without_end(said: list[str]) -> None:
    log = TickLog()
    for tick in range(1000):
        log.held([a_hold(held_back("reason " + "x" * tick))], NOW)

    assert len(log._reasons["gpu", "media.cut"]) == MOST_REASONS  # pyright: ignore[reportPrivateUsage]
