"""A change is played through before anybody makes it: other priorities, one more GPU, no hours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from builders import NOW, a_class, a_report, a_reservation, a_snapshot, a_spec, a_volume
from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.circumstances import Change, Circumstances
from conductor.analysis.forecast.live_world import Known, LiveWorkload, world_of
from conductor.analysis.one_more import GB, Budgets, Nodes
from conductor.analysis.simulation.world import World
from conductor.analysis.what_if import ChangedEnds, lines, what_if
from conductor.base.errors import UsageError
from conductor.base.hours import DAY_S, on_the_wall
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.limits import Limits
from conductor.model.pilot import PilotShape
from conductor.model.report import QueueReport
from conductor.model.snapshot import Controls, JobClass, Reservation
from conductor.model.spec import to_line

CPU = a_class("cpu", duration_s=600.0)
ONE_WORKER = replace(a_report(devices=0), queues=(QueueReport(queue="cpu-node1", lane="cpu", workers=1),))
KNOWN = Known(teach=lambda c: c)


def pending(n: int, job_class: JobClass = CPU, **spec: Any) -> Pending:
    line = a_spec(n, **spec)
    return Pending(
        job_id=line.id, state="waiting", attempts=0, seq=n, since=NOW - 60 + n / 1000, job_class=job_class,
        line=to_line(line),
    )  # fmt: skip


def played(then: Circumstances, reservations: tuple[Reservation, ...] = ()) -> World:
    controls = Controls(paused_backlogs=tuple(then.paused))
    snapshot = a_snapshot(nodes=then.nodes, controls=controls, reservations=reservations)
    live = LiveWorkload(then.pending, snapshot, KNOWN)
    world = world_of(live, snapshot, then.limits, then.budgets)
    world.run()
    return world


def asked(
    rows: Sequence[Pending],
    change: Change,
    nodes: Nodes = (ONE_WORKER,),
    limits: Limits | None = None,
    budgets: Budgets | None = None,
    shapes: dict[str, PilotShape] | None = None,
    reservations: tuple[Reservation, ...] = (),
) -> ChangedEnds:
    now = Circumstances(pending=tuple(rows), nodes=nodes, limits=limits or Limits(), budgets=budgets or {})
    return what_if(partial(played, reservations=reservations), now, change, shapes)


def test_jobs_of_higher_priority_end_sooner_and_the_whole_does_not() -> None:
    rows = [pending(n) for n in range(10)]
    meant = frozenset(row.job_id for row in rows[8:])

    found = asked(rows, Change(meant=meant, priority=50))

    assert found.meant is not None
    assert (found.meant.jobs, found.meant.sooner_s, found.all.sooner_s) == (2, 4800.0, 0.0)
    assert found.words.startswith("With priority 50 for 2 jobs: these are done about ")
    assert "1 h 20 min sooner; all of it is done" in found.words and "as without it" in found.words


def test_what_they_wait_for_goes_first_too() -> None:
    first = pending(5)
    rows = [*(pending(n) for n in range(5)), first, pending(6, after=(first.job_id,))]

    found = asked(rows, Change(meant=frozenset((rows[-1].job_id,)), priority=1))

    # By then one of the others lies in the worker's queue.
    assert found.meant is not None and found.meant.then_ends_at == NOW + 1800
    assert found.meant.sooner_s == 2400


def test_one_more_gpu_halves_what_gpus_do_and_no_gpu_is_said() -> None:
    gpu = a_class("gpu", duration_s=600.0, vram_mib=20_000)
    rows = [pending(n, gpu) for n in range(4)]

    found = asked(rows, Change(gpus=1), (a_report(devices=1, workers=1),))

    assert (found.all.ends_at, found.all.then_ends_at) == (NOW + 2400, NOW + 1200)
    assert "With 1 more GPU of 24 GiB in node1: all of it is done" in found.words
    with pytest.raises(UsageError, match="no GPU is there"):
        asked(rows, Change(gpus=1))


def test_what_could_not_run_and_can_then_is_said() -> None:
    rows = [pending(0, a_class("gpu", id="gpu", duration_s=600.0, vram_mib=20_000)), pending(1)]
    small = a_report(devices=1, workers=1)
    small = replace(small, devices=(replace(small.devices[0], quarantined="it keeps memory"),))

    found = asked(rows, Change(gpus=1), (small,))

    assert (found.all.never, found.all.then_never) == (1, 0)
    assert found.words.endswith("and 1 job more can run.")


def test_without_hours_it_does_not_wait_for_the_evening() -> None:
    at, _ = on_the_wall(NOW)
    later = ((at + 7200) % DAY_S // 60 * 60, (at + 10800) % DAY_S // 60 * 60)

    found = asked([pending(0)], Change(is_always_open=True), limits=Limits(hours={"cpu": (later,)}))

    assert found.all.then_ends_at == NOW + 600
    assert found.all.sooner_s == pytest.approx(7200, abs=60)
    assert "With no hours of the day" in found.words


def test_each_backlog_has_its_own_end() -> None:
    other = replace(CPU, id="other", backlog="other")
    rows = [pending(0), pending(1, other)]

    found = asked(rows, Change(meant=frozenset((rows[1].job_id,)), priority=9))

    assert list(found.backlogs) == sorted(("b", "other"))
    assert len(lines(found)) == 3


def test_jobs_that_are_over_would_change_nothing() -> None:
    with pytest.raises(UsageError, match="nothing would change"):
        asked([pending(0)], Change(meant=frozenset(("gone",)), priority=1))


def test_a_backlog_that_is_paused_makes_room_for_the_rest() -> None:
    archive = replace(CPU, id="archive", backlog="archive")
    rows = [*(pending(n, archive) for n in range(5)), *(pending(n) for n in range(5, 8))]

    found = asked(rows, Change(paused=frozenset(("archive",))))

    # Three of ten minutes each, one after the other; by turns the last of them came sixth.
    assert (found.all.jobs, found.all.then_ends_at, list(found.backlogs)) == (3, NOW + 1800, ["b"])
    assert found.all.ends_at is not None and found.all.ends_at > NOW + 1800
    assert found.words.startswith("With backlog:archive paused: the rest is done about ")
    assert found.notes == ("5 jobs held back until somebody resumes backlog:archive",)


def test_what_comes_after_a_paused_job_is_held_back_with_it_and_what_runs_goes_on() -> None:
    archive = replace(CPU, id="archive", backlog="archive")
    first = pending(0, archive)
    runs = pending(3, archive)
    rows = [first, pending(1, after=(first.job_id,)), pending(2), runs]
    held = a_reservation(runs.job_id, node="node1", queue="cpu-node1", lane="cpu", state="running")

    found = asked(rows, Change(paused=frozenset(("archive",))), reservations=(held,))

    assert found.all.jobs == 2 and found.all.then_never == 0
    assert "2 jobs held back" in found.notes[0]
    with pytest.raises(UsageError, match="nothing else waits"):
        asked(rows[:2], Change(paused=frozenset(("archive",))))


def test_beside_a_backlog_that_is_paused_already_the_rest_has_an_end() -> None:
    archive = replace(CPU, id="archive", backlog="archive")
    rows = [pending(0, archive), pending(1)]
    now = Circumstances(
        pending=tuple(rows), nodes=(ONE_WORKER,), limits=Limits(), paused=frozenset(("archive",))
    )

    found = what_if(played, now, Change(hosts=1))

    assert (found.all.jobs, found.all.then_ends_at) == (1, NOW + 600)
    assert "1 job held back until somebody resumes backlog:archive" in found.notes


def test_twice_the_quota_halves_what_an_api_takes() -> None:
    asks = a_class("cloud", duration_s=1.0, rates={"llm": (1, 0)})
    many_places = QueueReport(queue="cloud-node1", lane="cloud", workers=9)
    node = replace(a_report(devices=0), queues=(many_places,))
    quota = {"llm": Rate(requests_per_min=6)}

    found = asked([pending(n, asks) for n in range(60)], Change(quota=2.0), (node,), budgets=quota)

    assert found.all.ends_at is not None and found.all.then_ends_at is not None
    half = (found.all.then_ends_at - NOW) / (found.all.ends_at - NOW)
    assert half == pytest.approx(0.5, abs=0.06)
    assert found.words.startswith("With 2 × the quota of llm: ")
    with pytest.raises(UsageError, match="no API has a quota"):
        asked([pending(0)], Change(quota=2.0))


def test_one_more_host_or_pilot_takes_half_and_more_scratch_lets_run_what_could_not() -> None:
    rows = [pending(n) for n in range(8)]

    host = asked(rows, Change(hosts=1))
    pilot = asked(
        rows,
        Change(pilots=1),
        shapes={"lab": PilotShape(lanes=("cpu",), cpus=1, ram_mib=8192, time_s=3600.0)},
    )

    for found in (host, pilot):
        assert (found.all.ends_at, found.all.then_ends_at) == (NOW + 4800, NOW + 2400)
    assert "1 more CPU host like node1" in host.words and "1 more pilot of lab (1 core, 8 GiB)" in pilot.words
    assert pilot.notes == ("how long a pilot waits for its engine",)
    with pytest.raises(UsageError, match="no engine brings pilots"):
        asked(rows, Change(pilots=1))
    large = a_class("cpu", id="large", duration_s=600.0, scratch_bytes=1_000 * GB)
    node = replace(ONE_WORKER, volumes=(a_volume(total_bytes=500 * GB, free_bytes=500 * GB),))
    found = asked([pending(0, large)], Change(scratch_bytes=1_000 * GB), (node,))
    assert (found.all.never, found.all.then_never) == (1, 0)
