"""NVIDIA devices through NVML: `read` touches the library, `parse` is pure. No driver is a normal host.

What NVML will not tell (N/A in a container, under WSL, with unified memory) is None, never 0; how large a
device is may then be declared. A device that answers with an error stays in the list, quarantined with the
reason, so that nobody takes its silence for «there is none».
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.host.device_slots import Slots
from conductor.adapters.host.nvml_devices import Spot, Spots, degrees, forget, or_none, spots
from conductor.base.text import many
from conductor.model.report import Device

MIB = 1 << 20
#: What NVML puts where it does not know a process's memory (NVML_VALUE_NOT_AVAILABLE, unsigned 64 bit).
NOT_AVAILABLE = 2**64 - 1

NO_LIBRARY = "no NVIDIA driver on this host"
NOTHING: Mapping[str, int] = {}


class RawProcess(Struct, frozen=True, kw_only=True):
    pid: int
    used_bytes: int | None


class RawDevice(Struct, frozen=True, kw_only=True):
    """One device as NVML told it. Sizes in bytes; None: not told."""

    #: Its own number on this node (`device_slots`).
    index: int
    #: Where its card stands in NVML's list, which is CUDA's number by bus; None: as its number.
    place: int | None = None
    uuid: str = ""
    name: str = ""
    is_slice: bool = False
    total_bytes: int | None = None
    used_bytes: int | None = None
    #: The driver does not tell the total: it is what conductor.toml says.
    is_declared: bool = False
    #: Who holds memory on it, computing or drawing.
    processes: tuple[RawProcess, ...] = ()
    #: NVML's error for this device, or None.
    error: str | None = None


class RawGpus(Struct, frozen=True, kw_only=True):
    devices: tuple[RawDevice, ...] = ()
    #: UUIDs of cards that are divided: their slices are among the devices.
    divided: tuple[str, ...] = ()
    #: Of these, the names of those that have no slice: nothing runs there.
    unsliced: tuple[str, ...] = ()
    #: Keys of devices that this node had before and that are not listed now.
    absent: tuple[str, ...] = ()
    #: Why there is no list at all, or None.
    error: str | None = None
    #: The library itself is missing: not a fault, this host has no NVIDIA device.
    is_absent: bool = False


def read(only: Collection[str] | None = None) -> RawGpus:
    """All that NVML says at this moment. Never raises; may block as long as the driver does.

    `only`: keys of the devices to look at; each costs the driver a listing of its processes."""
    import pynvml

    try:
        listed = spots()
    except pynvml.NVMLError as e:
        forget()
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        return RawGpus(error=str(e), is_absent=_code(e) in absent)
    wanted = [(number, spot) for number, spot in _numbered(listed) if only is None or f"gpu{number}" in only]
    devices = (_read_device(number, spot) for number, spot in wanted)
    return RawGpus(
        devices=tuple(sorted(devices, key=lambda device: device.index)),
        divided=listed.divided,
        unsliced=listed.unsliced,
        absent=_absent(listed),
    )


def know(slots: Slots | None, declared_mib: Mapping[str, int] = NOTHING) -> None:
    """From now on devices have the numbers that are kept there, in this process; None: as NVML lists them.

    `declared_mib`: device key → what conductor.toml says of its size."""
    global _slots, _declared_mib
    _slots, _declared_mib = slots, declared_mib


def by_uuid(raw: RawGpus, visible: str) -> str:
    """CUDA_VISIBLE_DEVICES with the devices' UUIDs in place of their numbers, which may come to mean
    others.
    """
    uuids: dict[str, list[str]] = {}
    for device in raw.devices:
        if device.uuid:
            uuids.setdefault(str(_place(device)), []).append(device.uuid)
    return ",".join(uuid for word in visible.split(",") for uuid in uuids.get(word.strip(), [word.strip()]))


def parse(raw: RawGpus, visible: str | None = None) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices and the notes of a reading. `visible`: CUDA_VISIBLE_DEVICES of the node; None shows all."""
    if raw.is_absent:
        return (), (NO_LIBRARY,)
    if raw.error is not None:
        return (), (f"NVML does not answer: {raw.error}",)
    shown = [device for device in raw.devices if _is_visible(device, visible)]
    hidden = len(raw.devices) - len(shown)
    notes = [f"CUDA_VISIBLE_DEVICES hides {hidden} of {len(raw.devices)} devices"] if hidden else []
    if raw.absent:
        known, gone = len(raw.devices) + len(raw.absent), f"not there: {', '.join(raw.absent)}"
        notes.append(
            f"{len(raw.absent)} of {many(known, 'device')} that this host had are {gone} (taken out "
            "for good: with the node down, delete its devices-NODE.json in the state folder)"
        )
    notes += [f"{name} is divided (MIG) and has no slices: nothing runs there" for name in raw.unsliced]
    return tuple(_device(device) for device in shown), tuple(notes)


def held_by(pids: Collection[int]) -> dict[str, int] | None:
    """Device key → MiB that these processes hold there; None where NVML does not say. Never raises.

    None too where it lists none of them: in a container it may know them by other pids, and 0 would be a lie.
    """
    import pynvml

    try:
        found = _numbered(spots())
    except pynvml.NVMLError:
        forget()
        return None
    return sums(
        {f"gpu{number}": _processes(spot.handle) for number, spot in found if spot.error is None}, pids
    )


