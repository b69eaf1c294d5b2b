"""Workflows by name: the project's own `workflows/NAME/` by file, then the installed package's. No static
import: the name is the only link."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.operator_name import operator_name
from conductor.base.project.own_code import load_file
from conductor.base.project.own_code_faults import drawn, own_code
from conductor.base.project.ownership import refuse_foreign
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.planning import run_plan
from conductor.planning.command import parsed
from conductor.record.journal import Journal
from conductor.record.plan_sessions import PlanSession, PlanSessions
from conductor.verify.verify import Checks

PACKAGE = "workflows"


def available(settings: CodeSettings) -> tuple[str, ...]:
    """Names of all workflows, the project's own and the installed ones, sorted."""
    folders = [folder for folder in (settings.project / PACKAGE, _installed()) if folder is not None]
    found = {f.parent.name for folder in folders if folder.is_dir() for f in folder.glob("*/plan.py")}
    return tuple(sorted(filter(str.isidentifier, found)))


def about(name: str, settings: CodeSettings) -> str:
    """The first line of a workflow's own description, or why there is none. Read, not run: who lists them has
    chosen none, and one with a fault does not hide the others."""
    file = _file(name, "plan", settings)
    if file is None:
        return ""
    try:
        refuse_foreign(file)
        text = ast.get_docstring(ast.parse(file.read_bytes(), str(file))) or ""
    except (OSError, ValueError, RecursionError, MemoryError) as e:
        return f"(cannot be read: {getattr(e, 'strerror', None) or e})"
    except SyntaxError as e:
        return f"(cannot be run: line {e.lineno}: {e.msg})"
    except ConfigError as e:
        return f"(will not be run: {e})"
    return text.partition("\n")[0]


def plan(
    name: str, argv: Sequence[str], settings: CodeSettings, command: str | None = None
) -> tuple[Path, int]:
    """Run the plan NAME with its own options, behind those of the session that `--session` names. → the
    manifest's path and its number of jobs."""
    module = _plan_module(name, settings)
    session, argv = of_session(name, argv, settings)
    path, jobs = run_plan(
        name,
        inspect.getdoc(module) or "",
        getattr(module, "add_arguments", lambda parser: None),
        module.plan,
        getattr(module, "manifest_name", lambda options: f"{name}.jsonl"),
        argv,
        settings,
        command,
    )
    if session is not None:
        Journal(settings.receipts_dir).acted("plan with session", operator_name(), session.handle, jobs)
    return path, jobs


def checked_options(name: str, argv: Sequence[str], settings: CodeSettings) -> None:
    """A usage error exits with 2 (argparse)."""
    module = _plan_module(name, settings)
    parsed(name, inspect.getdoc(module) or "", getattr(module, "add_arguments", lambda parser: None), argv)


def of_session(
    name: str, argv: Sequence[str], settings: CodeSettings
) -> tuple[PlanSession | None, list[str]]:
    """The session that the options name, and all options with its own. Raises `UsageError`."""
    argv = list(argv)
    at = next((i for i, word in enumerate(argv) if word.partition("=")[0] == "--session"), None)
    if at is None:
        return None, argv
    handle, count = (
        (argv[at].partition("=")[2], 1) if "=" in argv[at] else ("".join(argv[at + 1 : at + 2]), 2)
    )
    session = PlanSessions(settings.state_dir).find(handle, name, time.time())
    return session, [*session.arguments, *argv[:at], *argv[at + count :]]


def _plan_module(name: str, settings: CodeSettings) -> Any:
    """Raises `ConfigError` where it is none."""
    module: Any = load(name, "plan", settings)
    if not callable(getattr(module, "plan", None)):
        raise ConfigError(
            f"{_file(name, 'plan', settings)} has no function plan(options, settings) that yields jobs"
        )
    return module


def checks_for(workflows: Sequence[str], settings: CodeSettings) -> Checks:
    """What the workflows of a manifest check beyond what every job is held against. A workflow that is not
    installed here, or has no `verify.py`, adds nothing."""
    known = available(settings)
    found: list[Checks] = []
    for name in workflows:
        if name in known and has_part(name, "verify", settings):
            found.append(_own_checks(name, load(name, "verify", settings), settings))
    return Checks.joined(found)


def _own_checks(name: str, module: Any, settings: CodeSettings) -> Checks:
    """What its `checks(settings)` returns, each of them heard out as the project's own code."""
    what = f"verify {name}"
    with own_code(what):
        made = module.checks(settings)
    if not isinstance(made, Checks):
        told = "nothing" if made is None else f"{made!r:.80}"
        raise ConfigError(
            f"{what}: its checks() returned {told}: it is to return conductor.verify.verify.Checks"
        )
    return Checks(
        jobs=tuple(_heard(c, what) for c in made.jobs),
        whole=tuple(_heard(c, what) for c in made.whole),
        measured=tuple(_heard(c, what) for c in made.measured),
    )


def _heard(check: Callable[..., object], what: str) -> Callable[..., Iterator[Any]]:
    """The same check. Raises `ConfigError` where it has a fault, or does not answer with a list of
    complaints.
    """

    def asked(*given: Any) -> Iterator[Any]:
        with own_code(what):
            made = check(*given)
        if not isinstance(made, Iterable) or isinstance(made, str | bytes):
            told = "nothing" if made is None else f"{made!r:.80}"
            name = getattr(check, "__name__", "a check")
            raise ConfigError(
                f"{what}: {name} returned {told}: it is to yield complaints, or return a list of them"
            )
        yield from drawn(cast("Iterable[Any]", made), what)

    return asked


def has_part(name: str, part: str, settings: CodeSettings) -> bool:
    return _file(name, part, settings) is not None


def load(name: str, part: str, settings: CodeSettings) -> ModuleType:
    """The module `plan` or `verify` of a workflow. Raises `UsageError` that lists what there is."""
    file = _file(name, part, settings)
    if file is None:
        known = [each for each in available(settings) if has_part(each, part, settings)]
        names, near = ", ".join(known) or "none", did_you_mean(name, known)
        raise UsageError(f"there is no workflow {name!r} with a {part}.py{near or '.'} There are: {names}")
    return _load_file(f"{PACKAGE}.{name}.{part}", file)


def _file(name: str, part: str, settings: CodeSettings) -> Path | None:
    if not name.isidentifier():
        return None
    for folder in (settings.project / PACKAGE, _installed()):
        if folder is not None and (file := folder / name / f"{part}.py").is_file():
            return file
    return None


def _installed() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _load_file(name: str, file: Path) -> ModuleType:
    """Import from that very file: an installed `workflows` package must not hide the project's own."""
    present = sys.modules.get(name)
    if present is not None and getattr(present, "__file__", None) == str(file):
        return present
    installed = _installed()
    if installed is not None and file.is_relative_to(installed):
        return importlib.import_module(name)
    with own_code(f"{name} cannot be run"):
        return load_file(f"project_{name.replace('.', '_')}", file)
