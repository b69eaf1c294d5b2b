"""Plans: the same inputs give the same bytes, and a change reaches what depends on it and nothing else."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from media import clip, without_decoder

from conductor.app.workflow_lookup import plan
from conductor.base.errors import ConfigError, ManifestError, UsageError
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.identity import id_of
from conductor.model.spec import Estimate, JobSpec
from conductor.record import manifest
from workers.media import probing

CATALOGUE = load_catalogue()
CONFIG = """
[lanes.gpu]
on_cpu = true
[endpoints.ollama]
base_url = "http://127.0.0.1:1/v1"
[endpoints.sky]
base_url = "http://127.0.0.1:2/v1"
[roots.corpus]
path = "data"
"""


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    (tmp_path / CONFIG_NAME).write_text(CONFIG)
    return load(tmp_path)


def planned(project: Settings, name: str, *argv: str) -> list[JobSpec]:
    """The specs of a plan, which is a sound manifest and byte for byte the same when planned again."""
    path, jobs = plan(name, argv, project.for_code)
    first = path.read_bytes()
    assert plan(name, argv, project.for_code) == (path, jobs) and path.read_bytes() == first
    summary = manifest.check(path, CATALOGUE)
    assert summary.jobs == jobs and not summary.outside
    assert all(
        summary.ids[other] < summary.ids[s.id]
        for s in manifest.read(path)
        for other in s.after + s.after_ended
    )
    return list(manifest.read(path))


# ── system_test ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["debug", "sleep", "crud", "crud_latency", "crud_stress", "backlog"])
def test_system_test_plans_each_mode_under_its_own_name(project: Settings, mode: str) -> None:
    specs = planned(project, "system_test", "--mode", mode, "--count", "12")
    assert len({spec.id for spec in specs}) == 12
    assert (project.manifests_dir / f"system_test_{mode}_12.jsonl").is_file()


def test_system_test_works_in_the_store_that_it_is_told(project: Settings) -> None:
    options = ["--mode", "backlog", "--count", "12", "--store", "main"]
    with pytest.raises(ManifestError) as refused:
        plan("system_test", options, project.for_code)
    assert "there is no [stores.main] in conductor.toml" in refused.value.problems[0]

    with (project.project / CONFIG_NAME).open("a") as config:
        config.write('[stores.main]\nurl = "sqlite:data/main.db"\n')
    specs = planned(load(project.project), "system_test", *options)
    assert {spec.args["store"] for spec in specs} == {"main"}
    assert {spec.task for spec in specs} == {"crud.cycle", "crud.sleep_cycle", "crud.stress"}
    assert (project.manifests_dir / "system_test_backlog_main_12.jsonl").is_file()


def test_the_backlog_mode_mixes_lanes_and_priorities(project: Settings) -> None:
    specs = planned(project, "system_test", "--mode", "backlog", "--count", "50")
    lanes = {spec.lane or CATALOGUE[spec.task].lane for spec in specs}
    assert lanes >= {"cpu", "io", "cloud"} and len({spec.priority for spec in specs}) > 2


def test_a_count_that_makes_no_sense_is_a_usage_error(project: Settings) -> None:
    with pytest.raises(UsageError, match="--count 0: at least 1"):
        plan("system_test", ["--count", "0"], project.for_code)
    with pytest.raises(SystemExit) as caught:
        plan("system_test", ["--mode", "nope"], project.for_code)
    assert caught.value.code == 2


def test_output_goes_where_it_is_told(project: Settings, tmp_path: Path) -> None:
    path, jobs = plan(
        "system_test", ["--count", "3", "-o", str(tmp_path / "x" / "y.jsonl")], project.for_code
    )
    assert path == tmp_path / "x" / "y.jsonl" and jobs == 3 and path.is_file()


# ── highlights ────────────────────────────────────────────────────────────────────────────────────────────


def videos(project: Settings, *names: str) -> Path:
    folder = project.project / "samples"
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(b"x" * number)
        os.utime(folder / name, ns=(0, 1_700_000_000_000_000_000 + number))
    return folder


def test_each_video_is_a_chain_and_the_reel_waits_for_all_of_them_to_end(project: Settings) -> None:
    videos(project, "b.mp4", "a.MOV", "notes.txt", ".hidden.mp4")

    specs = planned(project, "highlights", "--seconds", "2", "--size", "640x360")

    tasks = [spec.task for spec in specs]
    assert tasks == ["media.probe", "vision.analyse", "media.cut"] * 2 + ["media.assemble", "files.publish"]
    assert [Path(spec.args["source"]).name for spec in specs[::3][:2]] == ["a.MOV", "b.mp4"]
    assert specs[1].after == (specs[0].id,) and specs[2].after == (specs[1].id,)
    assert specs[6].after_ended == (specs[2].id, specs[5].id) and specs[6].after == ()
    assert specs[6].args["segments"] == [specs[2].writes[0].path, specs[5].writes[0].path]
    assert specs[7].after == (specs[6].id,) and specs[7].writes[0].path.startswith("published:highlights-")
    assert specs[1].lane == "gpu" and all(spec.id in spec.writes[0].path for spec in specs[:7])


def test_a_first_reel_declares_how_long_its_jobs_take_by_their_sizes(project: Settings) -> None:
    videos(project, "a.mp4", "b.mp4")

    estimates = {
        spec.task: spec.estimate for spec in planned(project, "highlights", "--seconds", "8") if spec.estimate
    }

    assert estimates["media.assemble"].duration_s == pytest.approx(1280 * 720 * 8 * 2 / 18e6, abs=0.05)
    assert all(estimate.duration_s > 0 for estimate in estimates.values())


def test_touching_a_clip_changes_its_chain_and_the_reel_and_nothing_else(project: Settings) -> None:
    folder = videos(project, "a.mp4", "b.mp4", "c.mp4")
    before = planned(project, "highlights")

    os.utime(folder / "b.mp4")
    after = planned(project, "highlights")

    changed = [n for n, (old, new) in enumerate(zip(before, after, strict=True)) if old.id != new.id]
    assert changed == [3, 4, 5, 9, 10]
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 5


def test_odd_names_are_planned_and_one_that_is_not_utf8_is_named_and_skipped(
    project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ["new\nline.mp4", "quote'\".mp4", "%03d.mp4", "a b.mp4", "{id}.mp4", "ünï.mp4"]
    folder = videos(project, *odd)
    try:
        (Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.mp4"))).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")

    specs = planned(project, "highlights")

    assert {Path(spec.args["source"]).name for spec in specs if spec.task == "media.probe"} == set(odd)
    assert "skipped 'bad\\udcff.mp4': its name is not UTF-8" in capsys.readouterr().err


def test_the_lane_of_the_analysis_follows_what_the_gpu_lane_can_do(project: Settings, tmp_path: Path) -> None:
    videos(project, "a.mp4")
    assert planned(project, "highlights", "--lane", "cpu")[1].lane == "cpu"
    (tmp_path / CONFIG_NAME).write_text("")
    assert planned(load(tmp_path), "highlights")[1].lane == "cpu"
    assert planned(load(tmp_path), "highlights", "--lane", "gpu")[1].lane == "gpu"


def test_a_folder_without_videos_or_none_at_all_is_one_sentence(project: Settings) -> None:
    with pytest.raises(UsageError, match="name the folder with the videos, or make samples"):
        plan("highlights", [], project.for_code)
    folder = videos(project)
    with pytest.raises(UsageError, match=r"there is no video in .*samples: looked for names that end in mp4"):
        plan("highlights", [], project.for_code)
    with pytest.raises(UsageError, match=r"none does not exist"):
        plan("highlights", [str(folder / "none")], project.for_code)
    with pytest.raises(UsageError, match="write WIDTHxHEIGHT in even numbers"):
        plan("highlights", [str(folder), "--size", "641x360"], project.for_code)


def test_a_folder_that_jobs_may_not_read_is_refused_with_the_line_to_add(
    project: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "a.mp4").touch()
    with pytest.raises(ConfigError, match=r'add it to conductor.toml, inputs = \[".*elsewhere'):
        plan("highlights", ["--inputs", str(elsewhere)], project.for_code)


def test_what_a_video_holds_stands_in_its_jobs_sizes_and_changes_no_id(project: Settings) -> None:
    folder = videos(project, "broken.mp4")
    clip(folder / "real.mp4", seconds=2.0, size="320x180")

    specs = planned(project, "highlights", "--seconds", "1", "--size", "640x360")

    sizes = [0.0 if spec.estimate is None else spec.estimate.size for spec in specs]
    assert sizes[:3] == [0.0, 0.0, 0.0]
    assert sizes[3:7] == pytest.approx([115_200.0, 115_200.0, 288_000.0, 460_800.0], rel=0.02)
    assert all(size == float(f"{size:.3g}") for size in sizes)
    assert [spec.id for spec in specs] == [id_of(spec) for spec in specs]


def test_a_plan_survives_what_a_library_does_with_a_file_and_names_it(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = videos(project, "broken.mp4")
    whole = clip(folder / "whole.mp4", seconds=1.0)
    without_decoder(folder / "raw.mp4", whole, b"avc1")
    real = probing.header

    def raising(path: Path, name: str) -> object:
        if name == "whole.mp4":
            raise AttributeError("'NoneType' object has no attribute 'name'")
        return real(path, name)

    monkeypatch.setattr(probing, "header", raising)
    assert len(planned(project, "highlights")) == 3 * 3 + 2
    said = capsys.readouterr().err
    assert "broken.mp4 is empty; it is planned, and will not be in the reel" in said
    assert (
        "whole.mp4 cannot be looked into (AttributeError: 'NoneType' object has no attribute 'name')" in said
    )


def test_a_video_that_goes_while_it_is_planned_is_left_out_and_named(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = videos(project, "a.mp4", "b.mp4")
    real = probing.header

    def taken_away(path: Path, name: str) -> object:
        if name == "a.mp4":
            path.unlink()
        return real(path, name)

    monkeypatch.setattr(probing, "header", taken_away)
    assert len(planned(project, "highlights")) == 3 + 2
    assert re.search(r"a\.mp4.*; it is left out", capsys.readouterr().err)
    monkeypatch.setattr(probing, "header", lambda path, name: path.unlink())
    with pytest.raises(UsageError, match="not one of the videos can be read"):
        list(planned(project, "highlights"))
    assert list(folder.iterdir()) == []


# ── gap_fill ──────────────────────────────────────────────────────────────────────────────────────────────


def corpus(project: Settings, documents: int, annotated: tuple[int, ...] = ()) -> str:
    file = project.project / "data" / "corpus.sqlite"
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO documents VALUES (?, ?)", [(n, f"text {n}") for n in range(documents)])
        db.execute("INSERT INTO documents VALUES (1000, '')")
        if annotated:
            db.execute("CREATE TABLE annotations (document_id INTEGER, annotation TEXT)")
            db.executemany("INSERT INTO annotations VALUES (?, '{}')", [(n,) for n in annotated])
    return str(file)


def test_only_documents_with_a_text_and_without_an_annotation_are_planned(project: Settings) -> None:
    specs = planned(
        project, "gap_fill", corpus(project, 10, annotated=(0, 5)), "--local", "ollama", "--batch", "3"
    )

    batches = [[item["id"] for item in spec.args["items"]] for spec in specs if spec.task == "llm.annotate"]
    assert batches == [["1", "2", "3"], ["4", "6", "7"], ["8", "9"]]
    assert [spec.task for spec in specs] == ["llm.annotate", "corpus.apply"] * 3
    assert specs[1].after == (specs[0].id,) and specs[1].args["corpus"] == "corpus:corpus.sqlite"
    assert specs[0].needs is not None and list(specs[0].needs.rates) == ["ollama"]
    characters = len(specs[0].args["instruction"]) + 3 * len("text 1")
    assert specs[0].estimate == Estimate(size=characters)


def test_batches_are_shared_between_the_local_and_the_cloud_lane(project: Settings) -> None:
    file = corpus(project, 80)
    both = ["--local", "ollama", "--cloud", "sky", "--batch", "1"]

    def lanes(*options: str) -> list[str | None]:
        specs = planned(project, "gap_fill", file, *both, *options)
        return [spec.lane for spec in specs if spec.task == "llm.annotate"]

    assert lanes("--share", "0.25").count("cloud") == 20
    assert lanes("--share", "0") == ["gpu"] * 80
    assert lanes("--share", "1", "--local-lane", "io") == ["cloud"] * 80


def test_a_corpus_without_gaps_gives_an_empty_manifest(project: Settings) -> None:
    assert planned(project, "gap_fill", corpus(project, 3, annotated=(0, 1, 2)), "--cloud", "sky") == []


def test_a_corpus_elsewhere_no_corpus_and_no_server_are_one_sentence_each(project: Settings) -> None:
    file = corpus(project, 1)
    (project.project / "toml.sqlite").write_bytes(Path(file).read_bytes())
    (project.project / "data" / "text.sqlite").write_text("not a database, however long it is" * 100)
    with pytest.raises(ConfigError, match=r"lies in no root.*\[roots.corpus\] with path ="):
        plan("gap_fill", [str(project.project / "toml.sqlite"), "--cloud", "sky"], project.for_code)
    with pytest.raises(ConfigError, match=r"text.sqlite is not a corpus with documents\(id, text\)"):
        plan("gap_fill", ["corpus:text.sqlite", "--cloud", "sky"], project.for_code)
    with pytest.raises(UsageError, match="is not a file"):
        plan("gap_fill", ["corpus:none.sqlite", "--cloud", "sky"], project.for_code)
    with pytest.raises(UsageError, match="name a server with --local or --cloud"):
        plan("gap_fill", [file], project.for_code)
    with pytest.raises(ConfigError, match=r"\[endpoints.skye\] is not in conductor.toml, did you mean sky"):
        plan("gap_fill", [file, "--cloud", "skye"], project.for_code)
