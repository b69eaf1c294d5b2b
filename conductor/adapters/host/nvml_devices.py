"""Where something may run, as NVML lists it now: whole cards, and the slices of those that are divided (MIG).

A card that is divided is no place itself: CUDA does not run on it, only on its slices, each with a UUID,
memory and processes of its own. NVML is initialised here, once a process, and anew after an error: a driver
may be reloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Spot(NamedTuple):
    """One of them. `place`: of its card in NVML's list, which is CUDA's number by bus. Without a handle:
    why not.
    """

    place: int
    handle: Any = None
    uuid: str = ""
    name: str = ""
    is_slice: bool = False
    error: str | None = None


class Spots(NamedTuple):
    """`divided`: UUIDs of the cards that are; `unsliced`: names of those of them that have no slice."""

    spots: tuple[Spot, ...]
    divided: tuple[str, ...] = ()
    unsliced: tuple[str, ...] = ()


_is_initialised = False


def spots() -> Spots:
    """Raises NVMLError where there is no list at all; a card in error is in it, with its error."""
    import pynvml

    _init()
    found: list[Spot] = []
    divided: list[str] = []
    unsliced: list[str] = []
    for place in range(pynvml.nvmlDeviceGetCount()):
        card = _card(place)
        if card.error is not None or not _is_divided(card.handle):
            found.append(card)
            continue
        divided.append(card.uuid)
        slices = _slices(card)
        found += slices
        if not slices:
            unsliced.append(f"{card.name} ({card.uuid})")
    return Spots(tuple(found), tuple(divided), tuple(unsliced))


def forget() -> None:
    """After an error the next call starts anew: a driver that was reloaded is found again."""
    global _is_initialised
    if _is_initialised:
        import pynvml

        _is_initialised = False
        or_none(pynvml.nvmlShutdown)


def or_none(call: Callable[..., T], *args: Any) -> T | None:
    """None where NVML answers with an error: it does not say."""
    import pynvml

    try:
        return call(*args)
    except pynvml.NVMLError:
        return None


def degrees(spot: Spot) -> int | None:
    """°C; of a slice: of its card. None where the driver does not tell."""
    import pynvml

    if spot.error is not None:
        return None
    handle = (
        or_none(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, spot.handle)
        if spot.is_slice
        else spot.handle
    )
    # The first is in every driver so far, and is to go.
    for ask in (pynvml.nvmlDeviceGetTemperature, pynvml.nvmlDeviceGetTemperatureV):
        if (told := or_none(ask, handle, pynvml.NVML_TEMPERATURE_GPU)) is not None:
            return int(told)
    return None


def _init() -> None:
    global _is_initialised
    if not _is_initialised:
        import pynvml

        pynvml.nvmlInit()
        _is_initialised = True


def _card(place: int) -> Spot:
    import pynvml

    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(place)
        return Spot(place, handle, pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle))
    except pynvml.NVMLError as e:
        return Spot(place, error=str(e))


def _is_divided(handle: Any) -> bool:
    import pynvml

    # Most cards do not know the question.
    mode = or_none(pynvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _slices(card: Spot) -> list[Spot]:
    """Their indices have gaps: of a slice that was taken away the number stays free."""
    import pynvml

    found: list[Spot] = []
    for index in range(or_none(pynvml.nvmlDeviceGetMaxMigDeviceCount, card.handle) or 0):
        handle = or_none(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, card.handle, index)
        if handle is not None and (uuid := or_none(pynvml.nvmlDeviceGetUUID, handle)):
            name = or_none(pynvml.nvmlDeviceGetName, handle) or card.name
            found.append(Spot(card.place, handle, uuid, name, is_slice=True))
    return found
