"""Each alert rule has its runbook, no runbook is without a rule, and all of them are of one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conductor.core.alerts.rules import RULES, runbook_of

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
PARTS = ["What it means", "Look", "Do", "Over when"]


def test_each_rule_has_its_runbook_and_no_runbook_is_without_a_rule() -> None:
    assert {page.name for page in PAGES} == {runbook_of(name) for name in RULES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_where_to_look_what_to_do_and_when_it_is_over(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.M) == PARTS
    rules = {name for name in RULES if runbook_of(name) == page.name}
    named = text.splitlines()[0].removeprefix("# ").partition(":")[0].split(", ")
    assert set(named) == rules, "its title names its rules"
    assert "```sh\nconductor " in text.split("## Look")[1].split("## Do")[0], (
        "a person is shown where to look"
    )


def test_the_page_on_alerts_has_a_row_for_each_rule() -> None:
    text = (FOLDER.parent / "alerts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (urgent|warning) \| (.*) \| \[", text, re.M)
    assert rows == [(name, rule.level, rule.meaning) for name, rule in RULES.items()]
