"""files.publish: copy a finished file to its place in another root (a NAS), checked and atomic."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from conductor.base.errors import BadInput, JobError, NoSpace, PublishFailed
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, read_of, shown, write_of

CHUNK = 4 << 20


class PublishArgs(Args, frozen=True, kw_only=True):
    #: Which read to copy; default: the first.
    source: str | None = None


@task("files.publish", lane="io", needs=Needs(ram_mib=64), timeout_s=3600 * 6, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read). Copies it to the first write. Result: {"sha256", "bytes"}.

    The copy is read back and must have the checksum of what was read: a NAS has a mind of its own.
    """
    given = parse(args, PublishArgs)
    path = read_of(ctx, given.source, 0)
    source, name = ctx.input(path), shown(path)
    try:
        with ctx.read(path) as file, ctx.create(write_of(ctx)) as target:
            sha256, size = copied(file, target, ctx, name)
            if checksum(target, ctx, name) != sha256:
                raise PublishFailed(f"{name}: the copy reads back differently from what was written")
    except OSError as e:
        raise understood(e, source, name) from e
    return {"sha256": sha256, "bytes": size}


def copied(file: BinaryIO, out: BinaryIO, ctx: JobContext, name: str) -> tuple[str, int]:
    """Copy and fsync; (sha256, bytes) of what was read."""
    digest, done = hashlib.sha256(), 0
    size = max(1, os.fstat(file.fileno()).st_size)
    while chunk := file.read(CHUNK):
        leave_if_told(ctx)
        digest.update(chunk)
        out.write(chunk)
        done += len(chunk)
        ctx.progress(0.5 * done / size, f"copying {name}")
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest(), done


def checksum(file: BinaryIO, ctx: JobContext, name: str) -> str:
    """Of the file from its beginning."""
    digest, done = hashlib.sha256(), 0
    file.seek(0)
    size = max(1, os.fstat(file.fileno()).st_size)
    while chunk := file.read(CHUNK):
        leave_if_told(ctx)
        digest.update(chunk)
        done += len(chunk)
        ctx.progress(0.5 + 0.5 * done / size, f"checking {name}")
    return digest.hexdigest()


def understood(e: OSError, source: Path, name: str) -> JobError:
    """Which side failed, and why: the source's fault is never retried, the target's is."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"no room left in the target folder for {name}")
    if not source.exists():
        return BadInput(f"{name} vanished before it was copied")
    if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and os.access(source, os.R_OK):
        return PublishFailed(f"the target folder of {name} cannot be written to: {e.strerror}")
    return PublishFailed(f"{name} could not be copied: {e.strerror}")
