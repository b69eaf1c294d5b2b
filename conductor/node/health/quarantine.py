"""Does a device give back what our jobs took: what their dead leave on it is ended, or the device is
quarantined.

What is measured as used and held by no process that the driver lists is *unexplained*: some is the driver's
own. It jumps where a process of ours is gone and its memory is not. A stranger's process, also one that came
during a job, is listed, or was unexplained before. Where the driver lists nobody, nothing can be said, and
nothing is quarantined.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.files.vram_claims import VramClaim
from conductor.adapters.host.nvml_probe import MIB, RawDevice, RawGpus, RawProcess
from conductor.base.logs.events import emit_event
from conductor.base.text import size
from conductor.model.report import Device
from conductor.model.subject import NAMELESS, SHORT_ID
from conductor.node.health.vram_owners import Owner

#: Driver and contexts come and go by some MiB; less than this, or a hundredth of the device, is no leak.
TOLERANCE_MIB = 256
TOLERANCE_SHARE = 100
#: Giving gigabytes back takes the driver a moment.
GRACE_S = 5.0


class Holder(Struct, frozen=True, kw_only=True):
    """A process of ours as it was last seen holding memory of a device."""

    pid: int
    #: Of its start, in the kernel's ticks: another process with this pid has another.
    started: int
    group: int
    used_mib: int
    worker: str
    job_id: str
    #: What that job is about.
    about: str = ""


class Ward(Struct, kw_only=True):
    """One device's story so far."""

    holders: dict[int, Holder] = {}
    #: At the last reading; None: unknown.
    unexplained: int | None = None
    #: Of the episode that began when a process of ours was first gone: what was unexplained before it, who is
    #: gone.
    floor: int = 0
    gone: tuple[Holder, ...] = ()
    gone_at: float = 0.0
    reason: str = ""
    #: The operator's last word when it was quarantined: a later one lifts it. An earlier one is of a Redis
    #: that forgot.
    word: int = 0


