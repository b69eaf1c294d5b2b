"""A backup as it is read back: a file from elsewhere, of which nothing is believed. Its members are plain
files with names and sizes that `backup` would have given them, as many and as large as a project's record can
be.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from conductor.adapters.files import archives
from conductor.adapters.redis import project_mark
from conductor.base.errors import UsageError
from conductor.base.files.layout import Layout
from conductor.base.settings.settings import CONFIG_NAME
from conductor.record import kept_manifests, removal_notes
from conductor.record.journal import SUFFIX

#: A file for each worker, manifest and dispatch of some years.
MOST_FILES = 100_000
#: Ids and hashes do not compress: the record of a million like jobs is a tenth when it is packed.
MOST_TIMES = 200
#: So much may be in any file, however small.
ALWAYS_BYTES = 64 << 20
#: Of what stands before a member: its long name, its dates. Read whole into memory.
HEADER_BYTES = 64 << 10
CONFIG_BYTES = 1 << 20


class BoundedHeader(tarfile.TarInfo):
    """Refuses a header that is none of ours by its size, before it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> BoundedHeader:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) and not 0 <= found.size <= HEADER_BYTES:
            raise UsageError(f"not a backup of ours: a header of {found.size} bytes; nothing was restored")
        return found


def members(file: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """One after the other, never all of it in memory. Raises `UsageError` at the first that is too much."""
    files = total = 0
    try:
        most = max(ALWAYS_BYTES, MOST_TIMES * file.stat().st_size)
        with tarfile.open(file, mode="r|gz", tarinfo=BoundedHeader) as archive:
            for member in archive:
                files += 1
                total += member.size
                if files > MOST_FILES or total > most or member.size < 0:
                    raise UsageError(
                        f"{file} unpacks to more than a backup of its size can hold; nothing was restored"
                    )
                stream = None if member.issparse() else archive.extractfile(member)
                if stream is None:
                    raise UsageError(f"{file} is not a backup of ours: {member.name!r} is no plain file")
                yield member, stream
                archive.members = []  # it keeps them all otherwise  # pyright: ignore[reportAttributeAccessIssue]
    except (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError) as e:
        raise UsageError(f"{file} is not a whole backup: {e}") from None
    except OSError as e:
        raise UsageError(f"{file} cannot be read as a backup: {e.strerror or e}") from None


def place(layout: Layout, member: tarfile.TarInfo) -> Path:
    """Where a member goes. Raises `UsageError` for whatever `backup` would not have written."""
    parts = PurePosixPath(member.name).parts
    is_odd = (
        not member.isreg()
        or member.name.startswith("/")
        or ".." in parts
        or "\\" in member.name
        or "\0" in member.name
    )
    if member.name == CONFIG_NAME and not is_odd and member.size <= CONFIG_BYTES:
        return layout.project / CONFIG_NAME
    folders = {"manifests": layout.manifests_dir, "receipts": layout.receipts_dir, "project": layout.project}
    base = folders.get(parts[0]) if len(parts) > 1 else None
    if base is None or is_odd or not is_record(parts):
        raise UsageError(f"not a backup of ours: {member.name!r} has no place here; nothing was restored")
    target = base.joinpath(*parts[1:])
    # A folder on the way that is a link must not lead out.
    if not target.parent.resolve().is_relative_to(base.resolve()) or target.is_symlink():
        raise UsageError(f"{target} lies behind a link that leads out of {base}; nothing was restored")
    return target


def is_record(parts: tuple[str, ...]) -> bool:
    if parts[0] == "receipts":
        if len(parts) == 3 and parts[1] == archives.FOLDER:
            return parts[2].endswith(archives.PACKED)
        if len(parts) == 3:
            return parts[1] == kept_manifests.FOLDER and parts[2].endswith(kept_manifests.SUFFIX)
        is_mark = parts[1:] == (project_mark.FILE,)
        return is_mark or (len(parts) == 2 and parts[1].endswith((".jsonl", SUFFIX, removal_notes.SUFFIX)))
    # A manifest of the project, wherever it lies, and never what would be run or is hidden.
    return parts[-1].endswith(".jsonl") and not any(part.startswith(".") for part in parts)
