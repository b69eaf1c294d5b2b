"""Models that cannot be shipped: `[models.NAME]` says where one lies and what it has to be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.fingerprint import state_of
from conductor.base.files.layout import CodeSettings


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """One of `[models.NAME]`, looked at: hand `inputs` to the job that reads it."""

    #: The file or the folder.
    path: Path
    kind: str | None
    #: Each of its files → what it is by content.
    inputs: Mapping[str, str]
    sha256: str


def named_model(name: str, settings: CodeSettings) -> NamedModel:
    """Read once; known by its size and time from then on. Raises `ConfigError` where none has that name,
    where nothing lies there, or where what lies there is another."""
    said = settings.models.get(name)
    if said is None:
        known = ", ".join(sorted(settings.models)) or "none"
        raise ConfigError(
            f'no model is named {name!r} (there are: {known}): add [models.{name}] path = "…" to '
            "conductor.toml"
        )
    try:
        found = hashed(said.path, HashCache(settings.state_dir))
    except UsageError as e:
        raise ConfigError(f"models.{name}: {e}") from None
    combined = combined_sha256(said.path, found)
    if said.sha256 not in (None, combined):
        raise ConfigError(
            f"models.{name}: {said.path} is not what it has to be: its sha256 is {combined}, and "
            f"conductor.toml says {said.sha256}; put the right one there, or correct conductor.toml "
            "(`conductor models`)"
        )
    inputs = {str(path): f"sha256-{digest}" for path, digest in found.items()}
    return NamedModel(path=said.path, kind=said.kind, inputs=inputs, sha256=combined)


def hashed(path: Path, cache: HashCache) -> dict[Path, str]:
    """The file, or each file below the folder, sorted by name → its sha256. Raises `UsageError`."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path} is an empty folder")
    return {file: cache.sha256(file, state_of(file)) for file in files}


def combined_sha256(path: Path, found: Mapping[Path, str]) -> str:
    """Of a folder: of what `sha256sum` would print for its files, named from there and sorted."""
    if not path.is_dir():
        return found[path]
    lines = sorted((file.relative_to(path).as_posix(), digest) for file, digest in found.items())
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()
