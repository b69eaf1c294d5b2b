"""The user's files that a plan works on: which of a folder, and what tells a changed one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import BadInput, ConfigError, UsageError
from conductor.base.files.fingerprint import InputsBy, fingerprint
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import resolve
from conductor.base.files.private_paths import why_not_read
from conductor.base.settings.settings import load


def input_files(
    folder: Path, extensions: Sequence[str], settings: CodeSettings, skipped: list[str]
) -> Iterator[Path]:
    """The regular files of a folder with one of these extensions, sorted by name. What cannot be named in a
    manifest (its name is not UTF-8), or what no job reads (keys), is left out and added to `skipped` in
    words.

    Raises `UsageError` when it is no folder, `ConfigError` when jobs may not read below it.
    """
    base = readable_folder(folder, settings)
    for path in sorted(base.iterdir()):
        if path.name.startswith(".") or path.suffix.lower()[1:] not in extensions or not path.is_file():
            continue
        try:
            str(path).encode()
        except UnicodeEncodeError:
            skipped.append(f"skipped {path.name!a}: its name is not UTF-8, and a manifest could not name it")
            continue
        if why := why_not_read(settings, path):
            skipped.append(f"skipped {path.name!a}: it {why}")
            continue
        yield path


def readable_folder(folder: Path, settings: CodeSettings) -> Path:
    """The folder as an absolute path that jobs may read."""
    base = folder.expanduser().absolute()
    if not base.is_dir():
        raise UsageError(f"{folder} is not a folder" if base.exists() else f"{folder} does not exist")
    real = base.resolve()
    if not any(real.is_relative_to(allowed.resolve()) for allowed in settings.inputs):
        raise ConfigError(
            f'{base} is not below a folder that jobs may read: add it to conductor.toml, inputs = ["{real}"]'
        )
    return real


#: Of the plan that is being made: its settings, and what its command line said of inputs.
plan_context: ContextVar[tuple[CodeSettings, InputsBy | None] | None] = ContextVar("planning", default=None)


def input_of(path: Path, by: InputsBy | None = None) -> dict[str, str]:
    """One input file as `job(inputs=…)` wants it. `by`: what its mark goes by; None: as the command line
    says, else conductor.toml (the root it lies in, or `inputs_by`).

    Raises `UsageError` where it cannot be read, `ConfigError` where jobs may not."""
    planning = plan_context.get()
    if planning is not None:
        _refuse_unreadable(path, planning[0])
    settings, said = planning or (_settings_of(Path.cwd(), os.environ.get("CONDUCTOR_PROJECT")), None)
    by = by or said or inputs_by(path, settings)
    return {str(path): fingerprint(path, by, HashCache(settings.state_dir).sha256)}


@lru_cache(maxsize=1)
def _settings_of(folder: Path, project: str | None) -> CodeSettings:
    """Of a script that plans by itself; read once, not for each of its files."""
    return load().for_code


def inputs_by(path: Path, settings: CodeSettings) -> InputsBy:
    """Of the innermost root that it lies in and that says so; else of all."""
    real = path.resolve()
    roots = [
        root
        for root in settings.roots.values()
        if root.inputs_by and real.is_relative_to(root.path.resolve())
    ]
    innermost = max(roots, key=lambda root: len(root.path.resolve().parts), default=None)
    return settings.inputs_by if innermost is None else innermost.inputs_by or settings.inputs_by


def _refuse_unreadable(path: Path, settings: CodeSettings) -> None:
    """Here rather than in a worker: a link that leads out is found by its job otherwise, which dies of it."""
    try:
        resolve(settings, str(path), for_writing=False)
    except BadInput as e:
        raise ConfigError(str(e)) from None
