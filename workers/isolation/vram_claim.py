"""A worker's claim on its devices while it runs a job: what idle siblings keep warm there gives way to it.

The decision counts that as free. Whether it has to go is worked out here, on the host and at the last moment,
from what siblings have reserved by their vram_claims and what the driver lists; then the children that have
been idle longest end.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from conductor.adapters.files.vram_claims import OwnVramClaim, VramClaim, VramClaims
from conductor.adapters.host import nvml_probe
from conductor.base.logs.events import emit_event
from conductor.model.subject import SHORT_ID
from conductor.node.health.vram_owners import ours, owner_among

if TYPE_CHECKING:
    from pathlib import Path

    from conductor.adapters.host.nvml_probe import RawDevice

#: The driver gives back what a killed process held within milliseconds; after so long the job goes on all the
#: same.
GIVE_BACK_S = 3.0
_LOOK_EVERY_S = 0.01


class Claim:
    """One worker's, main thread only. Without a device it only shows what is kept warm."""

    def __init__(
        self, vram_claims: Path, headroom_mib: int, worker: str, queue: str = "", device: str | None = None
    ) -> None:
        """`vram_claims`: their folder on this host. `headroom_mib`: of a device's memory, for everybody
        else.
        """
        self._folder = vram_claims
        self._headroom_mib = headroom_mib
        self._now = VramClaim(worker=worker, queue=queue, device=device or "")
        self._vram_claim: OwnVramClaim | None = None
        self._siblings = VramClaims(self._folder)

    @contextmanager
    def busy(self) -> Generator[None]:
        """While attempts run: nobody ends our child. What they reserved is given up at the end."""
        if not self._now.device:
            yield
            return
        with self._own().busy():
            try:
                yield
            finally:
                self._put(reserved={}, since=time.time())

    def take(self, job_id: str, attempt: int, about: str, reserved: Mapping[str, int], child: int) -> None:
        """Before a body is given to `child`, maybe behind others: device → MiB that it may hold."""
        if child != self._now.child:
            self._put(child=child, warm=())
        if not self._now.device:
            return
        before = self._now.reserved
        together = {key: max(before.get(key, 0), reserved.get(key, 0)) for key in {**before, **reserved}}
        # Said before looking: of two that begin at the same time each sees the other.
        self._put(job_id=job_id, attempt=attempt, about=about, reserved=together, since=time.time())
        grown = [key for key, mib in together.items() if mib > before.get(key, 0)]
        if grown:
            self._make_room(grown)

    def keeps(self, warm: tuple[str, ...]) -> None:
        """What the child keeps for the next jobs, as it said last."""
        if warm != self._now.warm:
            self._put(warm=warm)

    def close(self) -> None:
        if self._vram_claim is not None:
            self._vram_claim.close()
            self._vram_claim = None

    # ── room ──────────────────────────────────────────────────────────────────────────────────────────────

    def _make_room(self, keys: list[str]) -> None:
        others = {
            name: vram_claim for name, vram_claim in self._siblings.read().items() if name != self._now.worker
        }
        idle = [
            vram_claim
            for vram_claim in others.values()
            if vram_claim.child and vram_claim.device and not vram_claim.reserved
        ]
        if not idle:
            return
        raw = {f"gpu{device.index}": device for device in nvml_probe.read(keys).devices}
        ended: list[VramClaim] = []
        for key in keys:
            if (device := raw.get(key)) is not None:
                ended += self._end_excess(
                    key, device, others, [vram_claim for vram_claim in idle if vram_claim not in ended]
                )
        if ended:
            words = "{} gave way to {about} ({}): idle, and what it kept was needed"
            workers, job_id = [vram_claim.worker for vram_claim in ended], self._now.job_id
            emit_event("worker.gave_way", words, names(ended), job_id[:SHORT_ID], workers=workers,
                       job_id=job_id, about=self._now.about)  # fmt: skip
            self._until_gone({vram_claim.child for vram_claim in ended}, keys)

    def _end_excess(
        self, key: str, device: RawDevice, others: Mapping[str, VramClaim], idle: list[VramClaim]
    ) -> list[VramClaim]:
        """The longest idle first, until what is reserved and what is warm fit."""
        children = {vram_claim.child: name for name, vram_claim in others.items() if vram_claim.child}
        held = ours(device.processes, owner_among({**children, self._now.child: self._now.worker}))
        idle = sorted(idle, key=lambda vram_claim: vram_claim.since)
        if device.used_bytes is None or device.total_bytes is None:
            # How much is free nobody can say: whoever is idle here may hold what this one needs.
            here = [vram_claim for vram_claim in idle if vram_claim.device == key and vram_claim.job_id]
            return [vram_claim for vram_claim in here if self._siblings.end_idle(vram_claim)]
        used, limit = (
            device.used_bytes // nvml_probe.MIB,
            device.total_bytes // nvml_probe.MIB - self._headroom_mib,
        )
        if held is None:
            # Nobody is listed: whoever is idle here may hold it.
            here = [vram_claim for vram_claim in idle if vram_claim.device == key]
            return (
                [vram_claim for vram_claim in here if self._siblings.end_idle(vram_claim)]
                if used > limit - self._mine(key)
                else []
            )
        foreign = max(0, used - sum(held.values()))
        going = sum(
            max(vram_claim.reserved.get(key, 0), held.get(n, 0))
            for n, vram_claim in others.items()
            if vram_claim.reserved
        )
        excess = (
            foreign
            + going
            + self._mine(key)
            + sum(held.get(vram_claim.worker, 0) for vram_claim in idle)
            - limit
        )
        ended: list[VramClaim] = []
        for vram_claim in idle:
            if excess > 0 and held.get(vram_claim.worker) and self._siblings.end_idle(vram_claim):
                excess -= held[vram_claim.worker]
                ended.append(vram_claim)
        return ended

    def _mine(self, key: str) -> int:
        return self._now.reserved.get(key, 0)

    def _until_gone(self, pids: set[int], keys: list[str]) -> None:
        deadline = time.monotonic() + GIVE_BACK_S
        while time.monotonic() < deadline:
            devices = nvml_probe.read(keys).devices
            if not any(process.pid in pids for device in devices for process in device.processes):
                return
            time.sleep(_LOOK_EVERY_S)

    # ── the vram_claim
    # ─────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, **changes: object) -> None:
        self._now = msgspec.structs.replace(self._now, **changes)
        if self._vram_claim is not None or self._now.device or self._now.warm:
            self._own().put(self._now)

    def _own(self) -> OwnVramClaim:
        if self._vram_claim is None:
            self._vram_claim = OwnVramClaim(self._folder, self._now)
        return self._vram_claim


def names(vram_claims: list[VramClaim]) -> str:
    return ", ".join(vram_claim.worker for vram_claim in vram_claims)
