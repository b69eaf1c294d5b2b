"""What the bodies of tasks share: arguments into a frozen struct, declared reads and writes, threads,
leaving.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from conductor.base.errors import BadInput
from conductor.base.text import printable
from conductor.model.spec import Needs
from workers.task_api.context import JobContext, Stopped


class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every task's arguments."""


Shape = TypeVar("Shape", bound=Args)


def parse(args: Mapping[str, Any], shape: type[Shape]) -> Shape:
    """The arguments as `shape`. Raises `BadInput` that names the field: «args.seconds: expected `float`,
    got `str`».
    """
    try:
        return msgspec.convert(dict(args), shape)
    except msgspec.ValidationError as e:
        what, _, where = str(e).partition(" - at `$")
        field = "args" + where.rstrip("`")
        raise BadInput(f"{field}: {what[:1].lower()}{what[1:]}") from None


def shown(path: str | Path) -> str:
    """A file's name as it may be printed: line breaks and other control characters are escaped."""
    text = str(path)
    relative = text.partition(":")[2] if re.match(r"[a-z][a-z0-9_]*:", text) else text
    return printable(PurePosixPath(relative).name)


def read_of(ctx: JobContext, given: str | None, index: int, field: str = "source") -> str:
    """The declared read a task works on: `given` by name, else the one at `index`.

    A path that the line does not declare is refused: nothing would wait for it, and nothing would pay for it.
    """
    reads = ctx.spec.reads
    if given is not None and given not in reads:
        raise BadInput(f"args.{field}: {given!r} is not among the job's reads; list it there too")
    if given is None and index >= len(reads):
        raise BadInput(f"the job declares {len(reads)} reads and this task needs at least {index + 1}")
    return reads[index] if given is None else given


def write_of(ctx: JobContext, *suffixes: str) -> str:
    """The first declared write whose name ends in one of `suffixes` (any, when none are named)."""
    for output in ctx.spec.writes:
        if not suffixes or output.path.lower().endswith(suffixes):
            return output.path
    wanted = f" that ends in {' or '.join(suffixes)}" if suffixes else ""
    raise BadInput(f"the job declares no write{wanted}, and this task makes one")


def threads(ctx: JobContext, declared: Needs) -> int:
    """How many threads the job may use: the cores it asked for, never fewer than one."""
    return max(1, math.ceil((ctx.spec.needs or declared).cpu))


def is_reading(ctx: JobContext, note: str) -> Callable[[float], None]:
    """For what reads a file before the work on it begins: tells the watch that it is not stuck, leaves
    when told.
    """

    def advance(share: float) -> None:
        leave_if_told(ctx)
        ctx.progress(0.0, note)

    return advance


def leave_if_told(ctx: JobContext) -> None:
    """Raises `Stopped` when the operator cancelled the job or the worker has to leave."""
    if ctx.should_stop():
        raise Stopped("stopped: the job was cancelled or its worker has to leave")
