"""Output that is computed and only could not be put in place: kept, so that the next attempt just publishes it.

Beside the staged files lies `kept.json`: what the body returned, and what the files were. It is written where the
outputs are staged and on the scratch disk, for the root that is gone cannot be written to just now.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from loguru import logger

from conductor import paths
from conductor.errors import PublishFailed
from conductor.model.receipt import OutputFact, Usage, number_of
from conductor.model.spec import JobSpec, Value
from conductor.paths import KEPT
from workers import publish
from workers.context import attempt_folder, check_mounted, staged

if TYPE_CHECKING:
    from conductor.settings import Settings


class Kept(Value, frozen=True, kw_only=True):
    """What a body computed."""

    #: ATTEMPT.TOKEN
    body: str
    result: dict[str, Any] = {}
    usage: Usage = Usage()
    #: Output path → size and time of the last change of its staged file; empty where its root was gone already.
    files: dict[str, str] = {}

    @property
    def number(self) -> int:
        """Of its attempt."""
        return number_of(self.body)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Kept).decode


def computed(settings: Settings, spec: JobSpec, body: str, result: dict[str, Any], usage: Usage) -> Kept:
    """What this body has just computed. Looked at before it is published: afterwards the root may be gone."""
    files = {path: _mark(file) or "" for path, file in _staged(settings, spec, body)}
    return Kept(body=body, result=result, usage=usage, files=files)


def keep(settings: Settings, spec: JobSpec, kept: Kept) -> bool:
    """Note beside the staged files that they are whole. False when nowhere could be written: then it is not kept."""
    note = _encode(kept)
    written = [_write(folder, note) for folder in publish.folders(settings, spec, kept.body)]
    return any(written)


def find(settings: Settings, spec: JobSpec, below: int) -> Kept | None:
    """The latest earlier attempt whose output is all there, or lies on a root that is not there at the moment."""
    if below == 1 or not spec.writes:
        return None
    notes = [note for folder in _folders(settings, spec) if (note := _read(folder / KEPT)) and note.number < below]
    whole = [note for note in notes if _is_whole(settings, spec, note)]
    return max(whole, key=lambda note: note.number, default=None)


def put_in_place(settings: Settings, spec: JobSpec, kept: Kept) -> tuple[OutputFact, ...]:
    """Publish what that attempt computed. Raises as `publish.publish`; `PublishFailed` while its root is not there."""
    for path in kept.files:
        if fault := _absence(settings, path):
            raise PublishFailed(fault)
    return publish.publish(settings, spec, kept.body)


def is_kept(settings: Settings, spec: JobSpec, body: str) -> bool:
    return any((folder / KEPT).exists() for folder in publish.folders(settings, spec, body))


def purge(settings: Settings, spec: JobSpec, is_all: bool) -> None:
    """The job is dead: remove what its attempts left, but (unless `is_all`) not what is only to be published."""
    left = publish.bodies(settings, spec)
    publish.clean(settings, spec, (body for body in left if is_all or not is_kept(settings, spec, body)))


def clean_before(settings: Settings, spec: JobSpec, attempt: int, earlier: Kept | None = None) -> None:
    """Remove what attempts before this one have left; but `earlier`."""
    if attempt == 1:
        return
    left = publish.bodies(settings, spec) - ({earlier.body} if earlier else set())
    publish.clean(settings, spec, (body for body in left if number_of(body) < attempt))


def _staged(settings: Settings, spec: JobSpec, body: str) -> Iterator[tuple[str, Path]]:
    for output in spec.writes:
        root, relative = paths.split(output.path)
        yield output.path, staged(attempt_folder(settings, root, spec.id, body), relative)


def _is_whole(settings: Settings, spec: JobSpec, kept: Kept) -> bool:
    if kept.files.keys() != {output.path for output in spec.writes}:
        return False
    found = {path: _mark(file) for path, file in _staged(settings, spec, kept.body)}
    return all(
        mark == kept.files[path] or (mark and not kept.files[path]) or (not mark and _absence(settings, path))
        for path, mark in found.items()
    )


def _absence(settings: Settings, path: str) -> str:
    """Why the root of an output cannot be looked at just now; empty when it can."""
    root = paths.split(path)[0]
    try:
        check_mounted(settings, root)
    except PublishFailed as e:
        return str(e)
    folder = paths.root_folder(settings, root)
    return "" if folder.is_dir() else f"{root} is not there: {folder} is no folder"


def _mark(file: Path) -> str | None:
    try:
        facts = file.lstat()
    except OSError:
        return None
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _folders(settings: Settings, spec: JobSpec) -> Iterator[Path]:
    """This job's folders, of all its bodies, on all its roots."""
    for body in publish.bodies(settings, spec):
        yield from publish.folders(settings, spec, body)


def _write(folder: Path, note: bytes) -> bool:
    draft = folder / f".{KEPT}"
    try:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        draft.write_bytes(note)
        draft.replace(folder / KEPT)
    except OSError as e:
        logger.debug("Not noted in {}: {}", folder, e)
        return False
    return True


def _read(file: Path) -> Kept | None:
    try:
        return _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
