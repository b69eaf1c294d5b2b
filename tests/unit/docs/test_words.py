"""One word, one meaning: names of modules and classes are held to docs/glossary.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("conductor", "workers", "workflows", "scripts", "benchmarks", "tests")
GLOSSARY = ROOT / "docs" / "glossary.md"


@cache
def classes() -> tuple[tuple[str, str], ...]:
    """(name, where) of every class, those within classes and functions too."""
    return tuple(
        (node.name, f"{file.relative_to(ROOT)}:{node.lineno}")
        for file in files(*FOLDERS)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def words(name: str) -> set[str]:
    """«OwnVramClaim», «own_vram_claims» → own, vram, claim, claims."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def forbidden() -> dict[str, str]:
    """Word → the one to use, from the glossary's last table; plurals too."""
    table = GLOSSARY.read_text(encoding="utf-8").split("\n## Words that names do not use\n")[1]
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines() if "|" in line
    ][2:]
    return {f"{word}{end}": right for left, right in rows for word in left.split(", ") for end in ("", "s")}


def test_no_class_name_is_defined_twice() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for name, where in classes():
        found[name].append(where)
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_names_use_the_words_of_the_glossary() -> None:
    wrong = forbidden()
    assert "heir" in wrong
    modules = [(file.stem, str(file.relative_to(ROOT))) for file in files("conductor", "workers")]
    public = [
        (n, at) for n, at in classes() if not n.startswith("_") and at.startswith(("conductor/", "workers/"))
    ]
    assert [
        f"{at}: {name}: not {word}, but {wrong[word]}"
        for name, at in (*modules, *public)
        for word in sorted(words(name) & wrong.keys())
    ] == []


def test_every_word_of_the_glossary_stands_once() -> None:
    text = GLOSSARY.read_text(encoding="utf-8").split("\n## Words that names do not use\n")[0]
    named = [
        word
        for row in re.findall(r"^\| (\*\*.*?) \|", text, re.MULTILINE)
        for word in re.findall(r"\*\*(.+?)\*\*", row)
    ]
    assert sorted({word for word in named if named.count(word) > 1}) == []
