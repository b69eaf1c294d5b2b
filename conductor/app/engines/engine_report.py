"""An engine that runs jobs one by one, as a node: what the decision may place there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from msgspec.structs import replace

from conductor.adapters.host.disk_probe import DiskProbe
from conductor.base.code_version import build
from conductor.base.settings.sections import Root, Timing
from conductor.core.pilots.refused_requests import in_force
from conductor.model.pilot import EngineState
from conductor.model.report import Measure, NodeReport, Obstacle, QueueReport, SingleJobs, Volume
from conductor.model.spec import Lane, TaskDecl
from conductor.node.health.report import with_thresholds
from conductor.ports import Ledger
from conductor.tick.breakers import codes_of


class EngineReport:
    """Published by the leader, from one thread. The roots are looked at from this host: those of the engine
    have the same folders under the same paths (`docs/engines.md`)."""

    def __init__(
        self,
        name: str,
        single: SingleJobs,
        lanes: tuple[Lane, ...],
        roots: Mapping[str, Root],
        timing: Timing,
        ledger: Ledger,
        tasks: Mapping[str, TaskDecl],
    ) -> None:
        self._name = name
        self._single = single
        self._lanes = lanes
        self._roots = roots
        self._timing = timing
        self._ledger = ledger
        self._tasks = tasks
        self._disks = DiskProbe(roots)
        self._volumes: tuple[Volume, ...] = ()
        self._read_at = -1e9
        self._closed_since = 0.0

    def publish(self, state: EngineState, now: float) -> None:
        if time.monotonic() - self._read_at >= self._timing.report_every_s:
            self._volumes = with_thresholds(self._volumes, self._disks.read(), self._roots)
            self._read_at = time.monotonic()
        # A clause that stays the same while it is so.
        why_not = state.why_not
        self._closed_since = (self._closed_since or now) if why_not else 0.0
        one = replace(self._single, refused=in_force(state, now))
        memory_mib = one.most * one.ram_mib
        report = NodeReport(
            node=self._name,
            host=self._name,
            pid=os.getpid(),
            build=build(),
            sent_at=now,
            volumes=self._volumes,
            volumes_age_s=time.monotonic() - self._read_at,
            # One worker: a host that has an idle one of its own comes first.
            queues=tuple(
                QueueReport(queue=f"{lane}-{self._name}", lane=lane, workers=1) for lane in self._lanes
            ),
            measured={"ram": Measure(total=memory_mib, free=memory_mib)},
            cpu_count=float(one.most * one.cpus),
            obstacles=(
                (Obstacle(gate="engine", words=why_not, figure=0.0, opens_at=0.0, unit="",
                          since=self._closed_since),) if why_not else ()
            ),
            code=codes_of(self._tasks),
            single_jobs=one,
        )  # fmt: skip
        self._ledger.reports.publish(report, self._timing.report_ttl_s)
