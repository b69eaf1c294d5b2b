"""What the machine holds the tree to: files that are read in one sitting, and no two that know each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CODE = ("conductor", "workers", "workflows", "scripts", "benchmarks", "tests")
MOST_LINES = 400


def files(folders: tuple[str, ...], *suffixes: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)


def test_no_file_is_longer_than_a_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(CODE, ".py", ".lua")
    }
    assert len(lengths) > 500
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def imports(modules: dict[str, Path]) -> dict[str, set[str]]:
    """Module → those of `modules` that it imports, also for its types only."""
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        known = found[name] = set[str]()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                known |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                known |= {each if each in modules else node.module for each in inner}
        known &= modules.keys() - {name}
    return found


def in_rings(known: dict[str, set[str]]) -> dict[str, list[str]]:
    """Those files that have no place in an order of imports, with what they import of each other."""
    left = known
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    return {name: sorted(others & left.keys()) for name, others in left.items()}


def test_no_two_files_import_each_other() -> None:
    """Nor do three in a ring: who imports whom has an order, also behind TYPE_CHECKING."""
    modules = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
        for path in files(("conductor", "workers", "workflows"), ".py")
    }
    assert in_rings(imports(modules)) == {}


def test_no_two_files_of_the_page_import_each_other() -> None:
    page = ROOT / "conductor" / "app" / "web" / "static" / "js"
    modules = {
        path: set(re.findall(r'^import .*"(\..+)";$', path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in page.rglob("*.js")
    }
    assert len(modules) > 20
    known = {
        str(path.relative_to(page)): {str((path.parent / name).resolve().relative_to(page)) for name in names}
        for path, names in modules.items()
    }
    assert in_rings(known) == {}
