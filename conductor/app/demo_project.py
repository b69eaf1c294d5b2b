"""The project of a demo: a folder of its own, and what the workflow's `demo.py` puts there."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conductor.app import workflow_lookup
from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.files.safe_open import make_own
from conductor.base.project.own_code_faults import own_code
from conductor.base.settings.settings import CONFIG_NAME

PART = "demo"
#: How the settings of a demo begin: by it the folder is known for one that may be used again.
MARK = "# Made by `conductor demo"
#: Small files are copied at once: one worker does for that, and each more is a process to start.
SETTINGS = "lanes.io.workers = 1\n"


def listed(settings: CodeSettings) -> list[str]:
    """One line a demo."""
    names = [n for n in workflow_lookup.available(settings) if workflow_lookup.has_part(n, PART, settings)]
    return [f"{name:<14} {workflow_lookup.about(name, settings)}" for name in names]


@contextmanager
def staged(name: str, folder: Path, settings: CodeSettings) -> Generator[Sequence[str]]:
    """The demo's project, ready, for as long as the block lasts: the plan's arguments. Raises `UsageError`
    for a folder with something else in it."""
    module: Any = workflow_lookup.load(name, PART, settings)
    stage = getattr(module, "stage", None)
    if not callable(stage):
        raise ConfigError(f"the demo.py of {name} has no function stage(folder)")
    _make(folder, name)
    entered: Any = stage(folder)
    with own_code(f"demo {name}"):
        argv = entered.__enter__()
    try:
        yield [str(each) for each in argv]
    finally:
        entered.__exit__(None, None, None)


def _make(folder: Path, name: str) -> None:
    file = folder / CONFIG_NAME
    if file.exists():
        if not file.read_text(encoding="utf-8").startswith(f"{MARK} {name}`"):
            raise UsageError(f"{folder} is a project already, and none of this demo: name another folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} has something in it: name a folder that is empty, or is not there")
    make_own(folder)
    file.write_text(f"{MARK} {name}`. It can be removed as a whole.\n{SETTINGS}", encoding="utf-8")