class Warden:
    """Called with every reading. `words`: the operator's, per device; asked only while one is quarantined."""

    def __init__(
        self, words: Callable[[], Mapping[str, int]], end_group: Callable[[Holder], None] | None = None
    ) -> None:
        self._words = words
        self._end_group = end_group or end_leftover
        self._wards: dict[str, Ward] = {}

    def look(
        self,
        devices: Iterable[Device],
        raw: RawGpus,
        owner: Owner,
        vram_claims: Mapping[str, VramClaim],
        now: float,
    ) -> tuple[Device, ...]:
        """The devices, with those quarantined that keep what our dead left. `now`: epoch seconds."""
        listed = {f"gpu{device.index}": device for device in raw.devices}
        return tuple(
            self._look(device, listed.get(device.key), owner, vram_claims, now) for device in devices
        )

    def _look(
        self,
        device: Device,
        raw: RawDevice | None,
        owner: Owner,
        vram_claims: Mapping[str, VramClaim],
        now: float,
    ) -> Device:
        ward = self._wards.setdefault(device.key, Ward())
        if raw is None or device.quarantined is not None:
            return device  # Its driver is gone or in error: there is a reason already.
        self._follow(ward, raw, owner, vram_claims, now)
        self._judge(ward, device, now)
        return replace(device, quarantined=ward.reason) if ward.reason else device

    def _follow(
        self, ward: Ward, raw: RawDevice, owner: Owner, vram_claims: Mapping[str, VramClaim], now: float
    ) -> None:
        """Who holds memory now, who is gone since the last reading, who should be."""
        before, seen = ward.holders, dict[int, Holder]()
        for process in raw.processes:
            worker, known = owner(process.pid), before.get(process.pid)
            if worker is None:
                if known is None or started(process.pid) != known.started:
                    continue
                # It was a worker's, and outlived it.
                self._end_group(known)
                seen[process.pid] = known
            else:
                seen[process.pid] = holder(process, worker, vram_claims.get(worker), known)
        lost = tuple(h for pid, h in before.items() if pid not in seen and started(pid) != h.started)
        if lost:
            if not ward.gone:
                ward.floor = ward.unexplained or 0
            ward.gone, ward.gone_at = (*ward.gone, *lost), now
        ward.holders, ward.unexplained = seen, unexplained_mib(raw)

    def _judge(self, ward: Ward, device: Device, now: float) -> None:
        if ward.unexplained is None or not ward.gone:
            return
        kept, tolerance = ward.unexplained - ward.floor, tolerance_mib(device)
        if kept <= tolerance:
            if ward.reason:
                emit_event("device.used_again", "{device} {why}: used again", device=device.key,
                           why="has given back what it kept")  # fmt: skip
            ward.gone, ward.reason = (), ""
        elif ward.reason:
            self._listen(ward, device)
        elif now - ward.gone_at > GRACE_S and kept <= sum(h.used_mib for h in ward.gone) + tolerance:
            # More than our dead ever held is not theirs alone: that may be a stranger whom the driver does
            # not list.
            last = max(ward.gone, key=lambda h: h.used_mib)
            at = time.strftime("%H:%M", time.localtime(now))
            of = (
                f"{last.about or NAMELESS} ({last.job_id[:SHORT_ID]})"
                if last.job_id
                else f"worker {last.worker}"
            )
            ward.reason = f"keeps {size(kept * MIB)} after {of} ended (pid {last.pid} is gone), since {at}"
            ward.word = self._words().get(device.key, 0)
            words = "{device} {why}: quarantined until it is given back or resumed"
            emit_event("device.quarantined", words, device=device.key, why=ward.reason)

    def _listen(self, ward: Ward, device: Device) -> None:
        if self._words().get(device.key, 0) > ward.word:
            words = "{device} is used again {why}; what it keeps counts as others'"
            emit_event("device.used_again", words, device=device.key, why="by the operator's word")
            ward.gone, ward.reason = (), ""


def unexplained_mib(raw: RawDevice) -> int | None:
    """None where the use, or the size of one process, is not told."""
    sizes = [process.used_bytes for process in raw.processes]
    if raw.used_bytes is None or any(used is None for used in sizes):
        return None
    return max(0, raw.used_bytes - sum(used for used in sizes if used is not None)) // MIB


def tolerance_mib(device: Device) -> int:
    return max(TOLERANCE_MIB, device.vram_total_mib // TOLERANCE_SHARE)


def holder(process: RawProcess, worker: str, vram_claim: VramClaim | None, known: Holder | None) -> Holder:
    used = (process.used_bytes or 0) // MIB
    job_id, about = (vram_claim.job_id, vram_claim.about) if vram_claim is not None else ("", "")
    if known is not None and known.started == started(process.pid):
        return replace(known, used_mib=used, job_id=job_id or known.job_id, about=about or known.about)
    return Holder(
        pid=process.pid,
        started=started(process.pid),
        group=group_of(process.pid),
        used_mib=used,
        worker=worker,
        job_id=job_id,
        about=about,
    )


def started(pid: int) -> int:
    """When it started, in ticks since the boot; 0 when it is gone, or dead and not yet buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def end_leftover(left: Holder) -> None:
    """SIGKILL to the group that it belonged to as ours. Asked again with every reading in which it is
    still there.
    """
    if left.group > 1 and left.group not in (os.getpgrp(), os.getpid()) and group_of(left.pid) == left.group:
        words = "pid {pid} of {about} ({}) outlived its worker and holds VRAM: killed"
        emit_event("process.outlived", words, left.job_id[:SHORT_ID] or "?", pid=left.pid,
                   job_id=left.job_id or "?", about=left.about or NAMELESS)  # fmt: skip
        with suppress(OSError):
            os.killpg(left.group, signal.SIGKILL)
