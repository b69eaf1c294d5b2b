"""Paths of a manifest, confined: `root:relative` below a declared root, absolute ones below `inputs`, to read
only.

Confinement is by component: `..`, NUL and links that lead out are refused; any other byte may stand in a
name.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from conductor.base.errors import BadInput, PublishFailed
from conductor.base.files import private_paths
from conductor.base.files.safe_open import place_of

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: Below every root: what running attempts write, moved to its final name when it is whole. No job may name
#: it.
STAGING = ".tmp"
#: In an attempt's folder below it: the outputs there are whole, and wait to be put in place.
KEPT = "kept.json"
#: Below STAGING: what stood at an output's name and counts no more, out of the way and not lost.
ASIDE = "aside"
#: Below STAGING: what jobs keep from one attempt to the next.
CHECKPOINTS = "checkpoints"

_ROOTED = re.compile(r"([a-z][a-z0-9_]*):(.+)", re.DOTALL)


def split(path: str) -> tuple[str, str]:
    """`scratch:a/b.mp4` → ("scratch", "a/b.mp4"); an absolute path → ("", path). Raises `BadInput`."""
    if path.startswith("/"):
        _components(path, path[1:])
        return "", path
    match = _ROOTED.fullmatch(path)
    if match is None:
        raise BadInput(f"path {path!r}: write it as root:relative/path, or as an absolute path to read")
    root, relative = match.groups()
    if relative.startswith("/"):
        raise BadInput(f"path {path!r}: what follows {root}: must be relative")
    _components(path, relative)
    return root, relative


def resolve(layout: Layout, path: str, for_writing: bool) -> Path:
    """The file's place on this host. It need not exist. Raises `BadInput` when it is not below a declared
    folder.

    To write, no component may be a symbolic link; to read, a link must stay below the root it lies in.
    """
    root, relative = split(path)
    if root:
        base = root_folder(layout, root)
        if relative.split("/")[0] == STAGING:
            raise BadInput(f"path {path!r}: {STAGING} is Conductor's own")
        found = _confined(base, relative, path, for_writing)
        _refuse_private(path, private_paths.why_not_of_root(layout, base, found, for_writing))
        return found
    if for_writing:
        raise BadInput(f"path {path!r}: outputs are named root:relative, absolute paths are for reading only")
    return _below_inputs(layout, path)


def output_place(layout: Layout, path: str) -> Path:
    """Where an output is to appear. Raises as `resolve` to write, but for the name itself: whatever stands
    there, it is never opened or followed, and publishing says whose it is."""
    root, relative = split(path)
    folder, _, name = relative.rpartition("/")
    if not root or relative == STAGING:
        return resolve(layout, path, for_writing=True)
    base = root_folder(layout, root)
    place = (resolve(layout, f"{root}:{folder}", for_writing=True) if folder else base) / name
    _refuse_private(path, private_paths.why_not_of_root(layout, base, place, for_writing=True))
    return place


def open_to_read(layout: Layout, path: str) -> BinaryIO:
    """The file behind `path`, open. Looked at again once it is open: a link swapped in meanwhile is refused.

    Raises `BadInput` when it is not there, no regular file, or lies elsewhere than `resolve` allows.
    """
    file = resolve(layout, path, for_writing=False)
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"input {path!r} is not there") from None
    stream = os.fdopen(fd, "rb")
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadInput(f"input {path!r} is not a regular file")
        really = place_of(fd)
        if really is not None and not any(_is_below(Path(really), base) for base in _bases(layout, path)):
            raise BadInput(f"path {path!r}: it leads out of the folders that jobs may read")
        if really is not None and really != str(file):
            _refuse_private(path, _why_private(layout, path, Path(really)))
    except BaseException:
        stream.close()
        raise
    return stream


def _bases(layout: Layout, path: str) -> tuple[Path, ...]:
    root, _ = split(path)
    return (root_folder(layout, root),) if root else layout.inputs


def _why_private(layout: Layout, path: str, file: Path) -> str | None:
    root, _ = split(path)
    if root:
        return private_paths.why_not_of_root(layout, root_folder(layout, root), file, for_writing=False)
    return private_paths.why_not_read(layout, file)


def root_folder(layout: Layout, root: str) -> Path:
    declared = layout.roots.get(root)
    if declared is None:
        known = ", ".join(sorted(layout.roots))
        raise BadInput(f"no root is named {root!r} here; conductor.toml declares: {known}")
    return declared.path


def check_mounted(layout: Layout, root: str) -> None:
    """An unmounted NAS is an empty folder on the system disk: raises `PublishFailed` when the marker is
    missing.
    """
    declared = layout.roots.get(root)
    if declared is not None and declared.marker and not (declared.path / declared.marker).exists():
        raise PublishFailed(f"{root} is not mounted: {declared.marker} is missing in {declared.path}")


def _below_inputs(layout: Layout, path: str) -> Path:
    """As it is spelt, or where it really lies: a project or a share may be reached through a link (`/home`, a
    NAS).

    What is returned for the latter holds no link any more."""
    fault: BadInput | None = None
    real = os.path.realpath(path)
    for given in (path,) if real == path else (path, real):
        for base in _spellings(layout):
            if given == base or given.startswith(base + "/"):
                try:
                    found = _confined(Path(base or "/"), given[len(base) + 1 :], path, for_writing=False)
                except BadInput as e:
                    fault = fault or e
                    continue
                _refuse_private(path, _why_private(layout, path, found))
                return found
    folders = ", ".join(map(str, layout.inputs))
    raise fault or BadInput(
        f"path {path!r} is not below a folder that jobs may read ({folders}): add its folder to `inputs`"
    )


def _refuse_private(path: str, why: str | None) -> None:
    if why is not None:
        raise BadInput(
            f"path {path!r} {why}, unless a folder of its own is declared for it (`inputs`, or a root)"
        )


def _spellings(layout: Layout) -> Iterator[str]:
    """Each folder as declared and as it really is (/tmp is a link on macOS)."""
    for folder in layout.inputs:
        for base in (str(folder), os.path.realpath(folder)):
            yield base.rstrip("/")


def _components(path: str, relative: str) -> list[str]:
    if "\x00" in path:
        raise BadInput(f"path {path!r} holds a NUL")
    parts = relative.split("/")
    for part in parts:
        if part in ("", ".", ".."):
            raise BadInput(f"path {path!r}: an empty part, `.` and `..` are not allowed")
        if len(os.fsencode(part)) > 255:
            raise BadInput(f"path {path!r}: a name is longer than 255 bytes")
    return parts


def _confined(base: Path, relative: str, path: str, for_writing: bool) -> Path:
    parts = _components(path, relative) if relative else []
    for link in _links(base, parts):
        if for_writing:
            raise BadInput(
                f"path {path!r}: {link} is a symbolic link, and outputs are not written through links"
            )
        if not _is_below(link, base):
            raise BadInput(f"path {path!r}: the link {link} leads out of {base}")
    return base.joinpath(*parts)


def _is_below(link: Path, base: Path) -> bool:
    real, real_base = os.path.realpath(link), os.path.realpath(base)
    return real == real_base or real.startswith(real_base.rstrip("/") + "/")


def _links(base: Path, parts: list[str]) -> Iterator[Path]:
    """The symbolic links among the components that exist, outermost first."""
    here = base
    for part in parts:
        here = here / part
        try:
            mode = here.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISLNK(mode):
            yield here