def free_mib() -> dict[str, int]:
    """Device key → MiB that nobody holds; devices whose use is not told are left out."""
    return {
        f"gpu{device.index}": (device.total_bytes - device.used_bytes) // MIB
        for device in read().devices
        if device.total_bytes is not None and device.used_bytes is not None
    }


def uuids() -> dict[str, str] | None:
    """Device key → what CUDA knows the device by, of those that are there now. None where NVML does not
    answer.
    """
    import pynvml

    try:
        return {f"gpu{number}": spot.uuid for number, spot in _numbered(spots()) if spot.uuid}
    except pynvml.NVMLError:
        forget()
        return None


def temperatures() -> dict[str, int | None]:
    """Device key → °C now; None: it does not tell, or is in error. Empty where there is no list. Never
    raises.
    """
    import pynvml

    try:
        return {f"gpu{number}": degrees(spot) for number, spot in _numbered(spots())}
    except pynvml.NVMLError:
        forget()
        return {}


# ── NVML ──────────────────────────────────────────────────────────────────────────────────────────────────

_slots: Slots | None = None
_declared_mib: Mapping[str, int] = NOTHING


def _numbered(listed: Spots) -> list[tuple[int, Spot]]:
    """Each with its own number on this node."""
    found = [spot.uuid for spot in listed.spots]
    return list(
        zip(range(len(found)) if _slots is None else _slots.numbers(found), listed.spots, strict=True)
    )


def _absent(listed: Spots) -> tuple[str, ...]:
    if _slots is None:
        return ()
    return tuple(f"gpu{n}" for n in _slots.absent({*(spot.uuid for spot in listed.spots), *listed.divided}))


def _code(error: Exception) -> int:
    return int(getattr(error, "value", -1))


def _read_device(index: int, spot: Spot) -> RawDevice:
    import pynvml

    plain = RawDevice(index=index, place=spot.place, uuid=spot.uuid, name=spot.name, is_slice=spot.is_slice)
    if spot.error is not None:
        return replace(plain, error=spot.error)
    total: int | None = None
    used: int | None = None
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(spot.handle)
        total, used = int(memory.total), int(memory.used)
    except pynvml.NVMLError as e:
        if _code(e) != pynvml.NVML_ERROR_NOT_SUPPORTED:
            return replace(plain, error=str(e))
    told = replace(plain, total_bytes=total, used_bytes=used, processes=_processes(spot.handle))
    return _as_declared(told, _declared_mib.get(f"gpu{index}"))


def _processes(handle: Any) -> tuple[RawProcess, ...]:
    import pynvml

    found: dict[int, int | None] = {}
    for listing in (
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses,
    ):
        # A process that computes and draws is in both lists with the same figure.
        for process in or_none(listing, handle) or ():
            used = process.usedGpuMemory
            found[int(process.pid)] = None if used is None or used == NOT_AVAILABLE else int(used)
    return tuple(RawProcess(pid=pid, used_bytes=used) for pid, used in found.items())


# ── pure ──────────────────────────────────────────────────────────────────────────────────────────────────


def _as_declared(raw: RawDevice, mib: int | None) -> RawDevice:
    """With the size that conductor.toml names where the driver tells none. In use is then at least what the
    processes hold that it lists, where it tells that."""
    if raw.total_bytes is not None or mib is None:
        return raw
    listed = [process.used_bytes for process in raw.processes]
    used = None if not listed or None in listed else sum(filter(None, listed))
    return replace(raw, total_bytes=mib * MIB, used_bytes=used, is_declared=True)


def sums(listed: Mapping[str, Collection[RawProcess]], pids: Collection[int]) -> dict[str, int] | None:
    """MiB per device, rounded up; None where one of them is of unknown size, or none is listed at all."""
    mine = {key: [p.used_bytes for p in found if p.pid in pids] for key, found in listed.items()}
    if not any(mine.values()) or any(used is None for each in mine.values() for used in each):
        return None
    return {
        key: -(-sum(used for used in each if used is not None) // MIB) for key, each in mine.items() if each
    }


def _device(raw: RawDevice) -> Device:
    error = raw.error
    if error is None and not raw.total_bytes:
        error = unsized_words(f"gpu{raw.index}")
    return Device(
        index=raw.index,
        uuid=raw.uuid,
        name=raw.name,
        is_slice=raw.is_slice,
        is_declared=raw.is_declared,
        vram_total_mib=(raw.total_bytes or 0) // MIB,
        # Rounded up: half a MiB in use is not free.
        vram_used_mib=None if raw.used_bytes is None else -(-raw.used_bytes // MIB),
        quarantined=error,
    )


def unsized_words(key: str) -> str:
    return (
        "the driver does not tell how much memory it has: say it in conductor.toml, "
        f"devices.{key}.vram_mib = …"
    )


def _is_visible(device: RawDevice, visible: str | None) -> bool:
    if visible is None:
        return True
    words = [word.strip() for word in visible.split(",") if word.strip()]
    return any(
        word == str(_place(device)) or (device.uuid and device.uuid.startswith(word)) for word in words
    )


def _place(device: RawDevice) -> int:
    return device.index if device.place is None else device.place
