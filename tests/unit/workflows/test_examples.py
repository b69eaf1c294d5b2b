"""The manifests and pages that users copy from are themselves sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.app.workflow_lookup import plan
from conductor.base.settings.settings import load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.causes import CAUSES
from conductor.model.spec import JobSpec, Needs
from conductor.record import manifest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.jsonl"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_sound_manifest(example: Path) -> None:
    assert manifest.check(example, load_catalogue()).jobs >= 3


def test_the_mixed_example_is_what_the_plan_writes(tmp_path: Path) -> None:
    options = ["--mode", "backlog", "--count", "10", "-o", str(tmp_path / "m.jsonl")]
    path, _ = plan("system_test", options, load(tmp_path).for_code)
    assert path.read_bytes() == (ROOT / "manifests" / "examples" / "mixed.jsonl").read_bytes()


def test_the_page_on_manifests_names_every_field_and_every_cause() -> None:
    page = (ROOT / "manifests" / "README.md").read_text(encoding="utf-8")
    fields = [f"| `{name}` |" for name in JobSpec.__struct_fields__ if name != "estimate"]
    fields += [f"| `needs.{name}` |" for name in Needs.__struct_fields__]
    assert [field for field in [*fields, *(f"`{cause}`" for cause in CAUSES)] if field not in page] == []
