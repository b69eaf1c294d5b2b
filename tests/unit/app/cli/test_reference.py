"""docs/settings.md and docs/commands.md say what the settings and the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.app.cli import reference

DOCS = Path(__file__).resolve().parents[4] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_what_would_be_written(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), f"docs/{name} is not as the code has it: run scripts/docs"


def test_every_setting_has_its_meaning() -> None:
    rows = list(reference.setting_rows())
    assert len(rows) > 80 and [row.key for row in rows if not row.meaning] == [], "write a `#:` line above it"


def test_a_setting_says_its_unit_its_range_its_default_and_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONDUCTOR_TIMING__TICK_S", "7")
    rows = {row.key: row for row in reference.setting_rows()}
    tick = rows["timing.tick_s"]
    assert (tick.default, tick.takes, tick.variable) == ("1", "seconds, above 0", "CONDUCTOR_TIMING__TICK_S")
    assert rows["redis.appendfsync"].takes == "`everysec` or `always`"
    assert rows["lanes.cloud.depth"].default == "5" and "queued" in rows["lanes.cloud.depth"].meaning
    assert (
        rows["devices.NAME.vram_mib"].takes == "MiB, from 1"
        and rows["roots.NAME.path"].default == "must be given"
    )


def test_every_command_says_what_its_options_and_its_exit_codes_are() -> None:
    page = reference.commands_page()
    assert page.count("\n## conductor ") == page.count("\nExit codes: 0")
    assert "1 where jobs stay in another backlog" in page and "| `--until-done` |" in page
    assert reference.exit_codes("Does it. Exit 1 where it had ended\n already. More.") == (
        "0; 1 where it had ended already; the others as above"
    )
    assert reference.exit_codes("Does it.") == "0; the others as above"
