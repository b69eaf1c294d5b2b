"""The command around a plan: its options, the manifest that it writes, the words that it ends with."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast, get_args

from conductor.base.errors import ConfigError
from conductor.base.files.fingerprint import InputsBy
from conductor.base.files.layout import CodeSettings
from conductor.base.text import many, printable
from conductor.model.spec import JobSpec
from conductor.planning.input_files import plan_context
from conductor.planning.jobs import run_tag, task_priorities
from conductor.planning.origin import note_origin

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
    from conductor.record.store_rule import known_stores

    options = parsed(name, about, add_arguments, argv, command)
    with own_code(f"plan {name}"):
        own_name = _with_tag(manifest_name(options), _tag_of(options))
        path: Path = getattr(options, "output", None) or settings.manifests_dir / own_name
    catalogue = catalogue_of(settings)
    rules = (
        *rules_of(settings),
        rule_of(settings.counters, catalogue),
        known_stores(settings.stores, catalogue),
    )
    checker = Checker(path, catalogue, "written", rules)
    token, tag, priorities = (
        plan_context.set((settings, getattr(options, "inputs_by", None))),
        run_tag.set(_tag_of(options)),
        task_priorities.set(settings.priorities),
    )
    try:
        jobs = write(path, _jobs(name, lambda: plan(options, settings)), checker)
    finally:
        plan_context.reset(token)
        run_tag.reset(tag)
        task_priorities.reset(priorities)
    note_origin(path, name, argv, jobs, settings)
    return path, jobs


def parsed(
    name: str, about: str, add_arguments: AddArguments, argv: Sequence[str], command: str | None = None
) -> argparse.Namespace:
    """The plan's own options, and those of every plan. A usage error exits with 2 (argparse)."""
    from conductor.base.project.own_code_faults import own_code

    program = command or f"conductor plan {name}"
    common = _common(program)
    parser = argparse.ArgumentParser(
        prog=program,
        description=about,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    with own_code(f"plan {name}"):
        add_arguments(parser)
    # They are read first: of a plan with kinds they stand behind a word that has options of its own.
    said, rest = common.parse_known_args(list(argv))
    return parser.parse_args(rest, said)


def _common(program: str) -> argparse.ArgumentParser:
    """What every plan can be told."""
    common = argparse.ArgumentParser(prog=program, add_help=False, allow_abbrev=False)
    common.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="where to write the manifest",
    )
    common.add_argument(
        "--inputs-by",
        choices=get_args(InputsBy),
        default=argparse.SUPPRESS,
        help="what tells a changed input file: size and time, or its content (read once); default: "
        "inputs_by of "
        "conductor.toml",
    )
    common.add_argument(
        "--tag",
        type=_checked_tag,
        default=argparse.SUPPRESS,
        metavar="WORD",
        help="plan all of it as jobs of their own, in a manifest of their own (NAME-WORD.jsonl), which are "
        "done again though nothing has changed",
    )
    common.add_argument(
        "--session",
        default=argparse.SUPPRESS,
        metavar="HANDLE",
        help="with the options of that session before these (conductor sessions)",
    )
    return common


def _tag_of(options: argparse.Namespace) -> str:
    return getattr(options, "tag", "")


def _with_tag(name: str, tag: str) -> str:
    """`demo.jsonl` → `demo-TAG.jsonl`: jobs of their own are a manifest of their own, and the one without a
    tag stays what its jobs are verified and rebuilt by."""
    stem, dot, ending = name.partition(".jsonl")
    return f"{stem}-{tag}{dot}{ending}" if tag else name


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
