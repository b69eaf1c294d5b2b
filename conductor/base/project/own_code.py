"""How a project's own code is imported: from files that nobody else can write, and shadowing nobody else's
modules.

The project's folder comes last on `sys.path`, so that a `redis.py` of the user's stays the user's; only what
`task_modules` names is looked for there first. Each file is looked at before it is run, also those that a
task module imports by itself, now or later.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import ModuleType

from conductor.base.project.ownership import refuse_foreign

_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)


def put_on_path(project: Path, modules: Sequence[str]) -> None:
    """From now on `modules`, and what they import, may come from `project`. Twice is once; without
    modules: nothing.
    """
    if not modules:
        return
    names = {module.partition(".")[0] for module in modules}
    ours = next((f for f in sys.meta_path if isinstance(f, TaskModulesFirst) and f.project == project), None)
    if ours is not None:
        ours.names |= names
        return
    sys.meta_path.insert(0, TaskModulesFirst(project, names))
    sys.path_hooks.insert(0, _hook(project))
    for place in [place for place in sys.path_importer_cache if is_projects(place, project)]:
        del sys.path_importer_cache[place]
    if str(project) not in sys.path:
        sys.path.append(str(project))


def load_file(name: str, file: Path) -> ModuleType:
    """Run that very file as the module `name`. Raises `ConfigError` where it is not ours, and whatever it
    raises.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded as a Python module")
    _look_at(spec)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class TaskModulesFirst(MetaPathFinder):
    """The task modules of one project, by their first name, before whatever else has that name."""

    def __init__(self, project: Path, names: set[str]) -> None:
        self.project = project
        self.names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in self.names:
            return None
        return PathFinder.find_spec(fullname, [str(self.project)], target)


class OwnFiles(FileFinder):
    """Finds modules as ever, and refuses files that somebody else could have written."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, target)
        if spec is not None:
            _look_at(spec)
        return spec


def _hook(project: Path) -> Callable[[str], OwnFiles]:
    def finder(place: str) -> OwnFiles:
        if not is_projects(place, project) or not os.path.isdir(place):  # noqa: PTH112  of each entry of sys.path
            raise ImportError("not a folder of the project")
        return OwnFiles(place, *_LOADERS)

    return finder


def is_projects(place: str, project: Path) -> bool:
    """An environment that lies in the project is not the project's own code; a project that lies in one
    is.
    """
    is_there = place == str(project) or place.startswith(f"{project}{os.sep}")
    is_environment = sys.prefix.startswith(f"{project}{os.sep}") and place.startswith(f"{sys.prefix}{os.sep}")
    return is_there and not is_environment


def _look_at(spec: ModuleSpec) -> None:
    """The source, and the compiled form that would be run in its place."""
    if spec.has_location and spec.origin is not None:
        refuse_foreign(Path(spec.origin))
    if spec.cached is not None:
        refuse_foreign(Path(spec.cached))
