"""Which number a device has: «gpu1» is one card by its UUID, whatever order the driver lists it in.

NVML numbers by bus, and the order changes with a reset, a driver's reload or a card that comes or goes. A
device keeps the number under which it was first seen on this node, and no other ever gets it: queues,
reservations, pauses and quarantines name the card, not the place in a list. The node writes the numbers down;
its workers read them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
from loguru import logger

from conductor.base.files.safe_open import make_own

#: How the UUID of a part of a card begins.
SLICE = "MIG-"


def path_of(state_dir: Path, node: str) -> Path:
    """Several hosts may share the folder."""
    return state_dir / f"devices-{node}.json"


class Slots:
    """The numbers that one node has given. Where the file cannot be written they hold for as long as the
    node lives.
    """

    def __init__(self, file: Path, *, is_writer: bool) -> None:
        self._file = file
        self._is_writer = is_writer
        self._known: dict[str, int] = {}
        self._stamp = 0

    def numbers(self, uuids: Sequence[str]) -> list[int]:
        """Of the devices as the driver lists them now; empty: it does not say which it is."""
        self._read()
        known, found = numbered(self._known, uuids)
        if self._is_writer and known != self._known:
            self._known = known
            self._write()
        return found

    def absent(self, uuids: Collection[str]) -> list[int]:
        """The numbers of cards that were here before and are not listed now. Slices come and go."""
        self._read()
        return sorted(
            number for uuid, number in self._known.items() if uuid not in uuids and not uuid.startswith(SLICE)
        )

    def _read(self) -> None:
        try:
            stamp = self._file.stat().st_mtime_ns
            if stamp != self._stamp:
                self._known |= msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
                self._stamp = stamp
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as e:
            logger.warning("{} cannot be read ({}): devices are numbered anew", self._file, e)

    def _write(self) -> None:
        draft = self._file.with_suffix(f".{os.getpid()}.tmp")
        try:
            make_own(self._file.parent)
            draft.write_bytes(msgspec.json.encode(self._known))
            draft.replace(self._file)
        except OSError as e:
            logger.warning(
                "{} cannot be written ({}): after a restart devices may be numbered otherwise", self._file, e
            )


def numbered(known: Mapping[str, int], uuids: Sequence[str]) -> tuple[dict[str, int], list[int]]:
    """All that are known now, and the number of each of `uuids`. A new one gets its place in the list, or the
    next that is free. One that does not say which it is can only be one of those that are not listed."""
    all_known = dict(known)
    for place, uuid in enumerate(uuids):
        if uuid and uuid not in all_known:
            taken = set(all_known.values())
            all_known[uuid] = (
                place if place not in taken else next(n for n in range(len(taken) + 1) if n not in taken)
            )
    missing = sorted(number for uuid, number in all_known.items() if uuid not in uuids)
    found: list[int] = []
    for place, uuid in enumerate(uuids):
        if uuid:
            found.append(all_known[uuid])
            continue
        taken = {*found, *all_known.values()}
        number = (
            place if place in missing or place not in taken else missing[0] if missing else max(taken) + 1
        )
        missing = [other for other in missing if other != number]
        found.append(number)
    return all_known, found
