"""The names that users' code and records rely on: declared once, and all that plans and checks need."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import conductor

ROOT = Path(__file__).resolve().parents[3]
#: What the shipped workflows use beside, for they move with the rest: words for people, what a film shows.
OWN_HELPERS = {
    "conductor.base.files.paths",
    "conductor.base.settings.unknown_keys",
    "conductor.base.text",
    "conductor.model.identity",
    "conductor.record.manifest",
    "workers.media.picture_faults",
    "workers.media.probing",
}


@pytest.mark.parametrize("name", conductor.PUBLIC)
def test_each_is_where_it_says(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def imports(source: str) -> list[str]:
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("conductor", "workers")
        for alias in node.names
    ]


def is_public(name: str) -> bool:
    return any(name == public or name.startswith(f"{public}.") for public in conductor.PUBLIC)


def is_own_task(name: str) -> bool:
    """The module of the plan's own task, or what that works with, as a user's plan imports the user's."""
    return name.startswith(("workers.tasks.", "workers.ads.", "workers.crud.", "workers.match."))


def plans_and_checks() -> list[Path]:
    return [file for kind in ("plan", "verify") for file in sorted(ROOT.glob(f"workflows/*/{kind}.py"))]


@pytest.mark.parametrize("file", plans_and_checks(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_shipped_plan_needs_nothing_that_a_users_could_not_have(file: Path) -> None:
    others = {name for name in imports(file.read_text()) if not is_public(name) and not is_own_task(name)}
    assert {name for name in others if not {name, name.rpartition(".")[0]} & OWN_HELPERS} == set()


@pytest.mark.parametrize("page", ["README.md", "manifests/README.md", "docs/manifests.md"])
def test_the_pages_show_public_names_only(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert [name for block in blocks for name in imports(block) if not is_public(name)] == []
