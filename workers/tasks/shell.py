"""shell: a program of the user's own with declared needs. An argv list, never a shell string."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, ConfigError, Refused
from conductor.base.project.ownership import refuse_foreign
from conductor.model.spec import Needs
from workers.task_api.allowed_environment import inherited, refuse_others
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.run_program import ProgramFailed, run_program
from workers.task_api.toolkit import Args, parse

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings

_PLACEHOLDER = re.compile(r"\{(?:(in|out):(\d{1,4})|(scratch)|(checkpoint))\}")


class ShellArgs(Args, frozen=True, kw_only=True):
    argv: Annotated[list[str], Meta(min_length=1, max_length=4096)]
    #: `root:relative` or an absolute path below `inputs`; default: the attempt's own scratch folder.
    cwd: str | None = None
    env: dict[str, str] = {}


@task("shell", lane="cpu", needs=Needs(cpu=1, ram_mib=256), timeout_s=3600, retry={"task_error": 1})
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: argv (a list), cwd, env. Result: {"exit_code", "stdout_tail"}.

    In argv, `{in:0}` and `{out:0}` stand for the files of reads[0] and writes[0], `{scratch}` for the
    attempt's folder, `{checkpoint}` for the one that the job's next attempt finds again. The program must be
    listed in `shell_programs` of conductor.toml, what `env` sets in `shell_env`.
    """
    given = parse(args, ShellArgs)
    check_allowed(given.argv[0], ctx.settings)
    refuse_others(ctx.settings, given.env)
    argv = [given.argv[0], *(expand(part, ctx) for part in given.argv[1:])]
    tail = Tail(4096)
    cwd = ctx.input(given.cwd) if given.cwd else ctx.scratch
    environment = {**inherited(ctx.settings, os.environ), **given.env}
    done = run_program(argv, ctx, cwd=cwd, environment=environment, on_stdout=tail.feed)
    if done.returncode != 0:
        words = f"{argv[0]} ended with exit code {done.returncode}: {done.stderr_tail.strip()[-500:]}"
        raise ProgramFailed(words, done.stderr_tail, tail.text())
    return {"exit_code": 0, "stdout_tail": tail.text()}


def check_allowed(program: str, settings: CodeSettings) -> None:
    """The name as written must be on the list: `convert` does not allow `/home/x/convert`. One that lies in
    the project is code of the project: it has to be ours."""
    if program not in settings.shell_programs:
        listed = ", ".join(settings.shell_programs) or "nothing yet"
        raise Refused(
            f"the program {program!r} may not be run: add it to shell_programs in conductor.toml "
            f"(allowed: {listed})"
        )
    found = shutil.which(program)
    if found and Path(found).resolve().is_relative_to(settings.project.resolve()):
        try:
            refuse_foreign(Path(found))
        except ConfigError as e:
            raise Refused(str(e)) from None


def expand(part: str, ctx: JobContext) -> str:
    """One argument with its placeholders filled in. Other braces stay as they are."""

    def fill(match: re.Match[str]) -> str:
        kind, index, scratch, kept = match.groups()
        if scratch or kept:
            return str(ctx.scratch if scratch else ctx.checkpoint().folder)
        declared = ctx.spec.reads if kind == "in" else tuple(output.path for output in ctx.spec.writes)
        if int(index) >= len(declared):
            raise BadInput(
                f"args.argv: {match[0]} has no counterpart, the job declares {len(declared)} of them"
            )
        path: Path = ctx.input(declared[int(index)]) if kind == "in" else ctx.output(declared[int(index)])
        return str(path)

    return _PLACEHOLDER.sub(fill, part)


class Tail:
    """The last bytes of a program's output."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = b""

    def feed(self, chunk: bytes) -> None:
        self._kept = (self._kept + chunk)[-self._size :]

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
