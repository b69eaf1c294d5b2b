"""NVIDIA devices through NVML: `read` touches the library, `parse` is pure. No driver is a normal host.

What NVML will not tell (N/A in a container, under WSL) is None, never 0. A device that answers with an error stays
in the list, quarantined with the reason, so that nobody takes its silence for «there is none».
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from conductor.adapters.device_slots import Slots
from conductor.model.report import Device

MIB = 1 << 20
#: What NVML puts where it does not know a process's memory (NVML_VALUE_NOT_AVAILABLE, unsigned 64 bit).
NOT_AVAILABLE = 2**64 - 1

NO_LIBRARY = "no NVIDIA driver on this host"

T = TypeVar("T")


class RawProcess(Struct, frozen=True, kw_only=True):
    pid: int
    used_bytes: int | None


class RawDevice(Struct, frozen=True, kw_only=True):
    """One device as NVML told it. Sizes in bytes; None: not told."""

    #: Its own number on this node (`device_slots`).
    index: int
    #: Where it stands in NVML's list, which is CUDA's number by bus; None: as its number.
    place: int | None = None
    uuid: str = ""
    name: str = ""
    total_bytes: int | None = None
    used_bytes: int | None = None
    #: Who holds memory on it, computing or drawing.
    processes: tuple[RawProcess, ...] = ()
    #: NVML's error for this device, or None.
    error: str | None = None


class RawGpus(Struct, frozen=True, kw_only=True):
    devices: tuple[RawDevice, ...] = ()
    #: Why there is no list at all, or None.
    error: str | None = None
    #: The library itself is missing: not a fault, this host has no NVIDIA device.
    is_absent: bool = False


def read(only: Collection[str] | None = None) -> RawGpus:
    """All that NVML says at this moment. Never raises; may block as long as the driver does.

    `only`: keys of the devices to look at; each costs the driver a listing of its processes."""
    import pynvml

    try:
        _init()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as e:
        _forget()
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        return RawGpus(error=str(e), is_absent=_code(e) in absent)
    numbers = _numbers(count)
    wanted = [place for place in range(count) if only is None or f"gpu{numbers[place]}" in only]
    devices = (_read_device(numbers[place], place) for place in wanted)
    return RawGpus(devices=tuple(sorted(devices, key=lambda device: device.index)))


def keep_numbers(slots: Slots | None) -> None:
    """From now on devices have the numbers that are kept there, in this process; None: as NVML lists them."""
    global _slots
    _slots = slots


def by_uuid(raw: RawGpus, visible: str) -> str:
    """CUDA_VISIBLE_DEVICES with the devices' UUIDs in place of their numbers, which may come to mean others."""
    uuids = {str(_place(device)): device.uuid for device in raw.devices if device.uuid}
    return ",".join(uuids.get(word.strip(), word.strip()) for word in visible.split(","))


def parse(raw: RawGpus, visible: str | None = None) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices and the notes of a reading. `visible`: CUDA_VISIBLE_DEVICES of the node; None shows all."""
    if raw.is_absent:
        return (), (NO_LIBRARY,)
    if raw.error is not None:
        return (), (f"NVML does not answer: {raw.error}",)
    shown = [device for device in raw.devices if _is_visible(device, visible)]
    hidden = len(raw.devices) - len(shown)
    notes = (f"CUDA_VISIBLE_DEVICES hides {hidden} of {len(raw.devices)} devices",) if hidden else ()
    return tuple(_device(device) for device in shown), notes


def held_by(pids: Collection[int]) -> dict[str, int] | None:
    """Device key → MiB that these processes hold there; None where NVML does not say. Never raises.

    None too where it lists none of them: in a container it may know them by other pids, and 0 would be a lie.
    """
    import pynvml

    try:
        _init()
        numbers = _numbers(pynvml.nvmlDeviceGetCount())
        listed = {
            f"gpu{number}": _processes(pynvml.nvmlDeviceGetHandleByIndex(place)) for place, number in enumerate(numbers)
        }
    except pynvml.NVMLError:
        _forget()
        return None
    return sums(listed, pids)


def free_mib() -> dict[str, int]:
    """Device key → MiB that nobody holds; devices whose use is not told are left out."""
    return {
        f"gpu{device.index}": (device.total_bytes - device.used_bytes) // MIB
        for device in read().devices
        if device.total_bytes is not None and device.used_bytes is not None
    }


def uuids() -> dict[str, str]:
    """Device key → what CUDA knows the device by. Empty where NVML does not answer."""
    return {f"gpu{device.index}": device.uuid for device in read().devices if device.uuid}


# ── NVML ──────────────────────────────────────────────────────────────────────────────────────────────────

_is_initialised = False
_slots: Slots | None = None


def _numbers(count: int) -> list[int]:
    """Of each place in NVML's list: the number of the device that stands there now."""
    if _slots is None:
        return list(range(count))
    return _slots.numbers([_or_none(_uuid_at, place) or "" for place in range(count)])


