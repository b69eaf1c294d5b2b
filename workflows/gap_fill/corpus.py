"""The SQLite corpus as plan and verify read it: documents(id, text), annotations(document_id, …)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import Layout
from conductor.base.files.paths import split

HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?"
ALL = "SELECT id, text FROM documents d WHERE length(text) > 0 {gap} ORDER BY id"
GAP = "AND NOT EXISTS (SELECT 1 FROM annotations WHERE document_id = d.id)"


def gaps(file: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every document with a text and without an annotation, by id. Raises `ConfigError`."""
    # Read-only, and never made where there is none.
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as db:
            has_annotations = db.execute(HAS_TABLE, ("annotations",)).fetchone()
            for identity, text in db.execute(ALL.format(gap=GAP if has_annotations else "")):
                yield str(identity), str(text)
    except sqlite3.Error as e:
        raise ConfigError(f"{file} is not a corpus with documents(id, text): {e}") from None


def rooted(corpus: str, layout: Layout) -> tuple[str, Path]:
    """The corpus as (`root:relative`, file): jobs write below declared roots only, so it has to lie in one.

    Raises `UsageError` when it is not there, `ConfigError` with the lines to add when no root holds it.
    """
    root, colon, relative = corpus.partition(":")
    if colon and root in layout.roots:
        split(corpus)
        return corpus, _present(layout.roots[root].path / relative)
    file = _present(Path(corpus).expanduser().absolute()).resolve()
    for name, declared in sorted(layout.roots.items()):
        base = declared.path.resolve()
        if file.is_relative_to(base):
            return f"{name}:{file.relative_to(base)}", file
    raise ConfigError(
        f"{file} lies in no root, and jobs write below roots only: add to conductor.toml "
        f'[roots.corpus] with path = "{file.parent}"'
    )


def _present(file: Path) -> Path:
    if not file.is_file():
        raise UsageError(f"{file} is not a file: name a SQLite corpus with documents(id, text)")
    return file
