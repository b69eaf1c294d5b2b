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


#: `core.capacity.node`, `workers.task_api.context.JobContext`: a module, or a name in it. What begins like
#: settings and events do (`node.up`) is looked at where three names stand.
DOTTED = re.compile(
    r"`((?:conductor(?!\.toml)|workflows|core|adapters)(?:\.\w+)+|(?:workers|node|model|tick)(?:\.\w+){2,})`"
)


def is_there(name: str) -> bool:
    first, *rest = name.split(".")
    here = ROOT / first if first in CODE else ROOT / "conductor" / first
    for at, part in enumerate(rest):
        if (here / part).is_dir():
            here /= part
            continue
        module, inner = here / f"{part}.py", rest[at + 1 :]
        if not module.is_file():
            module, inner = here / "__init__.py", rest[at:]
        text = module.read_text(encoding="utf-8")
        return all(re.search(rf"\b{each}\b", text) for each in inner)
    return True


def test_modules_that_docstrings_name_are_there() -> None:
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in files(("conductor", "workers", "workflows"), ".py")
        for name in DOTTED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert sorted(one for one in named if not is_there(one[1])) == []


SETTINGS = "conductor.base.settings"


def names_imported(path: Path) -> Iterator[str]:
    """«conductor.base.settings.settings.Settings», by whatever form it is imported, also for a type only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*names: str) -> set[str]:
    """Files outside of the settings' own room that import one of these from it. A module of it that is
    imported whole is as good as all that it has."""
    whole = {SETTINGS, f"{SETTINGS}.settings"}
    return {
        str(path.relative_to(ROOT))
        for path in files(("conductor", "workers", "workflows"), ".py")
        if ROOT / SETTINGS.replace(".", "/") not in path.parents
        and any(
            name in whole or (name.startswith(SETTINGS) and name.rpartition(".")[2] in names)
            for name in names_imported(path)
        )
    }


def test_few_files_get_all_settings() -> None:
    """All others get the values that they need: a section, or what plans and bodies may see. The second
    figure counts those too that read conductor.toml themselves, and so have all of it without its name."""
    whole = importers("Settings")
    assert 15 < len(whole) <= 25, sorted(whole)
    assert len(importers("Settings", "load", "settings_with_origin")) <= 35


def test_a_level_of_the_tree_is_a_table_of_contents() -> None:
    """At most 16 rooms and public files in `conductor`, beside its entry point; at most 10 in the two rooms
    that would grow without end."""
    most = {"conductor": 16, "conductor/core": 11, "conductor/adapters": 10}
    for folder, count in most.items():
        entries = {path.name.removesuffix(".py") for path in (ROOT / folder).iterdir()}
        entries -= {"__init__", "__main__", "__pycache__", "typed", "py.typed"}
        assert len(entries) <= count, sorted(entries)
