"""shell: a program of the user's own with declared needs. An argv list, never a shell string."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from conductor.errors import BadInput, Refused
from conductor.model.spec import Needs
from workers.context import JobContext
from workers.process import ProgramFailed, run_program
from workers.registry import task
from workers.toolkit import Args, parse

#: Variables that make the loader or an interpreter run other code: a line may not set them for a listed program.
_LOADERS = re.compile(
    r"(LD_|DYLD_|PYTHON|PERL|RUBY|NODE_|JAVA_|JDK_|_JAVA|GIT_|GCONV|LOCPATH|CONDUCTOR_)\w*"
    r"|PATH|IFS|ENV|BASH_ENV|BASH_FUNC.*|SHELLOPTS|PS4|PROMPT_COMMAND|EDITOR|PAGER|HOSTALIASES|.*_PROXY|LUA_INIT.*",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{(?:(in|out):(\d{1,4})|(scratch))\}")


class ShellArgs(Args, frozen=True, kw_only=True):
    argv: Annotated[list[str], Meta(min_length=1, max_length=4096)]
    #: `root:relative` or an absolute path below `inputs`; default: the attempt's own scratch folder.
    cwd: str | None = None
    env: dict[str, str] = {}


@task("shell", lane="cpu", needs=Needs(cpu=1, ram_mib=256), timeout_s=3600, retry={"task_error": 1})
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: argv (a list), cwd, env (added to the worker's). Result: {"exit_code", "stdout_tail"}.

    In argv, `{in:0}` and `{out:0}` stand for the files of reads[0] and writes[0], `{scratch}` for the attempt's folder.
    The program must be listed in `shell_programs` of conductor.toml.
    """
    given = parse(args, ShellArgs)
    check_allowed(given.argv[0], ctx.settings.shell_programs)
    check_environment(given.env)
    argv = [given.argv[0], *(expand(part, ctx) for part in given.argv[1:])]
    tail = Tail(4096)
    cwd = ctx.input(given.cwd) if given.cwd else ctx.scratch
    done = run_program(argv, ctx, cwd=cwd, env=given.env or None, on_stdout=tail.feed)
    if done.returncode != 0:
        words = f"{argv[0]} ended with exit code {done.returncode}: {done.stderr_tail.strip()[-500:]}"
        raise ProgramFailed(words, done.stderr_tail, tail.text())
    return {"exit_code": 0, "stdout_tail": tail.text()}


def check_allowed(program: str, allowed: tuple[str, ...]) -> None:
    """The name as written must be on the list: `convert` does not allow `/home/x/convert`."""
    if program not in allowed:
        listed = ", ".join(allowed) or "nothing yet"
        raise Refused(
            f"the program {program!r} may not be run: add it to shell_programs in conductor.toml (allowed: {listed})"
        )


def check_environment(env: Mapping[str, str]) -> None:
    for name in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or _LOADERS.fullmatch(name):
            raise Refused(f"args.env: a job may not set {name[:80]!r}: it can make a listed program run other code")


def expand(part: str, ctx: JobContext) -> str:
    """One argument with its placeholders filled in. Other braces stay as they are."""

    def fill(match: re.Match[str]) -> str:
        kind, index, scratch = match.groups()
        if scratch:
            return str(ctx.scratch)
        declared = ctx.spec.reads if kind == "in" else tuple(output.path for output in ctx.spec.writes)
        if int(index) >= len(declared):
            raise BadInput(f"args.argv: {match[0]} has no counterpart, the job declares {len(declared)} of them")
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
