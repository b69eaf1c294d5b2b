"""Can its folders and roots be written, and is there room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from conductor.base.settings.sections import Root
from conductor.base.settings.settings import CONFIG_NAME
from conductor.base.text import size
from conductor.model.report import Volume
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok

#: Less room than this beyond the headroom is worth a word.
LITTLE_BYTES = 2 << 30


def own_folders(folders: Mapping[str, Path]) -> Iterator[DoctorFinding]:
    """`folders`: setting → folder."""
    for what, folder in folders.items():
        there = existing_part(folder)
        if fault := write_fault(there):
            yield bad(
                what,
                f"{folder} cannot be written: {fault}",
                f"set {what} in {CONFIG_NAME}, or its permissions",
            )
        else:
            yield ok(what, f"{folder}, {size(shutil.disk_usage(there).free)} free")


def existing_part(folder: Path) -> Path:
    """What there is of it: who only looks makes no folders."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)


def write_fault(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as e:
        return e.strerror or str(e)
    return None


def roots(declared: Mapping[str, Root]) -> Iterator[DoctorFinding]:
    for volume in volumes_of(declared):
        what, headroom = f"root {volume.root}", declared[volume.root].headroom_bytes
        if volume.fault or not volume.is_writable:
            fault = volume.fault or "not writable"
            words = fault if volume.path in fault else f"{volume.path}: {fault}"
            yield bad(what, words, f"mount it, make it writable, or change roots.{volume.root}.path")
        elif volume.free_bytes is None:
            yield less(what, f"{volume.path}: free space unknown")
        elif volume.free_bytes < headroom:
            words = f"{volume.path}: {size(volume.free_bytes)} free, below the headroom of {size(headroom)}"
            yield bad(what, words, f"make room, or lower roots.{volume.root}.headroom_bytes")
        elif volume.free_bytes < headroom + LITTLE_BYTES:
            yield less(what, f"{volume.path}: only {size(volume.free_bytes - headroom)} to hand out")
        else:
            yield ok(what, f"{volume.path}, {size(volume.free_bytes)} free")


def volumes_of(roots: Mapping[str, Root]) -> tuple[Volume, ...]:
    """As they are; of one that is made with its first file, that on which it will be."""
    found = probed(roots)
    absent = {v.root for v in found if v.fault == f"{v.path} is not there" and roots[v.root].marker is None}
    instead = {
        name: msgspec.structs.replace(roots[name], path=existing_part(roots[name].path)) for name in absent
    }
    later = {volume.root: volume for volume in probed(instead)}
    return tuple(replace(later[v.root], path=v.path) if v.root in absent else v for v in found)


def probed(roots: Mapping[str, Root]) -> tuple[Volume, ...]:
    from conductor.adapters.host.disk_probe import DiskProbe

    probe = DiskProbe(roots)
    try:
        return probe.read()
    finally:
        probe.close()
