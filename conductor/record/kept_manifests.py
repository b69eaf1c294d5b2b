"""Every manifest that was dispatched, by its hash: a file of the same name may say something else tomorrow.

`receipts/manifests/SHA256.jsonl.gz`, beside the journal that names it; written whole and synced before the
first job of it goes in, and never changed. The hash is that of the lines, not of the compressed file.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

from conductor.base.errors import ConfigError, ManifestError
from conductor.base.files.safe_open import drafted, make_own, settle
from conductor.record.manifest import opened

FOLDER = "manifests"
SUFFIX = ".jsonl.gz"
#: Manifests are repetitive: the fastest level makes them a tenth, and a million lines cost a few seconds.
_LEVEL = 1
_CHUNK = 1 << 20


def place_of(receipts_dir: Path, sha256: str) -> Path:
    return receipts_dir / FOLDER / f"{sha256}{SUFFIX}"


def sha256_of(manifest: Path) -> str:
    """Of its lines. Raises `ManifestError`."""
    digest = hashlib.sha256()
    with opened(manifest) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def has(file: Path, sha256: str) -> bool:
    """Does it hold these very lines? Read whole: what a disk has damaged is not taken for what was
    dispatched.
    """
    try:
        return sha256_of(file) == sha256
    except ManifestError:
        return False


def keep(receipts_dir: Path, manifest: Path) -> str:
    """The hash of the manifest, which is kept when this returns. Once for each content.

    Raises `ManifestError`, and `ConfigError` where it cannot be written."""
    sha256 = sha256_of(manifest)
    if has(place_of(receipts_dir, sha256), sha256):
        return sha256
    try:
        return _copy(receipts_dir, manifest)
    except OSError as e:
        raise ConfigError(
            f"{receipts_dir / FOLDER} cannot be written ({e.strerror}), and what is dispatched is "
            "kept there; set "
            "receipts_dir in conductor.toml to a folder of yours"
        ) from None


def _copy(receipts_dir: Path, manifest: Path) -> str:
    folder = receipts_dir / FOLDER
    make_own(folder)
    with drafted(folder, ".draft-") as (stream, draft):
        # Hashed as it is copied: it may have changed since it was looked at.
        sha256 = _compress(manifest, stream)
        settle(stream)
        draft.replace(place_of(receipts_dir, sha256))
    _sync(folder)
    _sync(receipts_dir)
    return sha256


def _compress(manifest: Path, draft: object) -> str:
    digest = hashlib.sha256()
    # Without name and time in its head: the same lines give the same file.
    with (
        opened(manifest) as source,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=draft, mtime=0) as packed,  # type: ignore[arg-type]
    ):
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            packed.write(chunk)
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
