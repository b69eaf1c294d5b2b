"""The thread that probes this host and publishes its report: regularly, and at once when something moved."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from loguru import logger
from msgspec.structs import replace

from conductor.adapters.files import suspect_roots, vram_claims
from conductor.adapters.files.vram_claims import VramClaim, VramClaims
from conductor.adapters.host import host_probe, nvml_probe
from conductor.adapters.host.counter_commands import CounterCommands
from conductor.adapters.host.disk_probe import DiskProbe
from conductor.adapters.host.host_probe import HostFacts
from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.base.secrets import for_programs
from conductor.base.settings.settings import Settings
from conductor.core.admission.obstacles import are_other
from conductor.model.report import Device, NodeReport, Obstacle, Volume
from conductor.model.spec import TaskDecl
from conductor.node.bounded_call import Patient
from conductor.node.health.declared_devices import know_devices
from conductor.node.health.idle_cache import to_end, with_warm
from conductor.node.health.node_gates import NodeGates, sensors_of, settings_of
from conductor.node.health.quarantine import Warden
from conductor.node.health.report import (
    Identity,
    Reading,
    Workforce,
    clock_ahead_s,
    closed_by,
    is_news,
    make_report,
    remember,
    with_thresholds,
)
from conductor.node.health.vram_owners import owner_among, with_ours
from conductor.node.term import Term
from conductor.node.yielding import Yielding
from conductor.ports import Ledger
from conductor.tick.breakers import codes_of

#: How often the devices are looked at while nothing has to be sent: a foreign process must be seen quickly.
GPU_EVERY_S = 0.5
#: A driver that answers slower than this is reported as not answering.
GPU_LIMIT_S = 3.0


class Reporter(threading.Thread):
    """Started once; `stop` ends it. `on_change` is called (in this thread) when the main thread has to
    look.
    """

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        ledger: Ledger,
        catalogue: Mapping[str, TaskDecl],
        on_change: Callable[[], None],
        revive: Callable[[], None],
        term: Term | None = None,
    ) -> None:
        super().__init__(name="reporter", daemon=True)
        self._term = term
        self._settings = settings
        self._identity = identity
        self._ledger = ledger
        self._on_change = on_change
        self._revive = revive
        self._catalogue = catalogue
        self._disks = DiskProbe(settings.roots, is_node=True)
        know_devices(settings.state_dir, settings.devices.named, identity.node, is_writer=True)
        self._gpus = Patient(nvml_probe.read)
        self._visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._vram_claims = VramClaims(vram_claims.folder_of(settings.layout))
        self._warden = Warden(self._operators_words)
        self._gates = NodeGates(sensors_of(settings, identity.node))
        does_freeze = settings_of(settings, identity.node).when_yielding == "freeze"
        self._yielding = Yielding(settings.state_dir, identity.node, does_freeze=does_freeze)
        self._counters = CounterCommands(
            settings.counted_by("node"), settings.project, for_programs(settings.secrets.variables)
        )
        self._wake = threading.Event()
        self._stopping = False
        self._has_room = False
        self._workforce = Workforce()
        self._sent: NodeReport | None = None
        self._sent_at = 0.0
        self._is_away = False
        self.has_failed = False
        #: What the last report that arrived says is closed (`closed_by`): no hand-over goes there any more.
        self.closed: frozenset[str] = frozenset()
        self.reading = self._read(make_folders=True)

    # ── for the main thread ───────────────────────────────────────────────────────────────────────────────

    def tell(self, workforce: Workforce) -> None:
        """What the supervisor knows; a change is sent at once."""
        if workforce != self._workforce:
            self._workforce = workforce
            self._wake.set()

    def look_again(self) -> None:
        """Room was made on a disk: the report says so at once."""
        self._has_room = True
        self._wake.set()

    def stop(self, limit_s: float = 5.0) -> None:
        self._stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(limit_s)
        self._counters.close()
        self._disks.close()
        self._yielding.close()
        nvml_probe.know(None)

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        try:
            self._report()
        except Exception:  # noqa: BLE001  a thread's end is seen by nobody: the main thread is told and ends the node
            logger.opt(exception=True).critical("the reporter ended on an error that nobody foresaw")
            self.has_failed = True
            self._on_change()

    def _report(self) -> None:
        timing = self._settings.timing
        read_at, is_asked = time.monotonic(), False
        self._counters.start()
        while not self._stopping:
            self._publish(is_asked)
            self._wake.wait(self._patience_s())
            self._wake.clear()
            # The disks are asked less often than the devices: each time costs the NAS a round trip.
            is_asked, self._has_room = self._has_room, False
            if is_asked or time.monotonic() - read_at >= timing.report_every_s:
                self._take(self._read())
                read_at = time.monotonic()
            elif self.reading.devices:
                devices, notes = self._read_devices(self.reading.devices)
                self._take(replace(self.reading, devices=devices, notes=notes))
            self._take(replace(self.reading, obstacles=self._look_at_host()))

    def _look_at_host(self) -> tuple[Obstacle, ...]:
        obstacles = self._gates.look()
        self._yielding.hear(obstacles)
        return obstacles

    def _patience_s(self) -> float:
        looks = [self._settings.timing.report_every_s, GPU_EVERY_S if self.reading.devices else None]
        return min(look for look in (*looks, self._gates.next_look_s) if look is not None)

    def _take(self, reading: Reading) -> None:
        before, self.reading = self.reading, reading
        is_other = [(d.key, d.quarantined) for d in before.devices] != [
            (d.key, d.quarantined) for d in reading.devices
        ]
        if is_other or are_other(before.obstacles, reading.obstacles):
            self._on_change()

    def _read(self, make_folders: bool = False) -> Reading:
        known = () if make_folders else self.reading.devices
        devices, notes = self._read_devices(known)
        before = () if make_folders else self.reading.volumes
        removable = {} if make_folders else self._removable()
        self._volumes_at = time.monotonic()
        return Reading(
            devices=devices,
            volumes=with_thresholds(before, self._read_disks(make_folders), self._settings.roots, removable),
            host=self._host(),
            notes=notes,
            obstacles=self._look_at_host(),
            code=codes_of(self._catalogue),
        )

    def _host(self) -> HostFacts:
        host = host_probe.read()
        return host if self._term is None else self._term.part_of(host)

    def _read_disks(self, make_folders: bool) -> tuple[Volume, ...]:
        """What a worker could not write to is tried until it can be written to: till then its gate is
        closed.
        """
        told = suspect_roots.folder_of(self._settings.layout)
        doubtful = suspect_roots.read(told)
        volumes = self._disks.read(make=make_folders, suspects=doubtful)
        for volume in volumes:
            if volume.root in doubtful and volume.fault is None:
                suspect_roots.clear(told, volume.root)
        return volumes

    def _removable(self) -> dict[str, int]:
        try:
            return self._ledger.files.removable(
                self._identity.node, sorted(self._settings.layout.ephemeral_roots())
            )
        except Unreachable:
            return {}

    def _read_devices(self, known: tuple[Device, ...]) -> tuple[tuple[Device, ...], tuple[str, ...]]:
        raw = self._gpus.ask(GPU_LIMIT_S)
        if raw is None:
            why = f"the NVIDIA driver did not answer for {GPU_LIMIT_S:g} s"
            return remember(known, (), why), (why,)
        if self._visible is not None:
            self._visible = nvml_probe.by_uuid(raw, self._visible)
        devices, notes = nvml_probe.parse(raw, self._visible)
        owner = owner_among(self._workforce.pids)
        seen = with_ours(devices, raw, owner)
        if seen:
            worn, now = self._worn(), time.time()
            seen = self._warden.look(seen, raw, owner, worn, now)
            for vram_claim in to_end(worn.values(), seen, self._settings.workers.warm_idle_s, now):
                if self._vram_claims.end_idle(vram_claim):
                    words = "{worker} was idle for long: what it kept on {device} is given back"
                    emit_event("device.freed", words, worker=vram_claim.worker, device=vram_claim.device)
        return remember(known, seen, raw.error or "NVML does not list it any more", raw.divided), notes

    def _worn(self) -> dict[str, VramClaim]:
        """The vram_claims of the workers that live."""
        live = set(self._workforce.pids.values())
        return {
            worker: vram_claim for worker, vram_claim in self._vram_claims.read().items() if worker in live
        }

    def _operators_words(self) -> dict[str, int]:
        """Device → the operator's last word that it is to be used, of this node."""
        try:
            resumed = self._ledger.control.resumed()
        except Unreachable:
            return {}
        at = f"{self._identity.node}/"
        return {place.removeprefix(at): count for place, count in resumed.items() if place.startswith(at)}

    def _publish(self, is_news_anyway: bool) -> None:
        timing = self._settings.timing
        age_s = time.monotonic() - self._volumes_at
        workforce = replace(self._workforce, queues=with_warm(self._workforce.queues, self._worn()))
        reading = replace(self.reading, counters=self._counters.readings())
        report = make_report(self._identity, reading, workforce, 0.0, age_s)
        has_news = is_news_anyway or is_news(self._sent, report)
        if not has_news and time.monotonic() - self._sent_at < timing.report_every_s:
            return
        try:
            before, now = time.time(), self._ledger.bell.now()
            ahead_s = clock_ahead_s(before, now, time.time())
            ends_at = None if self._term is None else now + self._term.ends_in_s
            self._ledger.reports.publish(
                replace(report, sent_at=now, clock_ahead_s=ahead_s, ends_at=ends_at), timing.report_ttl_s
            )
            if has_news:
                self._ledger.bell.ring()
        except Unreachable as e:
            self._away(e)
            return
        if self._is_away:
            emit_event("redis.back", "Redis answers again")
            self._is_away = False
        self._sent, self._sent_at = report, time.monotonic()
        closed, self.closed = self.closed, closed_by(report)
        if closed != self.closed:
            self._on_change()

    def _away(self, error: Unreachable) -> None:
        if not self._is_away:
            emit_event("redis.lost", "{error}; the workers go on, trying again", error=str(error))
        self._is_away, self._sent = True, None
        try:
            self._revive()
        except Unreachable as e:
            logger.debug("Valkey could not be started again: {}", e)
