"""What an attempt takes, measured from outside: memory of the child's family, VRAM, bytes in its folders.
Peaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from conductor.adapters.host import nvml_probe
from conductor.base.text import size
from conductor.model.calls import Call
from conductor.model.causes import Cause
from conductor.model.receipt import Usage
from workers.isolation.device_sharers import DeviceSharers
from workers.isolation.host_memory import HostMemory
from workers.isolation.resident_memory import family, is_over_reservation, resident_mib

#: Of an attempt that was not looked at.
NOTHING = Usage()


class Meter:
    """One attempt's peaks. `sample` is called now and then by the keeper; the rest by the main thread."""

    def __init__(
        self,
        folders: Callable[[], Sequence[str]],
        devices: Sequence[str] = (),
        reserved_mib: int = 0,
        headroom_mib: int = 0,
        memory: HostMemory | None = None,
        rivals: Callable[[str, int], DeviceSharers] = lambda device, child: DeviceSharers(),
    ) -> None:
        """`folders`: asked for when they are looked at, not before the body begins. `reserved_mib`: on each
        of the devices; 0: not held to it. `headroom_mib`: what is to stay free there. `memory`: holds it to
        its word of the host's. `rivals`: of a child on a device."""
        #: The child; 0 while there is none.
        self.pid = 0
        self._folders = folders
        self._devices = tuple(devices)
        self._reserved_mib = reserved_mib
        self._headroom_mib = headroom_mib
        self._rivals = rivals
        self._usage = NOTHING
        #: At the last look, on the fullest of its devices; None: not known.
        self.vram_now_mib: int | None = None
        self._memory = memory
        #: Why the body is to be stopped: it holds more than it reserved, and the device, or the host, is
        #: full.
        self.beyond: tuple[Cause, str] | None = None

    def sample(self) -> Usage:
        pids = family(self.pid) if self.pid else []
        rss_mib = resident_mib(pids)
        if self._memory is not None and self.beyond is None and (words := self._memory.look(pids, rss_mib)):
            self.beyond = ("host_oom", words)
        return self._add(Usage(rss_mib=rss_mib, scratch_bytes=self._scratch()), pids)

    def finish(self, rss_mib: int | None, cpu_s: float | None) -> Usage:
        """A last look when the body has ended, and what the child said of itself."""
        if self._memory is not None:
            self._memory.close()
        pids = [self.pid] if self.pid else []
        return self._add(Usage(rss_mib=rss_mib, cpu_s=cpu_s, scratch_bytes=self._scratch()), pids)

    def usage(self) -> Usage:
        return self._usage

    def _add(self, now: Usage, pids: Sequence[int]) -> Usage:
        self._usage = larger(self._usage, with_vram(now, self._vram(pids)))
        return self._usage

    def _vram(self, pids: Sequence[int]) -> dict[str, int] | None:
        """MiB now on each of the attempt's devices; None where the driver does not tell."""
        held = nvml_probe.held_by(pids) if self._devices and pids else None
        vram = None if held is None else {device: held.get(device, 0) for device in self._devices}
        self.vram_now_mib = max(vram.values()) if vram else None
        if vram and self._reserved_mib and self.beyond is None and (words := self._beyond(vram)):
            self.beyond = ("cuda_oom", words)
        return vram

    def _beyond(self, vram: Mapping[str, int]) -> str:
        """Looked at closely only where it is well above its word."""
        over = {d: mib for d, mib in vram.items() if is_over_reservation(mib, self._reserved_mib)}
        full = (
            {d for d, free in nvml_probe.free_mib().items() if free < self._headroom_mib}
            if over
            else set[str]()
        )
        for device in sorted(full.intersection(over)):
            if not self._rivals(device, self.pid).is_first_to_go:
                continue
            held = size(over[device] << 20)
            return (
                f"held {held} of {device} where {size(self._reserved_mib << 20)} were reserved, "
                "and it was full"
            )
        return ""

    def is_others_fault(self) -> bool:
        """It ran out of VRAM within its word, while others on its device held more than theirs. Asked
        while they do.
        """
        if (
            not self._reserved_mib
            or not self.pid
            or self.beyond
            or (self._usage.vram_mib or 0) > self._reserved_mib
        ):
            return False
        return any(self._rivals(device, self.pid).have_overrun for device in self._devices)

    def _scratch(self) -> int:
        return sum(map(folder_bytes, self._folders()))


def with_vram(usage: Usage, vram: Mapping[str, int] | None) -> Usage:
    if not vram:
        return usage
    several = dict(vram) if len(vram) > 1 else {}
    return msgspec.structs.replace(usage, vram_mib=max(vram.values()), vram_on=several)


def larger(a: Usage, b: Usage) -> Usage:
    """Field by field; unknown gives way to known."""
    if a is NOTHING or a is b:
        return b
    return Usage(
        vram_mib=_larger(a.vram_mib, b.vram_mib),
        vram_on={d: max(a.vram_on.get(d, 0), b.vram_on.get(d, 0)) for d in {**a.vram_on, **b.vram_on}},
        rss_mib=_larger(a.rss_mib, b.rss_mib),
        scratch_bytes=_larger(a.scratch_bytes, b.scratch_bytes),
        cpu_s=_larger(a.cpu_s, b.cpu_s),
        tokens=_larger(a.tokens, b.tokens),
        spend={key: max(a.spend.get(key, 0.0), b.spend.get(key, 0.0)) for key in {**a.spend, **b.spend}},
    )


def with_calls(usage: Usage, calls: Sequence[Call]) -> Usage:
    """With the tokens and the money that calls of APIs took."""
    tokens = [call.tokens for call in calls if call.tokens is not None]
    spend: dict[str, float] = {}
    for call in calls:
        if call.usd is not None:
            spend[call.key] = spend.get(call.key, 0.0) + call.usd
    return (
        msgspec.structs.replace(usage, tokens=sum(tokens) if tokens else None, spend=spend)
        if calls
        else usage
    )


def _larger(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def folder_bytes(folder: str) -> int:
    """What the files below really occupy; files that vanish meanwhile do not count."""
    total = 0
    if not os.path.isdir(folder):  # noqa: PTH112  most attempts of short jobs have none
        return total
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(f"{place}/{name}").st_blocks * 512
            except OSError:
                continue
    return total
