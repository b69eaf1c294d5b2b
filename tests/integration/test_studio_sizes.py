"""Ladders of sizes, by quality or bitrate, measured against their source."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from conductor.planning import run_plan
from conductor.record.manifest import read
from conductor.verify.verify import JobFacts
from workers.tasks import media_quality, media_transcode
from workflows.studio import plan as studio
from workflows.studio import verify
from workflows.studio.kinds import SETTINGS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = tmp_path_factory.mktemp("source") / "source.mkv"
    return media.made(clip, *media.pattern(4), *media.tone(4), "-c:v", "libx264", "-crf", "1", "-c:a", "flac")


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", "mp4"), ("h265", "mkv"), ("vp9", "webm"), ("av1", "mp4")]
)
def test_a_transcode_hits_the_bitrate_asked_for(tmp_path: Path, source: Path, codec: str, suffix: str):
    bench = Bench(tmp_path)
    (link := bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    args = {"codec": codec, "bitrate_kbps": 300}

    bench.run(media_transcode.run, args, reads=[link], writes=[f"scratch:t.{suffix}"], task="media.transcode")

    file = bench.made(f"scratch:t.{suffix}")
    sound_kbps = 160
    assert file.stat().st_size * 8 / 4 / 1000 == pytest.approx(300 + sound_kbps, rel=0.4)


def test_a_quality_and_a_bitrate_at_once_are_refused(tmp_path: Path, source: Path):
    bench = Bench(tmp_path)
    (link := bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    with pytest.raises(BadInput, match="a quality or a bitrate_kbps, one of them"):
        bench.run(
            media_transcode.run, {"quality": 20, "bitrate_kbps": 300}, reads=[link], writes=["scratch:t.mp4"]
        )


@pytest.mark.parametrize(("metric", "good", "bad"), [("ssim", 0.98, 0.9), ("vmaf", 90, 60)])
def test_quality_tells_a_good_copy_from_a_bad_one(
    tmp_path: Path, source: Path, metric: str, good: float, bad: float
):
    bench = Bench(tmp_path)
    (link := bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    found: list[float] = []
    for crf in (5, 50):
        copy = media.made(bench.inputs / f"{crf}.mkv", "-i", link, "-c:v", "libx264", "-crf", crf)
        result = bench.run(media_quality.run, {"metric": metric}, reads=[copy, link], task="media.quality")
        found.append(result["mean"])
        assert result["worst"] <= result["mean"] and result["pictures"] == 100
    assert found[0] > good and found[1] < bad


def test_films_of_different_length_are_not_compared(tmp_path: Path, source: Path):
    bench = Bench(tmp_path)
    (link := bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    short = media.made(bench.inputs / "short.mkv", "-t", 2, "-i", link, "-c:v", "libx264")
    with pytest.raises(BadInput, match=r"short\.mkv lasts 2\.0 s and s\.mkv 4\.0 s"):
        bench.run(media_quality.run, {}, reads=[short, link], task="media.quality")


def test_a_ladder_has_a_size_a_job_and_is_measured_against_its_source(tmp_path: Path, source: Path):
    (tmp_path / "conductor.toml").write_text("[counters.transcode]\nlimit = 2\n")
    bench = Bench(tmp_path)
    (bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    parser = ArgumentParser()
    studio.add_arguments(parser)
    argv = [
        "transcode",
        str(bench.inputs),
        "--heights",
        "90,180",
        "--kbps",
        "400",
        "--metric",
        "ssim",
        "--floor",
        "0.9",
    ]

    jobs = list(studio.plan(parser.parse_args(argv), bench.settings.for_code))

    made = [job for job in jobs if job.task == "media.transcode"]
    assert [(job.args["max_height"], job.args["bitrate_kbps"], job.priority) for job in made] == [
        (180, 400, 7),
        (90, 100, 7),
    ]
    assert all(job.needs and job.needs.counters == {"transcode": 1} for job in made)
    assert [job.after for job in jobs if job.task == "media.quality"] == [(job.id,) for job in made]
    worst = SimpleNamespace(result={"metric": "ssim", "mean": 0.8})
    assert list(verify.FilmCheck().check_job(jobs[1], cast("Any", worst), JobFacts(outputs={}))) == [
        "its ssim is 0.8, less than the 0.9 asked for"
    ]


def test_kinds_have_the_priorities_of_conductor_toml_and_the_readme_shows_what_the_demo_writes(
    tmp_path: Path, source: Path
):
    changed = SETTINGS.replace('"media.transcode" = 7', '"media.transcode" = -3')
    (tmp_path / "conductor.toml").write_text(changed)
    bench = Bench(tmp_path)
    (bench.inputs / "s.mkv").write_bytes(source.read_bytes())
    settings = bench.settings.for_code
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for argv in (["transcode", str(bench.inputs), "--metric", "ssim"], ["preview", str(bench.inputs)]):
        path, _ = run_plan(
            "studio", "", studio.add_arguments, studio.plan, studio.manifest_name, argv, settings
        )
        for job in read(path):
            found[job.task] = job.priority, job.needs.counters if job.needs else {}

    assert found == {
        "media.transcode": (-3, {"transcode": 1}),
        "media.quality": (4, {}),
        "media.preview": (5, {"preview": 1}),
        "media.stills": (5, {"preview": 1}),
    }
    assert SETTINGS.strip() in (Path(studio.__file__).parent / "README.md").read_text(encoding="utf-8")
