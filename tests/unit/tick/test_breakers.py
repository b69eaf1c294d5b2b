"""Which tasks have canaries, which code is here, and what the journal knows of jobs in review."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import msgspec
import pytest
from builders import a_spec

from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.live_catalogue import WatchedCatalogue
from conductor.model.spec import TaskDecl
from conductor.record.journal import Journal
from conductor.tick.breakers import canaries_of, codes_of, live_rules, why_missing

TASKS = """
from workers import task

@task("mine.careful", lane="cpu", canary=3, parameters=("preset",))
def careful(args, ctx):
    return {}

@task("mine.plain", lane="cpu")
def plain(args, ctx):
    return {}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Settings:
    # Of its own: a module stays imported.
    name = f"careful_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(TASKS)
    (tmp_path / "conductor.toml").write_text(f'task_modules = ["{name}"]\n')
    return load(tmp_path)


def test_a_line_in_the_settings_stands_over_what_the_task_says(mine: Settings):
    catalogue = load_catalogue(mine.task_modules, mine.project)
    assert canaries_of(mine.canary, catalogue) == {"mine.careful": 3}
    settings = msgspec.structs.replace(mine, canary={"mine.plain": 2, "mine.careful": 0})
    assert canaries_of(settings.canary, catalogue) == {"mine.plain": 2}
    with pytest.raises(ConfigError, match=r"no task is named 'mine.carefool', did you mean mine.careful\?"):
        canaries_of(msgspec.structs.replace(mine, canary={"mine.carefool": 1}).canary, catalogue)


class BreakerReading:
    """As the catalogue that is watched: another object once something was read."""

    def __init__(self, *decls: TaskDecl) -> None:
        self.now = {decl.name: decl for decl in decls}


def test_tasks_and_their_canaries_come_of_one_reading():
    cut, fresh = (TaskDecl(name=name, lane="cpu", module="m", canary=1) for name in ("cut", "fresh"))
    reading = BreakerReading(cut)
    rules = live_rules({"cut": 4}, cast("WatchedCatalogue", reading))
    first = rules()
    assert (first.tasks, first.canary) == (("cut",), {"cut": 4}) and rules() is first

    reading.now = {"cut": cut, "fresh": fresh}
    assert (rules().tasks, rules().canary) == (("cut", "fresh"), {"cut": 4, "fresh": 1})
    reading.now = {"fresh": fresh}
    assert (rules().tasks, rules().canary) == (("fresh",), {"fresh": 1}), "what [canary] names may go"


def test_the_line_is_read_from_the_file(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('[canary]\n"media.cut" = 4\n[breaker]\nfailures = 0\n')
    settings = load(tmp_path)
    assert settings.canary == {"media.cut": 4}
    assert settings.breaker.failures == 0
    assert settings.breaker.review_debt is None


def test_a_version_changes_with_the_file_and_with_no_other(mine: Settings):
    catalogue = load_catalogue(mine.task_modules, mine.project)
    before = codes_of(catalogue)
    assert before["mine.careful"] == before["mine.plain"] != before["media.cut"]
    (mine.project / f"{mine.task_modules[0]}.py").write_text(TASKS + "# another comment\n")
    after = codes_of(catalogue)
    assert after["mine.careful"] != before["mine.careful"]
    assert after["media.cut"] == before["media.cut"]


def test_a_job_without_a_receipt_is_said_to_be_in_review_until_it_is_sent_back(mine: Settings):
    catalogue = load_catalogue(mine.task_modules, mine.project)
    journal = Journal(mine.receipts_dir)
    manifest = mine.project / "night.jsonl"
    manifest.write_text("{}\n")
    journal.dispatched(manifest, "night", 2, "g1")
    plain, other = (a_spec(n, task="mine.plain") for n in (1, 2))
    assert why_missing(mine.receipts_dir, catalogue)(plain) == ""
    for _ in range(3):
        journal.reviewed("mine.plain", "5 of mine.plain failed alike: task_error: it broke")
    assert len(journal.notes()) == 2, "said once"
    assert why_missing(mine.receipts_dir, catalogue)(plain) == (
        "it is in review, for 5 of mine.plain failed alike: task_error: it broke"
    )
    assert why_missing(mine.receipts_dir, catalogue)(a_spec(3, task="mine.careful")) == ""
    journal.operator("retried", {plain.id: 0})
    assert why_missing(mine.receipts_dir, catalogue)(plain) == ""
    assert why_missing(mine.receipts_dir, catalogue)(other) != ""
    journal.dispatched(manifest, "night", 2, "g2")
    assert why_missing(mine.receipts_dir, catalogue)(other) == "", "another ledger: it waits again"


def test_a_kind_is_told_from_others_of_its_task(mine: Settings):
    from conductor.model.job_class import kind_of

    catalogue = load_catalogue(mine.task_modules, mine.project)
    specs = [a_spec(task="mine.careful", args={"preset": preset}) for preset in ("a", "b")]
    kind = kind_of(specs[0], catalogue["mine.careful"])
    journal = Journal(mine.receipts_dir)
    mine.receipts_dir.mkdir()
    journal.file.touch()
    journal.reviewed(kind, "why")
    why = why_missing(mine.receipts_dir, catalogue)
    assert (why(specs[0]), why(specs[1])) == ("it is in review, for why", "")
    assert why(msgspec.structs.replace(specs[0], task="mine.plain")) == ""
