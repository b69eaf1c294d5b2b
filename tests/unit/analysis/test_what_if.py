"""A change is played through before anybody makes it: other priorities, one more GPU, no hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from builders import NOW, a_class, a_report, a_snapshot, a_spec
from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.forecast.live_world import Known, LiveWorkload, world_of
from conductor.analysis.price import Nodes
from conductor.analysis.simulation.world import World
from conductor.analysis.what_if import Change, ChangedEnds, lines, what_if
from conductor.base.errors import UsageError
from conductor.base.hours import DAY_S, on_the_wall
from conductor.model.limits import Limits
from conductor.model.report import QueueReport
from conductor.model.snapshot import JobClass
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


def played(pending: Sequence[Pending], nodes: Nodes, limits: Limits) -> World:
    snapshot = a_snapshot(nodes=nodes)
    world = world_of(LiveWorkload(pending, snapshot, KNOWN), snapshot, limits, {})
    world.run()
    return world


def asked(
    rows: Sequence[Pending], change: Change, nodes: Nodes = (ONE_WORKER,), limits: Limits | None = None
) -> ChangedEnds:
    return what_if(played, rows, nodes, limits or Limits(), change)


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
