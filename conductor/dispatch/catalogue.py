"""The tasks that may run: what the task modules declare with `@task`. Modules are named, never imported
statically.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from conductor.base.errors import ConfigError, ManifestError
from conductor.base.project.own_code import put_on_path
from conductor.base.project.own_code_faults import own_code
from conductor.model.spec import TaskDecl

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings

BUILT_IN = ("workers.tasks.declared",)

#: Attribute that `@task` leaves on a function: its `TaskDecl`.
_DECLARATION = "task_decl"
#: A module may name further modules to look into.
_FURTHER = "TASK_MODULES"


class Catalogue(Mapping[str, TaskDecl]):
    """Task name → declaration: the allow-list of what a manifest may name."""

    def __init__(self, decls: Mapping[str, TaskDecl], files: Sequence[Path] = ()) -> None:
        self._decls = dict(decls)
        #: The source files that hold declarations: when one changes, workers take a fresh child.
        self.files = tuple(files)

    def __getitem__(self, name: str) -> TaskDecl:
        return self._decls[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decls)

    def __len__(self) -> int:
        return len(self._decls)

    def decl(self, name: str) -> TaskDecl:
        """The declaration of `name`. Raises `ManifestError` with the names that are near."""
        if name in self._decls:
            return self._decls[name]
        raise ManifestError(f"no task is named {name!r}{self._near(name)}")

    def _near(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._decls, n=3)
        return (
            f", did you mean {' or '.join(near)}?"
            if near
            else f"; there are: {', '.join(sorted(self._decls))}"
        )


def load_catalogue(modules: Sequence[str] = (), project: Path | None = None) -> Catalogue:
    """The built-in tasks and those of `modules`, which are looked for in `project` first.

    Raises `ConfigError` for a module that cannot be imported, is not ours or declares no task, and for a name
    declared twice.
    """
    if project is not None:
        put_on_path(project, modules)
    built_in = _built_in()
    decls, files = dict(built_in), list(built_in.files)
    for name in dict.fromkeys(modules):
        if name not in BUILT_IN:
            _add(name, decls, files)
    return Catalogue(decls, tuple(dict.fromkeys(files)))


#: To look through them again would touch, and so copy, what a worker shares with the others.
@lru_cache(maxsize=1)
def _built_in() -> Catalogue:
    decls: dict[str, TaskDecl] = {}
    files: list[Path] = []
    for name in BUILT_IN:
        _add(name, decls, files)
    return Catalogue(decls, files)


def _add(name: str, decls: dict[str, TaskDecl], files: list[Path]) -> None:
    found = 0
    for module in _with_further(name):
        files += [Path(module.__file__)] if module.__file__ else []
        found += _collect(module, decls)
    if not found:
        raise ConfigError(f"task module {name}: it has no function with @task")


def catalogue_of(settings: CodeSettings) -> Catalogue:
    return load_catalogue(settings.task_modules, settings.project)


def _with_further(name: str) -> Iterator[ModuleType]:
    module = _import(name)
    yield module
    for further in getattr(module, _FURTHER, ()):
        yield _import(further)


def _import(name: str) -> ModuleType:
    with own_code(f"task module {name} cannot be imported"):
        return importlib.import_module(name)


def _collect(module: ModuleType, decls: dict[str, TaskDecl]) -> int:
    """Take over the module's declarations; a task imported from another module is that module's."""
    found = 0
    for value in vars(module).values():
        decl: object = getattr(value, _DECLARATION, None)
        if not isinstance(decl, TaskDecl) or decl.module != module.__name__:
            continue
        known = decls.setdefault(decl.name, decl)
        if known is not decl:
            raise ConfigError(f"task {decl.name} is declared twice: in {known.module} and in {decl.module}")
        found += 1
    return found
