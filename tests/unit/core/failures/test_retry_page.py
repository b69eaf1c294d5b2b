"""docs/retry.md is the table itself."""

from __future__ import annotations

from pathlib import Path

from conductor.core.failures.retry import TABLE, page

DOC = Path(__file__).parents[4] / "docs/retry.md"


def test_the_page_shows_the_table_in_force() -> None:
    assert page() in DOC.read_text(encoding="utf-8"), (
        "write conductor.core.failures.retry.page() into docs/retry.md"
    )


def test_every_row_says_when_it_happens_and_what_changes() -> None:
    assert [cause for cause, row in TABLE.items() if not row.when or not row.change] == []