def _uuid_at(place: int) -> str:
    import pynvml

    return pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(place))


def _init() -> None:
    global _is_initialised
    if not _is_initialised:
        import pynvml

        pynvml.nvmlInit()
        _is_initialised = True


def _forget() -> None:
    """After an error the next call starts anew: a driver that was reloaded is found again."""
    global _is_initialised
    if _is_initialised:
        import pynvml

        _is_initialised = False
        _or_none(pynvml.nvmlShutdown)


def _code(error: Exception) -> int:
    return int(getattr(error, "value", -1))


def _or_none(call: Callable[..., T], *args: Any) -> T | None:
    import pynvml

    try:
        return call(*args)
    except pynvml.NVMLError:
        return None


def _read_device(index: int, place: int) -> RawDevice:
    import pynvml

    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(place)
        name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    except pynvml.NVMLError as e:
        return RawDevice(index=index, place=place, error=str(e))
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError as e:
        is_unknown = _code(e) == pynvml.NVML_ERROR_NOT_SUPPORTED
        return RawDevice(index=index, place=place, uuid=uuid, name=name, error=None if is_unknown else str(e))
    return RawDevice(
        index=index,
        place=place,
        uuid=uuid,
        name=name,
        total_bytes=int(memory.total),
        used_bytes=int(memory.used),
        processes=_processes(handle),
    )


def _processes(handle: Any) -> tuple[RawProcess, ...]:
    import pynvml

    found: dict[int, int | None] = {}
    for listing in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        # A process that computes and draws is in both lists with the same figure.
        for process in _or_none(listing, handle) or ():
            used = process.usedGpuMemory
            found[int(process.pid)] = None if used is None or used == NOT_AVAILABLE else int(used)
    return tuple(RawProcess(pid=pid, used_bytes=used) for pid, used in found.items())


# ── pure ──────────────────────────────────────────────────────────────────────────────────────────────────


def sums(listed: Mapping[str, Collection[RawProcess]], pids: Collection[int]) -> dict[str, int] | None:
    """MiB per device, rounded up; None where one of them is of unknown size, or none is listed at all."""
    mine = {key: [p.used_bytes for p in found if p.pid in pids] for key, found in listed.items()}
    if not any(mine.values()) or any(used is None for each in mine.values() for used in each):
        return None
    return {key: -(-sum(used for used in each if used is not None) // MIB) for key, each in mine.items() if each}


def _device(raw: RawDevice) -> Device:
    error = raw.error
    if error is None and not raw.total_bytes:
        error = "its memory size is not reported"
    return Device(
        index=raw.index,
        uuid=raw.uuid,
        name=raw.name,
        vram_total_mib=(raw.total_bytes or 0) // MIB,
        # Rounded up: half a MiB in use is not free.
        vram_used_mib=None if raw.used_bytes is None else -(-raw.used_bytes // MIB),
        quarantined=error,
    )


def _is_visible(device: RawDevice, visible: str | None) -> bool:
    if visible is None:
        return True
    words = [word.strip() for word in visible.split(",") if word.strip()]
    return any(word == str(_place(device)) or (device.uuid and device.uuid.startswith(word)) for word in words)


def _place(device: RawDevice) -> int:
    return device.index if device.place is None else device.place
