"""What each workflow checks of its own results: planted faults are found, sound results are left alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from verify_scene import VerifyScene, only

from conductor.app.workflow_lookup import checks_for, plan
from conductor.base.settings.settings import load
from conductor.model.spec import JobSpec
from conductor.verify.report import VerifyReport


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VerifyScene]:
    (tmp_path / "conductor.toml").write_text(
        '[roots.corpus]\npath = "data"\n[endpoints.sky]\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    made = VerifyScene(tmp_path)
    yield made
    made.log.close()


def planned(place: VerifyScene, name: str, *argv: str) -> list[JobSpec]:
    from conductor.record import manifest

    place.specs = list(manifest.read(plan(name, argv, place.settings.for_code)[0]))
    return place.specs


def verified(place: VerifyScene, name: str) -> VerifyReport:
    return place.verify(checks_for((name,), place.settings.for_code))


# ── system_test ───────────────────────────────────────────────────────────────────────────────────────────

STEPS = [{"step": name, "rows": 20} for name in ("create", "read", "update", "read again", "delete")]


def test_an_echo_that_did_not_come_back_is_wrong(place: VerifyScene) -> None:
    good, bad = planned(place, "system_test", "--count", "2")
    place.done(good, b"x", result={"echo": good.args})
    place.done(bad, b"x", result={"echo": {}})
    finding = only(verified(place, "system_test"))
    assert (finding.kind, finding.job_id) == ("wrong", bad.id) and "echoed {} instead of" in finding.message


def test_a_sleep_cut_short_is_wrong(place: VerifyScene) -> None:
    good, bad = planned(place, "system_test", "--mode", "sleep", "--count", "2", "--seconds", "3")
    place.receipt(good, outcome="ok", started_at=10.0, ended_at=13.01)
    place.receipt(bad, outcome="ok", started_at=10.0, ended_at=12.0)
    assert only(verified(place, "system_test")).message == "slept 2.00 s instead of 3 s"


@pytest.mark.parametrize(
    ("lifecycle", "complaint"),
    [
        (STEPS, None),
        (
            STEPS[:-1],
            "its lifecycle is create, read, update, read again instead of create, read, update, delete",
        ),
        (
            [STEPS[0], STEPS[2], STEPS[1], STEPS[4]],
            "its lifecycle is create, update, read, delete instead of",
        ),
        ([*STEPS[:4], {"step": "delete", "rows": 19}], "delete touched 19 rows instead of 20"),
        ([], "its lifecycle is empty"),
    ],
)
def test_a_lifecycle_that_is_not_complete_is_wrong(
    place: VerifyScene, lifecycle: list[dict[str, Any]], complaint: str | None
) -> None:
    (spec,) = planned(place, "system_test", "--mode", "crud", "--count", "1")
    place.receipt(spec, outcome="ok", result={"lifecycle": lifecycle, "rows": 20})
    report = verified(place, "system_test")
    assert report.is_good if complaint is None else any(complaint in f.message for f in report.findings)


def test_lives_in_a_store_are_held_against_the_store_itself(place: VerifyScene, tmp_path: Path) -> None:
    from conductor.adapters.stores.open_store import open_store
    from workers.crud.lifecycle import TABLES, CrudPart, lived, told

    with (tmp_path / "conductor.toml").open("a") as config:
        config.write('[stores.main]\nurl = "sqlite:data/main.db"\n')
    place.settings = load(tmp_path)
    options = ("--mode", "crud_stress", "--count", "2", "--threads", "2", "--rounds", "3", "--store", "main")
    specs = planned(place, "system_test", *options)
    with closing(open_store(place.settings.for_code, "main")) as store:
        with store.transaction() as change:
            for table in TABLES:
                change.execute(table)
        for spec in specs:
            parts = [CrudPart(spec.id, n, 3, 1) for n in range(2)]
            place.receipt(spec, outcome="ok", result=told(lived(store, p, lambda _: None) for p in parts))

    report = verified(place, "system_test")
    assert report.is_good and len(report.measured) == 5
    assert report.measured[0].startswith("create") and "(12 times)" in report.to_text()

    def write(sql: str) -> None:
        with closing(sqlite3.connect(tmp_path / "data/main.db")) as db, db:
            db.execute(sql)

    one, other = (spec.id for spec in specs)
    write(f"INSERT INTO system_test_items VALUES ('{one}', 0, 0, 0, 1, ''), ('stranger', 0, 0, 0, 1, '')")
    write(f"UPDATE system_test_parts SET created = 4 WHERE job = '{other}' AND part = 1")
    write(f"DELETE FROM system_test_parts WHERE job = '{one}' AND part = 1")
    report = verified(place, "system_test")
    assert [(each.kind, each.job_id, each.message) for each in report.findings] == [
        ("duplicate", other, "part 1: 4 created, 3 updated, 3 deleted by 9 writes; its 3 rows take 9"),
        ("missing", one, "is done, and its store has 1 of its 2 parts"),
        ("wrong", one, "1 row of it left over in the store"),
    ]
    assert report.measured[-1].startswith("store main holds 1 row of jobs that are not done, or of another")

    (tmp_path / "data/main.db").unlink()
    assert "the file is not there" in only(verified(place, "system_test")).message


# ── highlights ────────────────────────────────────────────────────────────────────────────────────────────


def clip(folder: Path, seconds: float) -> bytes:
    from imageio_ffmpeg import get_ffmpeg_exe

    file = folder / f"{seconds}.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc=s=64x64:r=10:d={seconds}"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *source, str(file)], check=True)
    return file.read_bytes()


@pytest.fixture
def reel(
    place: VerifyScene, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[VerifyScene, Any]:
    """Two videos planned; `run(cut lengths, reel length, **assemble's result)` is what became of them."""
    folder = tmp_path / "samples"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, ns=(0, 0))
    specs = planned(place, "highlights", "--seconds", "2")
    clips = tmp_path_factory.mktemp("clips")

    def run(cuts: list[float | None], lasts: float, **result: Any) -> VerifyReport:
        for chain, seconds in enumerate(cuts):
            for spec in specs[3 * chain : 3 * chain + 2]:
                place.done(spec)
            cut = specs[3 * chain + 2]
            if seconds is None:
                place.receipt(cut, outcome="failed", cause="bad_input", message="breaks off")
            else:
                place.done(cut, clip(clips, seconds), result={"duration_s": 2.0})
        whole = clip(clips, lasts) if lasts not in cuts else (clips / f"{lasts}.mp4").read_bytes()
        place.done(specs[6], whole, result={"missing": [], **result})
        place.done(specs[7], whole)
        return verified(place, "highlights")

    return place, run


def test_a_reel_as_long_as_its_cuts_is_good(reel: tuple[VerifyScene, Any]) -> None:
    assert reel[1]([2.0, 1.9], 3.9).is_good


def test_a_cut_shorter_than_its_receipt_says_is_wrong(reel: tuple[VerifyScene, Any]) -> None:
    finding = only(reel[1]([2.0, 1.5], 3.5))
    assert (finding.subject, finding.message) == ("b.mp4", "the cut lasts 1.50 s, its receipt says 2.00 s")


def test_a_reel_that_lacks_a_cut_is_wrong(reel: tuple[VerifyScene, Any]) -> None:
    assert only(reel[1]([2.0, 1.9], 2.0)).message == "the reel lasts 2.00 s, its 2 cuts 3.90 s"


def test_a_reel_made_without_a_failed_clip_is_held_against_the_rest(reel: tuple[VerifyScene, Any]) -> None:
    place, run = reel
    finding = only(run([2.0, None], 2.0, missing=[place.specs[5].writes[0].path]))
    assert (finding.kind, finding.subject, finding.cause) == ("failed", "b.mp4", "bad_input")


def test_a_reel_made_before_a_clip_was_retried_says_that_it_is_old(reel: tuple[VerifyScene, Any]) -> None:
    place, run = reel
    finding = only(run([2.0, 1.9], 2.0, missing=[place.specs[5].writes[0].path]))
    assert "which is there now" in finding.message


# ── gap_fill ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gap_that_is_left_and_an_answer_that_is_short_are_found(place: VerifyScene, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "c.sqlite"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO documents VALUES (?, 'text')", [(n,) for n in range(4)])
    first, apply_first, second, apply_second = planned(
        place, "gap_fill", str(file), "--cloud", "sky", "--batch", "2"
    )
    place.done(first, b"{}", result={"items": 2})
    place.done(second, b"{}", result={"items": 1})
    for spec in (apply_first, apply_second):
        place.receipt(spec, outcome="ok")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE annotations (document_id, annotation)")
        db.executemany("INSERT INTO annotations VALUES (?, '{}')", [(n,) for n in range(3)])

    short, gap = verified(place, "gap_fill").findings

    assert (short.kind, short.job_id, short.message) == ("wrong", second.id, "answered 1 of 2 texts")
    assert gap.kind == "missing" and gap.message.startswith(
        "1 document without an annotation, the first is '3'"
    )
