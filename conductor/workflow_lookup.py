"""Workflows by name: the project's own `workflows/NAME/` by file, then the installed package's. No static import:
the name is the only link."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from conductor.errors import UsageError
from conductor.planning import run_plan
from conductor.settings import Settings, did_you_mean
from conductor.verify import Checks

PACKAGE = "workflows"
PARTS = ("plan", "verify")


def available(settings: Settings) -> tuple[str, ...]:
    """Names of all workflows, the project's own and the installed ones, sorted."""
    folders = [folder for folder in (settings.project / PACKAGE, _installed()) if folder is not None]
    return tuple(sorted({f.parent.name for folder in folders if folder.is_dir() for f in folder.glob("*/plan.py")}))


def about(name: str, settings: Settings) -> str:
    """The first line of a workflow's own description."""
    return (inspect.getdoc(load(name, "plan", settings)) or "").partition("\n")[0]


def plan(name: str, argv: Sequence[str], settings: Settings, command: str | None = None) -> tuple[Path, int]:
    """Run the plan NAME with its own options. → the manifest's path and its number of jobs."""
    module: Any = load(name, "plan", settings)
    return run_plan(
        name,
        inspect.getdoc(module) or "",
        module.add_arguments,
        module.plan,
        getattr(module, "manifest_name", lambda options: f"{name}.jsonl"),
        argv,
        settings,
        command,
    )


def checks_for(workflows: Sequence[str], settings: Settings) -> Checks:
    """What the workflows of a manifest check beyond what every job is held against. A workflow that is not
    installed here, or has no `verify.py`, adds nothing."""
    known = available(settings)
    found: list[Checks] = []
    for name in workflows:
        if name in known and has_part(name, "verify", settings):
            module: Any = load(name, "verify", settings)
            found.append(module.checks(settings))
    return Checks.joined(found)


def has_part(name: str, part: str, settings: Settings) -> bool:
    return _file(name, part, settings) is not None


def load(name: str, part: str, settings: Settings) -> ModuleType:
    """The module `plan` or `verify` of a workflow. Raises `UsageError` that lists what there is."""
    file = _file(name, part, settings)
    if file is None:
        names = ", ".join(available(settings)) or "none"
        near = did_you_mean(name, available(settings))
        raise UsageError(f"there is no workflow {name!r} with a {part}.py{near or '.'} There are: {names}")
    return _load_file(f"{PACKAGE}.{name}.{part}", file)


def _file(name: str, part: str, settings: Settings) -> Path | None:
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
    alias = f"project_{name.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(alias, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    spec.loader.exec_module(module)
    return module
