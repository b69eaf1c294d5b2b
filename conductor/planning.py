"""What every `plan.py` needs: a job with its content id, a list of input files, and the command around the
plan.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, cast, get_args

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import BadInput, ConfigError, UsageError
from conductor.base.files.fingerprint import InputsBy, fingerprint
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import resolve
from conductor.base.files.private_paths import why_not_read
from conductor.base.settings.settings import load
from conductor.base.text import many, printable
from conductor.model.identity import identified
from conductor.model.spec import Estimate, JobSpec, Needs, Output

#: Of the plan that is being made: the run that its jobs belong to.
_tag: ContextVar[str] = ContextVar("tag", default="")

#: Until the id is known, which is worked out from the rest.
NAMELESS = "nameless"


def job(
    workflow: str,
    task: str,
    args: Mapping[str, Any],
    *,
    reads: Sequence[str] = (),
    inputs: Mapping[str, str] | None = None,
    writes: Mapping[str, int] | None = None,
    updates: Sequence[str] = (),
    after: Sequence[JobSpec] = (),
    after_ended: Sequence[JobSpec] = (),
    needs: Needs | None = None,
    duration_s: float | None = None,
    size: float = 0.0,
    **others: Any,
) -> JobSpec:
    """A manifest line with its id. `inputs`: the user's files → fingerprint; `writes`: path with `{id}` or
    `{short}` → bytes.

    `size`: in the task's own measure (pixels × seconds, characters); what jobs take is learned by it. 0: not
    known. Inputs are added to the reads. `updates`: files that are there and are changed in place. `others`
    are fields of `JobSpec` as they are: lane, priority, timeout_s, …
    """
    given = dict(inputs or {})
    others.setdefault("tag", _tag.get())
    draft = JobSpec(
        v=1,
        id=NAMELESS,
        workflow=workflow,
        task=task,
        args=dict(args),
        reads=(*given, *reads),
        inputs=given,
        writes=tuple(Output(path=path, bytes=size) for path, size in (writes or {}).items()),
        updates=tuple(updates),
        after=tuple(dict.fromkeys(spec.id for spec in after)),
        after_ended=tuple(dict.fromkeys(spec.id for spec in after_ended)),
        needs=needs,
        estimate=_estimate(duration_s, size),
        **others,
    )
    return identified(draft)


def _estimate(duration_s: float | None, size: float) -> Estimate | None:
    """Only what is known is written. The size to three digits: people read it, and like jobs share a class
    anyway.
    """
    known: dict[str, float] = {} if duration_s is None else {"duration_s": duration_s}
    if size:
        known["size"] = float(f"{size:.3g}")
    return Estimate(**known) if known else None


def rounded_up(size: float) -> int:
    """Bytes up to the next of 1, 1½, 2, 3, 4, 6, 8, … MiB: like jobs stay in one class, whose number a
    tick costs.
    """
    step = 1 << 20
    while step < size:
        if step + (step >> 1) >= size:
            return step + (step >> 1)
        step <<= 1
    return step


# ── input files ───────────────────────────────────────────────────────────────────────────────────────────


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
_planning: ContextVar[tuple[CodeSettings, InputsBy | None] | None] = ContextVar("planning", default=None)


def input_of(path: Path, by: InputsBy | None = None) -> dict[str, str]:
    """One input file as `job(inputs=…)` wants it. `by`: what its mark goes by; None: as the command line
    says, else conductor.toml (the root it lies in, or `inputs_by`).

    Raises `UsageError` where it cannot be read, `ConfigError` where jobs may not."""
    planning = _planning.get()
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


# ── the command around a plan ─────────────────────────────────────────────────────────────────────────────

#: How a plan makes a job.
MAKES = "conductor.planning.job"

Plan = Callable[[argparse.Namespace, CodeSettings], Iterable[JobSpec]]
AddArguments = Callable[[argparse.ArgumentParser], None]
DefaultName = Callable[[argparse.Namespace], str]


def run_plan(
    name: str,
    about: str,
    add_arguments: AddArguments,
    plan: Plan,
    manifest_name: DefaultName,
    argv: Sequence[str],
    settings: CodeSettings,
    command: str | None = None,
) -> tuple[Path, int]:
    """Parse, plan, write. → the manifest's path and its number of jobs. A usage error exits with 2
    (argparse).

    Raises `ManifestError` where a job could not be dispatched, or not be run by this project, and
    `ConfigError` where the plan itself has a fault: then nothing is written."""
    from conductor.base.project.own_code_faults import own_code
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.record.counter_rules import rule_of
    from conductor.record.manifest import Checker, write
    from conductor.record.plan_rules import rules_of

    parser = argparse.ArgumentParser(
        prog=command or f"conductor plan {name}",
        description=about,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    with own_code(f"plan {name}"):
        add_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="where to write the manifest",
    )
    parser.add_argument(
        "--inputs-by",
        choices=get_args(InputsBy),
        default=argparse.SUPPRESS,
        help="what tells a changed input file: size and time, or its content (read once); default: "
        "inputs_by of "
        "conductor.toml",
    )
    parser.add_argument(
        "--tag",
        type=_checked_tag,
        default=argparse.SUPPRESS,
        metavar="WORD",
        help="plan all of it as jobs of their own, which are done again though nothing has changed",
    )
    options = parser.parse_args(list(argv))
    with own_code(f"plan {name}"):
        path: Path = getattr(options, "output", None) or settings.manifests_dir / manifest_name(options)
    catalogue = catalogue_of(settings)
    rules = (*rules_of(settings), rule_of(settings.counters, catalogue))
    checker = Checker(path, catalogue, "written", rules)
    token, tag = _planning.set((settings, getattr(options, "inputs_by", None))), _tag.set(_tag_of(options))
    try:
        return path, write(path, _jobs(name, lambda: plan(options, settings)), checker)
    finally:
        _planning.reset(token)
        _tag.reset(tag)


def _tag_of(options: argparse.Namespace) -> str:
    return getattr(options, "tag", "")


def _checked_tag(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", word):
        raise argparse.ArgumentTypeError("is to be up to 64 letters, digits, dots, - and _")
    return word


def _jobs(name: str, plan: Callable[[], object]) -> Iterator[JobSpec]:
    """What the plan gives, as it gives it. Raises `ConfigError` where that is no job."""
    from conductor.base.project.own_code_faults import drawn, own_code

    with own_code(f"plan {name}"):
        made = plan()
    if not isinstance(made, Iterable) or isinstance(made, str | bytes):
        told = "nothing" if made is None else f"{made!r:.80}"
        raise ConfigError(f"plan {name}: its plan() returned {told}: it is to yield jobs ({MAKES})")
    for spec in drawn(cast("Iterable[object]", made), f"plan {name}"):
        if not isinstance(spec, JobSpec):
            raise ConfigError(
                f"plan {name}: its plan() gave {spec!r:.80}, which is no job: make each with {MAKES}"
            )
        yield spec


def planned(path: Path, jobs: int) -> str:
    """The line a plan ends with."""
    return f"{printable(short(path))}: {many(jobs, 'job') if jobs else 'no job: there was nothing to plan'}"


def short(path: Path) -> str:
    """Relative to the current folder where it lies below it."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def note(sentence: str) -> None:
    """Something the person who plans should know; on stderr, stdout is for data."""
    sys.stderr.write(printable(sentence) + "\n")
