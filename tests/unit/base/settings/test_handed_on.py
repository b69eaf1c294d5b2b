"""Rooms are handed the few values that they need, and not the whole settings
(`conductor.base.files.layout`).
"""

from __future__ import annotations

import ast
from pathlib import Path

import conductor

ROOT = Path(conductor.__file__).parent.parent
#: Those who put things together: commands, `conduct`, `up`, node and worker at their start. Never raise it.
MOST = 25


def imports_settings(file: Path) -> bool:
    """Also for types alone: what a function's signature asks for is what it has to be handed."""
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("conductor.")
        and any(alias.name == "Settings" for alias in node.names)
        for node in ast.walk(ast.parse(file.read_bytes()))
    )


def test_few_modules_import_the_whole_settings() -> None:
    files = [
        file for room in ("conductor", "workers", "workflows") for file in sorted((ROOT / room).rglob("*.py"))
    ]
    found = [str(file.relative_to(ROOT)) for file in files if imports_settings(file)]
    assert 1 <= len(found) <= MOST, (
        f"{len(found)} modules import Settings: hand on a value (a section, `settings.layout`, "
        "`settings.for_code`, "
        f"a path) instead: {', '.join(found)}"
    )
