"""What no manifest reads or writes, unless the operator names it: hidden files, keys, what Conductor keeps
for itself, and the project's code. A wide folder (the project, a home) declares none of them; one of its own
does.

Asked of where a file really lies, by inode where it counts: a link, a bind mount or another case of its name
is no way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: Names that mean a key, a password or a list of them.
_KEYS = re.compile(
    r"""(?ix)
    .*\.env(\..*)? | env
    | .*\.(pem|key|p8|p12|pfx|jks|keystore|kdbx?|ppk|gpg|pgp|age|ovpn|acl|secrets?|htpasswd|netrc) | _netrc
    | id_(rsa|dsa|ecdsa|ed25519)(_sk)?(\..*)?
    | (client[_-])?(credentials?|secrets?|passwords?|passwd|tokens?)
      (\.(json|ya?ml|toml|ini|cfg|conf|txt|properties))?
    | service[_-]?account.*\.json
    """
)
#: The kernel's, in which a process's environment is a file like any other.
_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
_CODE = frozenset({".py", ".pyc", ".pyi", ".pth", ".so", ".pyd", ".zip", ".egg"})


def why_not_read(layout: Layout, file: Path) -> str | None:
    """Of a file that was named by its absolute path. None: a job may read it."""
    real = Path(os.path.realpath(file))
    if any(real == Path(os.path.realpath(folder)) for folder in layout.inputs):
        return None  # the file itself is named
    return _kept(layout, real) or _hidden(real, _innermost(layout, real))


def why_not_of_root(layout: Layout, base: Path, file: Path, for_writing: bool) -> str | None:
    """Of a file below a root, reached through no link that leads out. A folder of its own is the jobs' to
    use; one that holds the project, the user's home or what Conductor keeps is not in whole."""
    project = layout.project
    if not _is_wide(base, (project, *_own(layout))):
        return None
    real_base, real = Path(os.path.realpath(base)), Path(os.path.realpath(file.parent)) / file.name
    if for_writing and _is_code(project.resolve(), real):
        return "would be code of the project, and no job writes that"
    return _kept(layout, real) or _hidden(real, real_base)


@lru_cache(maxsize=256)
def _is_wide(base: Path, holds: tuple[Path, ...]) -> bool:
    """Asked for each output of a manifest, so once for each root."""
    real = Path(os.path.realpath(base))
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises where there is none
    places = [Path(os.path.realpath(place)) for place in (*holds, *([home] if home.is_absolute() else []))]
    return any(place.is_relative_to(real) for place in places) or bool(_ids((real,)) & _all_above(places))


def _all_above(places: list[Path]) -> set[tuple[int, int]]:
    return _ids(tuple({above for place in places for above in (place, *place.parents)}))


def _innermost(layout: Layout, real: Path) -> Path:
    return max((base for base in _named(layout) if real.is_relative_to(base)), key=_depth, default=Path("/"))


def _named(layout: Layout) -> Iterator[Path]:
    """The folders that the operator declares, as they really are."""
    for folder in (*layout.inputs, *(root.path for root in layout.roots.values())):
        yield Path(os.path.realpath(folder))


def _depth(folder: Path) -> int:
    return len(folder.parts)


def _hidden(real: Path, base: Path) -> str | None:
    parts = real.relative_to(base).parts if real.is_relative_to(base) else real.parts
    if hidden := next((part for part in parts if part.startswith(".")), None):
        return f"is hidden ({hidden!r} begins with a dot), and no job reads or writes that"
    if _KEYS.fullmatch(real.name):
        return "has the name of a file with keys or passwords, and no job reads or writes that"
    return None


def _kept(layout: Layout, real: Path) -> str | None:
    """In a folder of Conductor's own, and in no declared folder that lies within that one."""
    for place in (*_own(layout), *_KERNEL):
        if _is_in(real, place) and not any(
            real.is_relative_to(b) and _is_in(b, place) for b in _named(layout)
        ):
            return (
                f"is Conductor's own or the system's ({place}): it may hold passwords, and no job reads "
                "or writes it"
            )
    return None


def _is_in(real: Path, place: Path) -> bool:
    is_by_name = real.is_relative_to(os.path.realpath(place))
    return is_by_name or bool(_ids((place,)) & _ids((real, *real.parents)))


def _own(layout: Layout) -> tuple[Path, ...]:
    from conductor.base.settings.settings import CONFIG_NAME

    files = (layout.project / CONFIG_NAME, layout.project / f"{CONFIG_NAME}.restored")
    return *files, layout.state_dir, layout.receipts_dir, layout.logs_dir, layout.manifests_dir


def _is_code(project: Path, real: Path) -> bool:
    if not real.is_relative_to(project):
        return False
    parts = [part.casefold() for part in real.relative_to(project).parts]
    return parts[:1] in (["workflows"], ["conductor.toml"]) or real.suffix.casefold() in _CODE


def _ids(places: tuple[Path, ...]) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for place in places:
        try:
            facts = place.stat()
        except OSError:
            continue
        found.add((facts.st_dev, facts.st_ino))
    return found
