"""Clips of many kinds, and damaged ones, as scenes of a film: exact to the picture, or refused in words."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import pytest
from studio_scene import made
from task_bench import Bench

from conductor.base.errors import BadInput, UsageError
from workers.media import ffmpeg, probing
from workers.tasks import media_compose

FPS, SIZE = 25, "160x90"
PICTURE = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def turned(path: Path) -> None:
    """As a phone held upright leaves it."""
    whole = media.made(path.with_name("level.mp4"), *media.pattern(2, size=SIZE), *PICTURE)
    argv = [ffmpeg.binary(), "-loglevel", "error", "-display_rotation", "90", "-i", whole, "-c", "copy", path]
    subprocess.run(list(map(str, argv)), check=True)


def uneven(path: Path) -> None:
    """Its pictures come at no rate."""
    thinned = ["-vf", "select='not(mod(n,3))+lt(n,20)'", "-fps_mode", "vfr"]
    media.made(path, *media.pattern(2, size=SIZE), *thinned, *PICTURE)


def late(path: Path) -> None:
    """Its sound begins after its picture, and has another rate and one channel."""
    sound = ["-itsoffset", "0.5", "-f", "lavfi", "-i", "sine=f=440:d=1.5:r=22050"]
    media.made(path, *media.pattern(2, size=SIZE), *sound, *PICTURE, "-c:a", "flac")


def odd(path: Path) -> None:
    """Sides that 4:2:0 does not have, and the rate of NTSC."""
    drawn = "testsrc2=s=161x91:r=30000/1001:d=2"
    media.made(path, "-f", "lavfi", "-i", drawn, "-c:v", "ffv1")


def single(path: Path) -> None:
    """One picture is all there is."""
    media.made(path, *media.pattern(0.04, size=SIZE), *PICTURE)


@pytest.mark.parametrize("draw", [turned, uneven, late, odd, single], ids=lambda draw: draw.__name__)
def test_a_clip_of_each_kind_is_a_scene_to_the_picture_and_sound_ends_with_it(
    tmp_path: Path, draw: Callable[[Path], None]
):
    bench = Bench(tmp_path)
    draw(bench.inputs / "clip.mkv")
    media.made(
        bench.inputs / "first.mkv", *media.pattern(1, size=SIZE), *media.tone(1), *PICTURE, "-c:a", "flac"
    )
    is_single = draw is single
    scenes: list[dict[str, Any]] = [{"file": "first.mkv", "out_s": 1.0}]
    scenes.append({"file": "clip.mkv"} if is_single else {"file": "clip.mkv", "in_s": 0.2, "out_s": 1.8})
    seconds = 0.04 if is_single else 0.4

    board = {"width": 160, "height": 90, "scenes": scenes, "loudness": None}
    film, result = made(bench, {**board, "transition": {"name": "fade", "seconds": seconds}})

    facts = probing.probe(film, film.name)
    assert facts.frames == result["frames"] == (25 if is_single else 25 + 40 - 10)
    assert abs((facts.picture_s or 0) - (facts.sound_s or 0)) < 1 / FPS


#: File → how it is encoded, and how many channels its sound has.
KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "deep.mkv": (
        ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le", "-c:a", "flac"),
        2,
    ),
    "fields.ts": (
        ("-c:v", "mpeg2video", "-vf", "setfield=tff", "-flags", "+ildct+ilme", "-q:v", "3", "-c:a", "ac3"),
        6,
    ),
    "web.webm": (("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"), 1),
    "edit.mov": (("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le"), 1),
}


def test_one_film_of_clips_of_many_codecs_and_containers_is_exact(tmp_path: Path):
    bench = Bench(tmp_path)
    for name, (how, channels) in KINDS.items():
        sound = (*media.tone(2), "-ac", str(channels))
        media.made(bench.inputs / name, *media.pattern(2, size=SIZE), *sound, *how)
    scenes = [{"file": name, "in_s": 0.2, "out_s": 1.8} for name in KINDS]
    board = {"width": 160, "height": 90, "scenes": scenes, "transition": {"name": "fade", "seconds": 0.4}}

    film, result = made(bench, {**board, "loudness": None})

    facts = probing.probe(film, film.name)
    assert facts.frames == result["frames"] == 4 * 40 - 3 * 10
    assert abs((facts.picture_s or 0) - (facts.sound_s or 0)) < 1 / FPS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zero.mp4", "zero.mp4 is empty"),
        ("cut.mp4", r"cut.mp4 is cut off: the index \(moov\) is missing"),
        ("cut.mkv", "cut.mkv is cut off: it breaks off at"),
        ("sound.mp4", r"sound.mp4 is not a video \(no picture stream found\)"),
    ],
)
def test_a_damaged_clip_is_named_by_the_plan_or_by_its_job(tmp_path: Path, name: str, words: str):
    """The plan has to know where a scene ends that does not say so; else only the job reads it."""
    bench = Bench(tmp_path)
    whole = bench.inputs / f"whole{Path(name).suffix}"
    media.made(whole, *media.pattern(2, size=SIZE), *media.tone(2), *PICTURE, "-c:a", "aac")
    file = bench.inputs / name
    if name.startswith("zero"):
        file.touch()
    elif name.startswith("sound"):
        media.made(file, *media.tone(2), "-c:a", "aac")
    else:
        media.cut_off(file, whole, 0.3)

    with pytest.raises(UsageError, match=words):
        made(bench, {"width": 160, "height": 90, "scenes": [{"file": name}]})
    with pytest.raises(BadInput, match=words):
        made(bench, {"width": 160, "height": 90, "scenes": [{"file": name, "out_s": 1.5}]})


def test_a_scene_that_is_shown_twice_is_made_once(tmp_path: Path):
    bench = Bench(tmp_path)
    media.made(bench.inputs / "a.mkv", *media.pattern(1, size=SIZE), *PICTURE)
    scenes = [{"file": "a.mkv", "out_s": 1.0}] * 3
    board = {"width": 160, "height": 90, "scenes": scenes, "transition": {"name": "none"}, "loudness": None}

    _, result = made(bench, board)

    assert (result["frames"], result["stretches"], bench.attempt) == (75, 3, 2)


@pytest.mark.parametrize("start_s", [0.0, 0.4], ids=["at one place", "apart"])
def test_a_seam_between_two_clips_without_sound_is_silent(tmp_path: Path, start_s: float):
    bench = Bench(tmp_path)
    clip = media.made(bench.inputs / "a.mkv", *media.pattern(1, size=SIZE), *PICTURE)
    layers = [{"source": str(clip)}, {"source": str(clip), "start_s": start_s}]
    args = {"layers": layers, "frames": 10, "samples": 19_200, "fps": FPS, "width": 160, "height": 90}

    bench.run(media_compose.run, args, reads=[clip], writes=["scratch:seam.mkv"])

    facts = probing.probe(bench.made("scratch:seam.mkv"), "seam.mkv")
    assert facts.frames == 10 and facts.sound is not None
