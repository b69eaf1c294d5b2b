"""What is left, played through: workers, what goes already, who waits for whom, budgets; and who cannot be
foretold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from builders import (
    GIB,
    NOW,
    a_candidate,
    a_class,
    a_report,
    a_reservation,
    a_snapshot,
    a_spec,
    a_volume,
    needs,
)
from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.forecast.live_world import Known, LiveWorkload, by_area, played, world_of
from conductor.analysis.one_more import GB, cpu_only, times, with_gpus, with_scratch
from conductor.analysis.price import Wish, price
from conductor.analysis.simulation.rule import rule_of
from conductor.analysis.simulation.world import World
from conductor.base.hours import on_the_wall
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.chains import Chain
from conductor.model.forecast import Prediction
from conductor.model.ledger_entries import JobState
from conductor.model.limits import Limits
from conductor.model.report import NodeReport, Obstacle, QueueReport
from conductor.model.snapshot import Controls, JobClass, KindState, Snapshot
from conductor.model.spec import Output, to_line

CPU = a_class("cpu", duration_s=10.0)
RULE = rule_of("auto", Limits())
#: Any: the live conductor keeps a way out.
A_CHAIN = Chain(id="c", root="scratch", jobs=())
KNOWN = Known(teach=lambda c: c)


def pending(n: int, job_class: JobClass = CPU, state: JobState = "waiting", **spec: Any) -> Pending:
    line = a_spec(n, **spec)
    return Pending(
        job_id=line.id, state=state, attempts=0, seq=n, since=NOW - 60 + n / 1000, job_class=job_class,
        line=to_line(line),
    )  # fmt: skip


def a_host(workers: int = 2, **changes: Any) -> NodeReport:
    return replace(
        a_report(devices=0), queues=(QueueReport(queue="cpu-node1", lane="cpu", workers=workers),), **changes
    )


def predicted(rows: Sequence[Pending], snapshot: Snapshot | None = None, **more: Any) -> Prediction:
    known: Known = more.pop("known", KNOWN)
    snapshot = snapshot or a_snapshot(nodes=(a_host(),))
    return played(snapshot, more.pop("limits", Limits()), rows, known, more.pop("budgets", {}))


def seconds(found: Prediction) -> float:
    assert found.ends_at is not None, found.because
    return round(found.ends_at - found.made_at, 6)


def test_a_queues_workers_run_one_job_each_at_a_time() -> None:
    assert seconds(predicted([pending(n) for n in range(7)])) == 40


def test_what_a_worker_loses_between_two_jobs_counts() -> None:
    known = Known(teach=lambda c: c, overhead_s=0.5)

    assert seconds(predicted([pending(n) for n in range(7)], known=known)) == 42


def test_the_learned_duration_counts_not_the_declared_one() -> None:
    known = Known(teach=lambda c: replace(c, duration_s=3.0))

    assert seconds(predicted([pending(n) for n in range(4)], known=known)) == 6


def test_what_runs_already_takes_what_is_left_of_it_and_what_was_handed_over_comes_before_the_rest() -> None:
    rows = [pending(0, state="running"), pending(1, state="admitted"), pending(2)]
    on = {"queue": "cpu-node1", "lane": "cpu", "class_id": CPU.id}
    runs = a_reservation(rows[0].job_id, started_at=NOW - 4, **on)
    handed = a_reservation(rows[1].job_id, state="admitted", started_at=None, **on)
    snapshot = a_snapshot(nodes=(a_host(workers=1),), reservations=(runs, handed), queued={"cpu-node1": 1})

    assert seconds(predicted(rows, snapshot)) == 6 + 10 + 10


def test_one_that_runs_longer_than_it_should_ends_any_moment() -> None:
    rows = [pending(0, state="running")]
    runs = a_reservation(rows[0].job_id, started_at=NOW - 40, queue="cpu-node1", lane="cpu")

    assert seconds(predicted(rows, a_snapshot(nodes=(a_host(),), reservations=(runs,)))) == 0


def test_what_a_host_had_in_hand_that_reports_no_more_is_played_as_what_waits() -> None:
    rows = [pending(0, state="running"), pending(1)]
    lost = a_reservation(rows[0].job_id, node="gone", started_at=NOW - 4, queue="cpu-gone", lane="cpu")

    assert seconds(predicted(rows, a_snapshot(nodes=(a_host(workers=1),), reservations=(lost,)))) == 20


def test_jobs_wait_for_those_they_come_after() -> None:
    first, second = pending(0), pending(1)
    last = pending(2, after=(first.job_id,), after_ended=(second.job_id, "of-another-day"))

    assert seconds(predicted([first, second, last])) == 20


def test_memory_bounds_how_many_run_at_once() -> None:
    hungry = replace(CPU, needs=needs(ram_mib=40_000))

    assert seconds(predicted([pending(n, hungry) for n in range(4)])) == 40


def test_an_apis_budget_bounds_how_many_start_in_a_minute() -> None:
    calls = a_class("cloud", needs=needs(rates={"api": (1, 0)}), duration_s=1.0)
    host = replace(a_host(), queues=(QueueReport(queue="cloud-node1", lane="cloud", workers=50),))
    rows = [pending(n, calls) for n in range(90)]
    snapshot = a_snapshot(nodes=(host,))

    free = seconds(predicted(rows, snapshot))
    bound = seconds(predicted(rows, snapshot, budgets={"api": Rate(requests_per_min=30)}))
    twice = seconds(predicted(rows, snapshot, budgets={"api": Rate(requests_per_min=60)}))

    assert free < 10
    assert 110 < bound < 200
    assert twice < 0.7 * bound


def test_chains_on_a_small_disk_end() -> None:
    writer = replace(CPU, writes={"scratch": 4 * GIB})
    rows: list[Pending] = []
    for n in range(6):
        path = f"scratch:x/{n}"
        made = pending(2 * n, writer, writes=(Output(path=path, bytes=4 * GIB),))
        rows += [made, pending(2 * n + 1, after=(made.job_id,), reads=(path,))]
    disk = a_volume(total_bytes=10 * GIB, free_bytes=10 * GIB)
    host = a_host(workers=4, volumes=(disk, a_volume("published")))

    assert seconds(predicted(rows, a_snapshot(nodes=(host,)))) >= 40


def test_what_is_outside_its_hours_is_waited_for_until_they_begin() -> None:
    here, _ = on_the_wall(NOW)
    opens, closes = (here + 3600) // 60 * 60, (here + 7200) // 60 * 60
    limits = Limits(hours={"cpu": ((opens % 86400, closes % 86400),)})

    found = predicted([pending(0)], limits=limits)

    assert seconds(found) == pytest.approx(opens - here + 10, abs=1)
    closed = predicted(
        [pending(0), pending(1, replace(CPU, id="class-never", needs=needs(cpu=900.0)))], limits=limits
    )
    assert seconds(closed) == pytest.approx(opens - here + 10, abs=1)


def test_what_may_make_it_later_and_is_not_played_is_said() -> None:
    known = Known(teach=KNOWN.teach, canary={"media.cut": 2})
    fresh = played(a_snapshot(nodes=(a_host(),)), Limits(), [pending(0)], known, {})
    seen = KindState(kind=CPU.kind, verified=2, opened_at=NOW)
    held = played(a_snapshot(nodes=(a_host(),), kinds=(seen,)), Limits(), [pending(0)], known, {})

    assert fresh.left_out == ("the canaries of media.cut",)
    assert held.left_out == ("that media.cut failed and is held back",)


def test_files_that_nobody_needs_any_more_are_room() -> None:
    writer = replace(CPU, writes={"scratch": 8 * GIB})
    disk = a_volume(total_bytes=20 * GIB, free_bytes=2 * GIB, removable_bytes=15 * GIB)

    assert seconds(predicted([pending(0, writer)], a_snapshot(nodes=(a_host(volumes=(disk,)),)))) == 10


SHUT = Obstacle(gate="input", words="somebody is at this machine", figure=0.0, opens_at=10.0, since=NOW)


@pytest.mark.parametrize(
    ("snapshot", "because"),
    [
        (a_snapshot(nodes=()), "no node reports"),
        (a_snapshot(nodes=(a_host(),), controls=Controls(paused_lanes=("cpu",))), "the cpu lane is paused"),
        (a_snapshot(nodes=(a_host(),), controls=Controls(is_draining=True)), "drains"),
        (a_snapshot(nodes=(a_host(),), controls=Controls(hold="it was emptied")), "it was emptied"),
        (a_snapshot(nodes=(a_host(obstacles=(SHUT,)),)), "nothing new starts: somebody is at this machine"),
    ],
)
def test_where_nobody_can_say_it_says_why(snapshot: Snapshot, because: str) -> None:
    found = predicted([pending(0)], snapshot)

    assert found.ends_at is None
    assert because in found.because


def test_a_task_that_nobody_has_seen_is_named() -> None:
    found = predicted([pending(0, replace(CPU, duration_s=0.0))])

    assert found.because == "nothing is known yet of how long media.cut takes"


def test_what_is_known_says_what_it_cannot_be_over_before() -> None:
    unknown = replace(CPU, id="class-unknown", task="media.new", duration_s=0.0)
    words = "nothing is known yet of how long media.new takes"

    found = predicted([*(pending(n) for n in range(8)), pending(8, unknown)])

    assert (found.ends_at, found.because) == (None, words)
    assert found.not_before is not None and 40 <= found.not_before - found.made_at < 41
    candidates = (a_candidate(CPU, waiting=60_000), a_candidate(unknown, waiting=1))
    rough = by_area(a_snapshot(nodes=(a_host(),)), Limits(), candidates, 60_001, KNOWN)
    assert rough.not_before is not None and rough.not_before - rough.made_at == pytest.approx(
        300_000, rel=0.01
    )
    assert (rough.ends_at, rough.because) == (None, words)


def test_what_can_never_run_is_not_waited_for_and_nothing_left_ends_now() -> None:
    never = replace(CPU, id="class-never", needs=needs(cpu=900.0))

    assert seconds(predicted([pending(0), pending(1, never)])) == 10
    assert seconds(predicted([])) == 0


def test_a_long_backlog_is_foretold_by_the_work_of_the_most_loaded_resource() -> None:
    candidates = (a_candidate(CPU, waiting=60_000),)

    found = by_area(a_snapshot(nodes=(a_host(),)), Limits(), candidates, 120_000, KNOWN)

    assert found.is_rough
    assert seconds(found) == 120_000 * 10 / 2
    alone = by_area(a_snapshot(nodes=(a_host(),)), Limits(), (), 5, KNOWN)
    assert "comes after others" in alone.because


def test_who_was_passed_over_is_remembered_in_what_is_played() -> None:
    """A large job, passed over for long enough: the place is kept for it, and small ones that last longer
    wait.
    """
    small = a_class("cpu", id="class-small", needs=needs(cpu=1.0), duration_s=10.0, priority=5)
    large = a_class("cpu", id="class-large", needs=needs(cpu=4.0), duration_s=30.0)
    rows = [
        pending(0, small, state="running"),
        *(pending(n, small) for n in range(1, 40)),
        pending(99, large),
    ]
    runs = a_reservation(
        rows[0].job_id,
        queue="cpu-node1",
        lane="cpu",
        class_id=small.id,
        cpu=1.0,
        started_at=NOW,
        expected_s=10.0,
        vram_mib=0,
        devices=(),
        ram_mib=0,
    )
    host = a_host(workers=8, cpu_count=4.0)
    limits = Limits(keep_after_s=300.0)
    seen: list[float] = []
    for passed_over in ({}, {rows[-1].job_id: NOW - 400}):
        snapshot = a_snapshot(nodes=(host,), reservations=(runs,), passed_over=passed_over)
        world = world_of(LiveWorkload(rows, snapshot, KNOWN), snapshot, limits, {})
        world.run()
        seen.append(next(job.start_s or 0.0 for job in world.jobs if job.id == rows[-1].job_id) - NOW)

    assert seen == [pytest.approx(100, abs=0.1), 10]


# ── price ─────────────────────────────────────────────────────────────────────────────────────────────────


def played_with(rows: Sequence[Pending], limits: Limits | None = None) -> Any:
    def play(nodes: tuple[NodeReport, ...], budgets: Any) -> World:
        snapshot = a_snapshot(nodes=nodes)
        world = world_of(LiveWorkload(rows, snapshot, KNOWN), snapshot, limits or Limits(), budgets)
        world.run()
        return world

    return play


def test_each_thing_more_is_played_by_itself() -> None:
    on_gpu = a_class(id="class-gpu", vram_mib=20_000, duration_s=100.0)
    rows = [*(pending(n, on_gpu) for n in range(8)), *(pending(n) for n in range(100, 104))]
    nodes = (a_report(workers=1),)

    found = price(played_with(rows), nodes, {}, Wish(), RULE)

    assert found.as_is.makespan_s == 800
    sooner = {offer.what: offer.sooner_s for offer in found.offers}
    assert sooner == {"gpu": 400, "scratch": 0, "host": 0}
    assert found.as_is.lost_s_by_gate["vram"] > 0
    assert any("no API" in note for note in found.notes)


def test_one_host_more_and_twice_the_quota_help_where_they_are_what_is_waited_for() -> None:
    calls = a_class("cloud", id="class-api", needs=needs(rates={"api": (1, 0)}), duration_s=1.0)
    host = a_report(devices=0, workers=1)
    by_cpu = price(played_with([pending(n) for n in range(10)]), (host,), {}, Wish(), RULE)
    by_quota = price(
        played_with([pending(n, calls) for n in range(90)]),
        (replace(host, queues=a_report(workers=50).queues),),
        {"api": Rate(requests_per_min=30)},
        Wish(),
        RULE,
    )

    assert next(o for o in by_cpu.offers if o.what == "host").sooner_s == 50
    assert {o.what: o.share > 0.3 for o in by_quota.offers} == {
        "scratch": False,
        "quota": True,
        "host": False,
    }
    assert by_quota.as_is.lost_s_by_gate["rate"] > 0


def test_what_could_not_run_before_is_counted() -> None:
    large = a_class("cpu", id="class-large", writes={"scratch": 300 * GB}, duration_s=5.0)

    found = price(played_with([pending(0, large), pending(1)]), (a_report(devices=0),), {}, Wish(), RULE)

    assert found.as_is.never == 1
    assert {o.what: o.more_done for o in found.offers} == {"scratch": 1, "host": 0}


def test_one_thing_more_changes_nothing_else() -> None:
    node = a_report(devices=2, workers=3)

    more = with_gpus(node, 1, 49_152)
    assert [d.key for d in more.devices] == ["gpu0", "gpu1", "gpu2"]
    assert more.queues[-1] == QueueReport(queue="gpu-node1-gpu2", lane="gpu", device="gpu2", workers=3)
    assert with_scratch(node, 5 * GIB).volumes[0].free_bytes == 105 * GIB
    assert with_scratch(node, 5 * GIB).volumes[1] == node.volumes[1]
    assert {q.lane for q in cpu_only(node, "n2").queues} == {"cpu", "io", "cloud"}
    doubled = times({"a": Rate(requests_per_min=3), "b": Rate(usd_per_day=1.5)}, 2)
    assert (doubled["a"].requests_per_min, doubled["a"].tokens_per_min, doubled["b"].usd_per_day) == (
        6,
        None,
        3.0,
    )


def test_who_shares_no_file_is_in_no_chain_and_what_lies_behind_goes_by_the_lines() -> None:
    """As a dispatch tells the ledger: else all the probes of a reel were played before its first cut."""
    probe = pending(0)
    cut = pending(1, after=(a_spec(0).id,), writes=(Output(path="scratch:w/cut", bytes=GIB),))
    cut_id = cut.job_id
    join = pending(2, after=(cut_id,), reads=("scratch:w/cut",))
    taught = Known(teach=lambda c: replace(c, duration_s=1.0))

    chains = LiveWorkload([probe, cut, join], a_snapshot(nodes=(a_host(),), chains=(A_CHAIN,)), taught).chains

    (chain,) = chains
    assert {job.job_id: job.tail_s for job in chain.jobs} == {cut_id: 20.0, join.job_id: 10.0}
