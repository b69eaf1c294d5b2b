"""`conductor demo NAME`: a project of its own, the whole way, and a proof; a second time nothing is left."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cli_tools import conductor

from conductor.adapters.files.receipt_log import read_receipts
from conductor.app.demo_project import staged
from conductor.app.workflow_lookup import plan
from conductor.base.settings.settings import load

DEMOS = {
    "ads": "10 of 10 jobs verified",
    "match": "14 of 14 jobs verified",
    "population": "9 of 9 jobs verified",
    "studio": "9 of 9 jobs verified",
    "system_test": "12 of 12 jobs verified",
    "toon": "9 of 9 jobs verified",
}

#: A second time all is verified anew, which costs as much as the first: one does for all.
TWICE = ("population",)
#: Those whose inputs stay as they are: planned anew it is the same manifest, so that nothing is left to do.
REPEATED = ("population", "studio", "system_test")


@pytest.mark.slow
@pytest.mark.timeout(300)  # two runs
@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_ends_with_its_proof_and_touches_nothing_else(tmp_path: Path, name: str):
    found = conductor("demo", name, cwd=tmp_path, timeout=200)

    assert found.code == 0, found.out + found.err
    assert DEMOS[name] in found.out
    assert [each.name for each in tmp_path.iterdir()] == ["demo"]

    if name == "toon":
        receipts = "".join(file.read_text() for file in (tmp_path / "demo/toon/receipts").glob("*.jsonl"))
        made = [receipts.count(f'"engine":"{engine}"') for engine in ("comfy", "templates")]
        assert made == [3, 5], "its server left when it had made three"

    if name in REPEATED:
        folder = tmp_path / "demo" / name
        settings = load(folder).for_code
        (made,) = (folder / "manifests").glob("*.jsonl")
        with staged(name, folder, settings) as argv:
            anew, _ = plan(name, [*argv, "-o", str(tmp_path / "anew.jsonl")], settings)
        assert anew.read_bytes() == made.read_bytes()
    if name not in TWICE:
        return
    again = conductor("demo", name, cwd=tmp_path, timeout=200)
    assert again.code == 0 and DEMOS[name] in again.out and "nothing was left to do" in again.out


@pytest.mark.slow
def test_the_corpus_of_gap_fill_is_filled_though_the_model_errs(tmp_path: Path):
    found = conductor("demo", "gap_fill", cwd=tmp_path, timeout=200)

    assert found.code == 0, found.out + found.err
    assert "14 of 14 jobs verified" in found.out
    receipts = read_receipts(tmp_path / "demo/gap_fill/receipts")
    assert any(receipt.result.get("repaired") for receipt in receipts), "it was told what was wrong"
    with closing(sqlite3.connect(tmp_path / "demo/gap_fill/data/corpus.db")) as db:
        rows = db.execute("SELECT document_id, annotation FROM annotations ORDER BY 1").fetchall()
    assert [document for document, _ in rows] == list(range(1, 41))
    labels = {json.loads(annotation)["label"] for _, annotation in rows}
    assert labels == {"by hand", "snow", "bread", "trains", "chess", "bees", "glass"}


def test_the_demos_are_listed_and_no_folder_of_the_user_s_is_taken(tmp_path: Path):
    assert "population" in conductor("demo", cwd=tmp_path).out
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "conductor.toml").touch()
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()

    taken, not_empty = (
        conductor("demo", "population", str(mine), cwd=tmp_path),
        conductor("demo", "population", str(full), cwd=tmp_path),
    )
    absent = conductor("demo", "trace", cwd=tmp_path)

    assert (taken.code, not_empty.code, absent.code) == (2, 2, 2)
    assert "is a project already" in taken.err and "has something in it" in not_empty.err
    named = "ads, gap_fill, highlights, match, population, studio, system_test, toon"
    assert f"there is no workflow 'trace' with a demo.py. There are: {named}" in absent.err
