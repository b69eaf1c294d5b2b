"""A host that joins idle gets what lies in another's queue and nobody has begun; nothing goes to and fro."""

from __future__ import annotations

from builders import NOW, a_class, a_device, a_report
from loop_scene import a_conductor, dispatch, publish, take

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.core.admission.idle_queues import IDLE_S
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass
from conductor.ports import Ledger
from conductor.tick.loop import Conductor

#: Less than the lead of a conductor lasts.
STEP_S = 0.5
CLOUD = a_class("cloud", duration_s=60.0)


class IdleHostScene:
    """On alpha, with one worker, a job runs and others wait behind it; the backlog is empty."""

    def __init__(self, job_class: JobClass = CLOUD, jobs: int = 3, alpha: NodeReport | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.ledger: Ledger = memory_ledger(self.clock)
        self.reports = [alpha or a_report("alpha", workers=1)]
        self.conductor: Conductor = a_conductor(self.ledger)
        self.publish()
        dispatch(self.ledger, job_class, jobs)
        self.conductor.tick()
        self.first, *_ = self.ledger.handover.reservations()
        take(self.ledger, self.first)
        self.conductor.tick()

    def publish(self) -> None:
        for report in self.reports:
            publish(self.ledger, report)

    def joins(self, report: NodeReport) -> None:
        self.reports.append(report)

    def after(self, seconds: float) -> dict[str, list[int]]:
        """Node → attempts of what it was handed, some ticks later."""
        for _ in range(round(seconds / STEP_S)):
            self.publish()
            self.conductor.tick()
            self.clock.advance(STEP_S)
        found: dict[str, list[int]] = {}
        for held in self.ledger.handover.reservations():
            found.setdefault(held.node, []).append(held.attempt)
        return {node: sorted(attempts) for node, attempts in found.items()}


def test_a_host_that_joins_takes_as_many_as_it_has_workers() -> None:
    scene = IdleHostScene()
    assert scene.after(3 * IDLE_S) == {"alpha": [1, 1, 1]}
    scene.joins(a_report("beta", workers=1))

    assert scene.after(6 * IDLE_S) == {"alpha": [1, 1], "beta": [2]}
    job = next(r for r in scene.ledger.handover.reservations() if r.node == "beta")
    seen = scene.ledger.jobs.job(job.job_id)
    assert seen is not None and not seen.failures, "it costs nothing"


def test_what_was_just_handed_over_stays() -> None:
    scene = IdleHostScene()
    scene.joins(a_report("beta", workers=2))

    assert scene.after(IDLE_S / 2) == {"alpha": [1, 1, 1]}


def test_what_another_host_could_not_run_stays() -> None:
    scene = IdleHostScene(a_class(vram_mib=8192, duration_s=60.0), jobs=2)
    scene.joins(a_report("small", workers=1, devices=(a_device(0, vram_total_mib=4096),)))
    scene.joins(a_report("none", workers=1, devices=0))
    scene.joins(a_report("closing", workers=1, is_draining=True))
    scene.joins(a_report("ending", workers=1, ends_at=NOW + 30))

    assert [*scene.after(6 * IDLE_S)] == ["alpha"]


def test_what_comes_back_to_where_it_was_is_not_moved_again() -> None:
    """The report does not tell all that the decision goes by."""
    scene = IdleHostScene(a_class("cloud", duration_s=60.0, ram_mib=2048))
    # Its headroom is not free for any.
    scene.joins(a_report("beta", workers=1, ram_available_mib=2048))

    assert scene.after(3 * IDLE_S) == {"alpha": [1, 1, 2]}
    assert scene.after(12 * IDLE_S) == {"alpha": [1, 2, 2]}


def test_workers_that_are_free_of_their_own_keep_their_jobs() -> None:
    scene = IdleHostScene(alpha=a_report("alpha", workers=4))
    scene.joins(a_report("beta", workers=4))

    assert scene.after(6 * IDLE_S) == {"alpha": [1, 1, 1]}
