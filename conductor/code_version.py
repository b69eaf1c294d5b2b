"""Which code made a receipt: the package's version and a short hash of the task module's source."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = "conductor-jobs"


def code_version(module: str) -> str:
    """«0.1.0+3f9a2c71»."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return _package_version()
    file = Path(spec.origin)
    try:
        return f"{_package_version()}+{_short_hash(file, file.stat().st_mtime_ns)}"
    except OSError:
        return _package_version()


@lru_cache(maxsize=1)
def _package_version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "0"  # Run from a folder that was never installed.


@lru_cache(maxsize=256)
def _short_hash(file: Path, stamp: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8]
