"""Which code made a receipt: the package's version and a short hash of the task module's source."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = "conductor-jobs"


def code_version(module: str) -> str:
    """«0.1.0+3f9a2c71»."""
    file = _files.get(module)
    try:
        if file is None or (stamp := _stamp(file)) is None:
            spec = importlib.util.find_spec(module)
            if spec is None or spec.origin is None:
                return package_version()
            file = _files[module] = spec.origin
            stamp = os.stat(file).st_mtime_ns  # noqa: PTH116
        return f"{package_version()}+{_short_hash(file, stamp)}"
    except OSError:
        return package_version()


#: Module → where it was found: looked for again once it is not there any more.
_files: dict[str, str] = {}


def _stamp(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  asked before each job of a worker
    except OSError:
        return None


@lru_cache(maxsize=1)
def package_version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "0"  # Run from a folder that was never installed.


@lru_cache(maxsize=1)
def build() -> str:
    """«0.1.0+3f9a2c71»: the package's version and a hash of its own code as it lies here. Two hosts with the
    same one run the same Conductor, whatever the version says."""
    own = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(own.rglob("*")):
        if file.suffix in (".py", ".lua"):
            digest.update(file.relative_to(own).as_posix().encode() + b"\0" + file.read_bytes())
    return f"{package_version()}+{digest.hexdigest()[:8]}"


@lru_cache(maxsize=256)
def _short_hash(file: str, stamp: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]
