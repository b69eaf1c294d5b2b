"""The built-in tasks: every module of this folder."""

from __future__ import annotations

import pkgutil

from workers import tasks

TASK_MODULES = tuple(
    f"{tasks.__name__}.{module.name}"
    for module in pkgutil.iter_modules(tasks.__path__)
    if module.name != "declared" and not module.name.startswith("_")
)
