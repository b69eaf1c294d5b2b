"""A film out of scenes: exact to the picture, as one single graph makes it, and of the loudness asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import media
import pytest
import studio_scene
from task_bench import Bench

from conductor.base.errors import BadInput, ConfigError, UsageError
from workers.media import ffmpeg, fonts, probing
from workers.tasks import media_compose
from workflows.studio import plan as studio
from workflows.studio.storyboard import Stretch, samples_of, stretches

FPS = 25


def test_stretches_cover_the_film_once_and_in_order():
    found = list(stretches([100, 60, 80], [25, 10], longest=40))

    assert [(s.first, s.end) for s in found] == [
        *((0, 40), (40, 75), (75, 100)),  # Two of the first scene, then the seam.
        *((100, 125), (125, 135)),
        *((135, 175), (175, 205)),
    ]
    assert [[tuple(part) for part in s.parts] for s in found][2] == [(0, 75), (1, 0)]
    assert sum(s.frames for s in found) == 100 + 60 + 80 - 25 - 10


def test_a_stretch_ends_where_something_begins_to_lie_over_it_if_enough_is_left_on_both_sides():
    found = list(stretches([100, 60], [20], longest=60, shortest=10, edges={5, 30, 75, 85, 130, 400}))

    assert [(s.first, s.end) for s in found] == [(0, 30), (30, 80), (80, 100), (100, 130), (130, 140)]


def test_samples_do_not_drift_however_odd_the_rate_is():
    fps, cut = 30_000 / 1001, [Stretch(n, n + 7, ()) for n in range(0, 7000, 7)]
    assert sum(samples_of(each, fps) for each in cut) == round(7000 * 48_000 / fps)


def test_a_scene_shorter_than_its_transitions_is_refused_by_its_number():
    with pytest.raises(UsageError, match="scene 2 has 30 pictures, its transitions take 25 and 10"):
        list(stretches([100, 30, 80], [25, 10], longest=40))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Path, dict[str, Any], dict[str, Any]]:
    """Three clips of 3 s with fades of 1 s, and a picture over the first of them; → the bench, the film, its
    result and its storyboard."""
    folder = tmp_path_factory.mktemp("studio")
    bench = Bench(folder)
    sources = ("testsrc2", "smptebars", "testsrc")
    for number, source in enumerate(sources):
        as_said = "format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
        picture = ["-f", "lavfi", "-i", f"{source}=s=320x180:r={FPS}:d=4,{as_said}"]
        media.made(bench.inputs / f"{number}.mkv", *picture, *media.tone(4), "-c:v", "ffv1", "-c:a", "flac")
    media.made(
        bench.inputs / "logo.png", "-f", "lavfi", "-i", "color=red:s=40x40", "-frames:v", "1", "-c:v", "png"
    )
    board = {
        "width": 320,
        "height": 180,
        "fps": FPS,
        "scenes": [{"file": f"{n}.mkv", "in_s": 0.4, "out_s": 3.4} for n in range(3)],
        "overlays": [{"file": "logo.png", "at_s": 1.0, "seconds": 2.0, "x": 0, "y": 0, "height": 0.2}],
        "loudness": -20,
        "crf": 8,  # What is compared is which picture stands where.
    }
    return bench, *studio_scene.made(bench, board), board


def test_it_has_exactly_the_pictures_that_it_should_and_sound_to_the_end(film: tuple[Bench, Path, Any, Any]):
    _, file, result, _ = film
    facts = probing.probe(file, file.name)
    assert (facts.frames, result["frames"], result["stretches"]) == (175, 175, 6)
    assert facts.sound is not None
    assert abs(facts.ends_s - 175 / FPS) < 1 / FPS


def test_it_shows_what_one_single_graph_shows(film: tuple[Bench, Path, Any, Any]):
    bench, file, _, _ = film
    inputs = [
        word for n in range(3) for word in ("-ss", "0.4", "-t", "3", "-i", str(bench.inputs / f"{n}.mkv"))
    ]
    graph = (
        "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[2:v]format=yuv420p[c];"
        "[a][b]xfade=fade:duration=1:offset=2[ab];[ab][c]xfade=fade:duration=1:offset=4[abc];"
        "[3:v]scale=-2:36[logo];[abc][logo]overlay=x=0:y=0:enable='between(n,25,74)'[one];[one][4:v]ssim"
    )
    said = subprocess.run(
        [
            *(
                ffmpeg.binary(),
                "-hide_banner",
                *inputs,
                "-i",
                str(bench.inputs / "logo.png"),
                "-i",
                str(file),
            ),
            *("-lavfi", graph, "-f", "null", "-"),
        ],
        capture_output=True,
        check=True,
        text=True,
    ).stderr
    assert float(re.findall(r"All:([0-9.]+)", said)[-1]) >= 0.99


def test_its_loudness_is_the_one_asked_for(film: tuple[Bench, Path, Any, Any]):
    _, file, result, _ = film
    said = subprocess.run(
        [ffmpeg.binary(), "-hide_banner", "-nostats", "-i", str(file), "-af", "ebur128", "-f", "null", "-"],
        capture_output=True,
        check=True,
        text=True,
    ).stderr
    assert float(re.findall(r"I: +(-?[0-9.]+) LUFS", said)[-1]) == pytest.approx(-20, abs=0.5)
    assert result["loudness"] == pytest.approx(-20, abs=0.5) and result["was"] != -20


@pytest.mark.skipif(
    fonts.usual() is None and "CI" not in os.environ, reason="no usual font is installed here"
)
def test_text_and_subtitles_are_seen_where_they_should_be_and_nowhere_else(tmp_path: Path):
    bench = Bench(tmp_path)
    media.made(bench.inputs / "a.mkv", "-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=4", "-c:v", "ffv1")
    (bench.inputs / "it's: a%n.srt").write_text(
        "1\n00:00:02,000 --> 00:00:03,000\nwritten\n", encoding="utf-8"
    )
    board: dict[str, Any] = {
        "width": 320,
        "height": 180,
        "scenes": [{"file": "a.mkv"}],
        "overlays": [{"text": '%{pts} it\'s\\: "so"', "at_s": 1, "seconds": 0.4, "y": 0.5}],
        "subtitles": {"file": "it's: a%n.srt", "burnt_in": True},
    }
    file, result = studio_scene.made(bench, board)

    seen = [brightest(file, at_s) > 100 for at_s in (0.5, 1.2, 1.7, 2.5, 3.5)]
    assert seen == [False, True, False, True, False]
    assert result["loudness"] is None, "silence has none"


def brightest(file: Path, at_s: float) -> int:
    argv = [ffmpeg.binary(), "-loglevel", "error", "-ss", str(at_s), "-i", str(file), "-frames:v", "1"]
    return max(
        subprocess.run(
            [*argv, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True
        ).stdout
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transition": {"name": "wipeleftt"}}, "no transition is named 'wipeleftt', did you mean wipeleft"),
        ({"scenes": []}, r"Expected `array` of length >= 1"),
        ({"scene": []}, "unknown field `scene`"),
    ],
)
def test_a_storyboard_that_cannot_be_is_refused_by_its_field(tmp_path: Path, change: Any, words: str):
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"scenes": [{"file": "a.mp4", "out_s": 3}], **change}), encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        list(studio.plan(Namespace(kind="render", storyboard=file), Bench(tmp_path).settings.for_code))


def test_a_window_that_the_film_does_not_have_is_named(film: tuple[Bench, Path, Any, Any]):
    bench = film[0]
    args = {
        "layers": [{"source": str(bench.inputs / "0.mkv"), "start_s": 3}],
        "frames": 100,
        "samples": 192_000,
        "fps": FPS,
    }
    with pytest.raises(BadInput, match=r"0\.mkv is 4\.0 s long, there are no 4 s at 3 s"):
        bench.run(media_compose.run, args, reads=[bench.inputs / "0.mkv"], writes=["scratch:a.mkv"])
