"""files.transfer: bring files of a chain to another node, by way of a root that both have.

One job on the node that has the files copies them to that root, with their checksums beside them; one on the
node that is to have them copies them from there, and holds them against these checksums. The conductor plans
both (`conductor.dispatch.file_transfers`), never a manifest of yours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from conductor.base.errors import BadInput, PublishFailed
from conductor.base.files import output_mark
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, parse, shown
from workers.tasks.files_publish import checksum, copied, understood

Sums = dict[str, tuple[str, int]]


class TransferArgs(Args, frozen=True, kw_only=True):
    #: The node that this half runs on: one of the two below.
    on: str
    source: str
    target: str
    #: (path, «JOB/ATTEMPT» that made it).
    files: list[tuple[str, str]]


# What was written on one host may be seen on the other a moment later: an input that is not there is asked
# for again.
@task(
    "files.transfer",
    lane="io",
    needs=Needs(ram_mib=64),
    timeout_s=3600 * 6,
    stall_s=600,
    retry={"bad_input": 5},
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: on, source, target, files. Result: {"files", "bytes"}."""
    given = parse(args, TransferArgs)
    names = [path for path, _ in given.files]
    sums = take(names, ctx) if given.on == given.source else bring(names, ctx)
    return {"files": len(sums), "bytes": sum(size for _, size in sums.values())}


def take(names: list[str], ctx: JobContext) -> Sums:
    """To the shared root, and what they are beside them."""
    sums: Sums = {}
    for path, copy in zip(names, ctx.spec.writes, strict=False):
        with ctx.read(path) as file:
            made_by = output_mark.read(file.fileno())
            sums[path] = copy_of(file, path, copy.path, ctx)
        if made_by is not None and made_by.sha256 != sums[path][0]:
            raise BadInput(f"{shown(path)} is not what was published: it was changed since")
    with ctx.create(ctx.spec.writes[-1].path) as file:
        file.write(msgspec.json.encode(sums))
    return sums


def bring(names: list[str], ctx: JobContext) -> Sums:
    """From there, if they are what was taken."""
    with ctx.read(ctx.spec.reads[-1]) as file:
        try:
            sums = msgspec.json.decode(file.read(), type=Sums)
        except msgspec.DecodeError as e:
            raise BadInput(f"the checksums beside the copies cannot be read: {e}") from None
    for path, copy in zip(names, ctx.spec.reads, strict=False):
        with ctx.read(copy) as file:
            found = copy_of(file, copy, path, ctx)
        if found != sums.get(path):
            raise BadInput(f"the copy of {shown(path)} on its way is not what was taken")
    return sums


def copy_of(file: BinaryIO, path: str, to: str, ctx: JobContext) -> tuple[str, int]:
    """(sha256, bytes), as they are read back."""
    try:
        with ctx.create(to) as target:
            sha256, size = copied(file, target, ctx, shown(path))
            if checksum(target, ctx, shown(path)) != sha256:
                raise PublishFailed(f"{shown(path)}: the copy reads back differently from what was written")
    except OSError as e:
        raise understood(e, ctx.input(path), shown(path)) from e
    return sha256, size
