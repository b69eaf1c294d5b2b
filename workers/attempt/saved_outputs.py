"""What a body computed, noted beside its staged files: the next attempt just publishes it.

`kept.json` holds what the body returned and what the files are. It is there before the first file gets its
name, so that a publication that was broken off is ended by whoever comes next, with the files and the result
of one body. Where nothing could be put in place it lies on the scratch disk too, for the root that is gone
cannot be written to just now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from loguru import logger

from conductor.adapters.files.receipt_log import receipts_of
from conductor.base.errors import BadInput, PublishFailed
from conductor.base.files import paths
from conductor.base.files import safe_open as folders_of
from conductor.base.files.paths import KEPT
from conductor.model.media import CountedMedia, MediaFact
from conductor.model.receipt import OutputFact, Usage, number_of
from conductor.model.review import ReviewAsked
from conductor.model.spec import JobSpec, Value
from workers.attempt import publish
from workers.task_api.context import attempt_folder, file_mark, staged

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout


class SavedResult(Value, frozen=True, kw_only=True):
    """What a body computed."""

    #: ATTEMPT.TOKEN
    body: str
    result: dict[str, Any] = {}
    review: ReviewAsked | None = None
    usage: Usage = Usage()
    #: Output path → size and time of the last change of its staged file; empty where its root was gone
    #: already.
    files: dict[str, str] = {}
    #: The same files as they were published, or were about to be.
    outputs: tuple[OutputFact, ...] = ()
    #: Output path → what was counted in it.
    media: dict[str, MediaFact] = {}

    @property
    def number(self) -> int:
        """Of its attempt."""
        return number_of(self.body)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SavedResult).decode


def computed(
    layout: Layout,
    spec: JobSpec,
    body: str,
    result: dict[str, Any],
    usage: Usage,
    review: ReviewAsked | None = None,
    media: Mapping[str, CountedMedia] = MappingProxyType({}),
) -> SavedResult:
    """What this body has just computed. Looked at before it is published: afterwards the root may be gone.

    `media`: what its child counted, of which is kept what nobody has written to since."""
    files = {path: file_mark(file) or "" for path, file in _staged(layout, spec, body)}
    return SavedResult(
        body=body,
        result=result,
        review=review,
        usage=usage,
        files=files,
        media={path: seen.fact for path, seen in media.items() if seen.mark and seen.mark == files.get(path)},
    )


def keep(layout: Layout, spec: JobSpec, kept: SavedResult) -> bool:
    """Note beside the staged files that they are whole. False when nowhere could be written: then it is
    not kept.
    """
    folders = publish.folders(layout, spec, kept.body)
    # Some may have their names already, as noted then.
    begun = next((note for folder in folders if (note := _read(folder / KEPT)) and note.outputs), kept)
    encoded = _encode(begun)
    return sum(_is_written(folder, encoded) for folder in folders) > 0


def find(layout: Layout, spec: JobSpec, below: int) -> SavedResult | None:
    """The latest earlier attempt whose output is all there, or lies on a root that is not there at the
    moment.
    """
    if below == 1 or not spec.writes:
        return None
    earlier = (note for note in notes(layout, spec) if note.number < below)
    return max(earlier, key=lambda note: note.number, default=None)


def notes(layout: Layout, spec: JobSpec) -> tuple[SavedResult, ...]:
    """What bodies of this job computed and is all there; but for those whose receipts were taken back."""
    found = {note.body: note for folder in _folders(layout, spec) if (note := _read(folder / KEPT))}
    whole = tuple(note for note in found.values() if _is_whole(layout, spec, note))
    if not whole:
        return ()
    void = {r.body for r in receipts_of(layout.receipts_dir, spec.id) if r.takes_back}
    return tuple(note for note in whole if note.body not in void)


def note(layout: Layout, spec: JobSpec, kept: SavedResult) -> None:
    """Say that these are about to be put in place. On disk when this returns. Raises `OSError`."""
    encoded = _encode(kept)
    for root in dict.fromkeys(paths.split(output.path)[0] for output in spec.writes):
        _write(attempt_folder(layout, root, spec.id, kept.body), encoded)


def with_stamps(layout: Layout, spec: JobSpec, kept: SavedResult) -> SavedResult:
    """As its staged files are now."""
    now = {
        path: file_mark(file) or kept.files.get(path, "") for path, file in _staged(layout, spec, kept.body)
    }
    return msgspec.structs.replace(kept, files=now)


def check_there(layout: Layout, kept: SavedResult) -> None:
    """Raises `PublishFailed` while a root of its outputs is not there."""
    for path in kept.files:
        if fault := _absence(layout, path):
            raise PublishFailed(fault)


def is_kept(layout: Layout, spec: JobSpec, body: str) -> bool:
    return any((folder / KEPT).exists() for folder in publish.folders(layout, spec, body))


def purge(layout: Layout, spec: JobSpec, is_all: bool) -> None:
    """The job is dead: remove what its attempts left, but (unless `is_all`) not what is only to be
    published.
    """
    left = publish.bodies(layout, spec)
    publish.clean(layout, spec, (body for body in left if is_all or not is_kept(layout, spec, body)))


def clean_before(layout: Layout, spec: JobSpec, attempt: int) -> None:
    """Remove what attempts before this one have left; but what is whole: a file of it may have its name
    already.
    """
    if attempt == 1:
        return
    left = frozenset(body for body in publish.bodies(layout, spec) if number_of(body) < attempt)
    if left:
        publish.clean(layout, spec, left - {note.body for note in notes(layout, spec)})


def _staged(layout: Layout, spec: JobSpec, body: str) -> Iterator[tuple[str, Path]]:
    for output in spec.writes:
        root, relative = paths.split(output.path)
        yield output.path, staged(attempt_folder(layout, root, spec.id, body), relative)


def _is_whole(layout: Layout, spec: JobSpec, kept: SavedResult) -> bool:
    if kept.files.keys() != {output.path for output in spec.writes}:
        return False
    found = {path: file_mark(file) for path, file in _staged(layout, spec, kept.body)}
    if kept.outputs:
        # Where there are no hard links, a file that has its name is staged no more.
        found |= {path: _mark_of_final(layout, path) for path, mark in found.items() if not mark}
    return all(
        mark == kept.files[path] or (mark and not kept.files[path]) or (not mark and _absence(layout, path))
        for path, mark in found.items()
    )


def _absence(layout: Layout, path: str) -> str:
    """Why the root of an output cannot be looked at just now; empty when it can."""
    root = paths.split(path)[0]
    try:
        paths.check_mounted(layout, root)
    except PublishFailed as e:
        return str(e)
    folder = paths.root_folder(layout, root)
    return "" if folder.is_dir() else f"{root} is not there: {folder} is no folder"


def _mark_of_final(layout: Layout, path: str) -> str | None:
    try:
        return file_mark(paths.output_place(layout, path))
    except BadInput:
        return None


def _folders(layout: Layout, spec: JobSpec) -> Iterator[Path]:
    """This job's folders, of all its bodies, on all its roots."""
    for body in publish.bodies(layout, spec):
        yield from publish.folders(layout, spec, body)


def _is_written(folder: Path, encoded: bytes) -> bool:
    try:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        _write(folder, encoded)
    except (OSError, BadInput) as e:
        logger.debug("Not noted in {}: {}", folder, e)
        return False
    return True


def _write(folder: Path, encoded: bytes) -> None:
    base, draft = folder.parent.parent, f".{KEPT}"
    with folders_of.below(base, folder.relative_to(base).parts) as fd:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o666, dir_fd=fd), "wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, KEPT, src_dir_fd=fd, dst_dir_fd=fd)


def _read(file: Path) -> SavedResult | None:
    try:
        return _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
