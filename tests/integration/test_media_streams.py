"""The film among the streams of a file, and the three lengths: of the picture, of the sound, of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from conductor.verify.media_facts import count, decode
from workers.tasks import (
    media_assemble,
    media_cut,
    media_preview,
    media_probe,
    media_transcode,
    vision_analyse,
)

SMALL = {"width": 160, "height": 90, "fps": 25}
STILL = ["-f", "lavfi", "-i", "color=c=blue:s=640x360:d=1:r=1"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def probed(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    return bench.run(media_probe.run, args, reads=[source], writes=["scratch:facts.json"])


def transcoded(bench: Bench, source: Path, write: str = "scratch:a.mp4", **args: Any) -> dict[str, Any]:
    return bench.run(media_transcode.run, args, reads=[source], writes=[write])


def cut(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    return bench.run(media_cut.run, {**SMALL, **args}, reads=[source], writes=["scratch:cut.mp4"])


def analysed(bench: Bench, source: Path) -> dict[str, Any]:
    return bench.run(vision_analyse.run, {"seconds": 1.0}, reads=[source], writes=["scratch:seen.json"])


def previewed(bench: Bench, source: Path) -> dict[str, Any]:
    return bench.run(media_preview.run, {}, reads=[source], writes=["scratch:p.jpg", "scratch:p.mp4"])


# ── which stream is the film ──────────────────────────────────────────────────────────────────────────────


def thumbnail_first(folder: Path) -> Path:
    still = media.made(folder / "t.png", *STILL, "-frames:v", 1, "-c:v", "png")
    film = media.made(
        folder / "film.mp4", *media.pattern(2), *media.tone(2), "-c:v", "libx264", "-c:a", "aac"
    )
    argv = [
        "-i",
        still,
        "-i",
        film,
        "-map",
        0,
        "-map",
        1,
        "-c:v:0",
        "mjpeg",
        "-c:v:1",
        "copy",
        "-c:a",
        "copy",
    ]
    return media.made(folder / "a.mov", *argv)


def cover_in_matroska(folder: Path) -> Path:
    """A cover as the first track, larger than the film, without a flag; .mkv counts no pictures."""
    mov = thumbnail_first(folder)
    return media.made(folder / "a.mkv", "-i", mov, "-map", 0, "-c", "copy")


def two_sizes(folder: Path) -> Path:
    """A moving proxy in front of the film."""
    proxy = [*media.pattern(2, size="64x36"), *media.pattern(2), "-map", 0, "-map", 1, "-c:v", "libx264"]
    return media.made(folder / "a.mp4", *proxy)


def transport_stream(folder: Path) -> Path:
    return media.made(folder / "a.ts", "-i", two_sizes(folder), "-map", 0, "-c", "copy")


@pytest.mark.parametrize("make", [thumbnail_first, cover_in_matroska, two_sizes, transport_stream])
def test_the_film_is_what_moves_and_is_large_in_every_task(bench: Bench, make: Callable[[Path], Path]):
    source = make(bench.inputs)
    facts = probed(bench, source)
    assert (facts["width"], facts["height"], facts["frames"]) == (320, 180, 50)
    assert transcoded(bench, source)["frames"] == 50
    assert cut(bench, source, start_s=0.5, duration_s=1)["frames"] == 25
    assert analysed(bench, source)["frames"] == 8
    assert previewed(bench, source)["outputs"]["scratch:p.mp4"]["frames"] == 22


def test_verify_counts_the_film_and_not_its_thumbnail(tmp_path: Path):
    source = thumbnail_first(tmp_path)
    for fact in (count(source, lambda: None), decode(source)):
        assert (fact.fault, fact.pictures, fact.width) == (None, 50, 320)


def test_a_sound_without_decoder_in_front_of_another_is_passed_over(bench: Bench):
    two = [
        *media.pattern(1),
        *media.tone(1),
        "-map",
        0,
        "-map",
        1,
        "-map",
        1,
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
    ]
    whole = media.made(bench.inputs / "two.mp4", *two)
    source = media.without_decoder(bench.inputs / "a.mp4", whole, b"mp4a", track=1)
    facts = probed(bench, source)
    assert (facts["sound"], facts["audio_codec"], facts["unread"]) == (2, "aac", ("audio",))
    assert transcoded(bench, source)["frames"] == 25
    assert decode(source).fault is None


def test_a_film_whose_only_sound_has_no_decoder_is_cut_and_says_so_and_is_not_transcoded(bench: Bench):
    whole = media.clip(bench.inputs / "whole.mp4", seconds=1)
    source = media.without_decoder(bench.inputs / "a.mp4", whole, b"mp4a", track=1)
    assert probed(bench, source)["has_audio"] is False
    assert cut(bench, source, start_s=0, duration_s=0.5)["changed"] == ["silent: no decoder for its sound"]
    with pytest.raises(BadInput, match=r"a\.mp4 cannot be transcoded whole: no decoder here reads its sound"):
        transcoded(bench, source)


def test_a_still_in_front_of_a_film_without_decoder_is_not_that_film(bench: Bench):
    source = media.without_decoder(bench.inputs / "b.mov", thumbnail_first(bench.inputs), b"avc1", track=1)
    with pytest.raises(BadInput, match=r"b\.mov cannot be used \(no decoder here reads its picture\)"):
        probed(bench, source)


def test_a_track_that_its_decoder_makes_nothing_of_is_passed_over(bench: Bench):
    two = media.made(bench.inputs / "w.mov", *media.pattern(1), *media.pattern(1), "-map", 0, "-map", 1)
    source = media.without_decoder(bench.inputs / "a.mov", two, b"avc1")
    facts = probed(bench, source)
    assert (facts["film"], facts["frames"], facts["unread"]) == (1, 25, ("video",))
    assert transcoded(bench, source)["frames"] == 25


# ── three lengths ─────────────────────────────────────────────────────────────────────────────────────────


def sound_longer(folder: Path) -> Path:
    return media.made(folder / "a.mp4", *media.pattern(2), *media.tone(6), "-c:v", "libx264", "-c:a", "aac")


def sound_longer_in_matroska(folder: Path) -> Path:
    return media.made(folder / "b.mkv", "-i", sound_longer(folder), "-c", "copy")


def subtitles_longer(folder: Path) -> Path:
    words = folder / "s.srt"
    words.write_text("1\n00:00:01,000 --> 00:00:02,000\nhi\n\n2\n00:00:28,000 --> 00:00:30,000\nlate\n")
    return media.made(
        folder / "c.mkv", *media.pattern(2), "-i", words, "-map", 0, "-map", 1, "-c:v", "libx264"
    )


def sound_shorter(folder: Path) -> Path:
    return media.made(folder / "d.mp4", *media.pattern(2), *media.tone(0.5), "-c:v", "libx264", "-c:a", "aac")


@pytest.mark.parametrize("make", [sound_longer, sound_longer_in_matroska, subtitles_longer, sound_shorter])
def test_a_whole_clip_is_whole_whatever_lasts_longer_than_its_picture(
    bench: Bench, make: Callable[[Path], Path]
):
    source = make(bench.inputs)
    assert probed(bench, source)["picture_s"] == pytest.approx(2.0, abs=0.05)
    assert transcoded(bench, source)["frames"] == 50
    assert analysed(bench, source)["frames"] == 8
    assert cut(bench, source, start_s=1.0, duration_s=1.0)["frames"] == 25
    for fact in (count(source, lambda: None), decode(source)):
        assert (fact.fault, fact.pictures) == (None, 50)


def test_the_last_picture_lasts_until_the_sound_ends(bench: Bench):
    source = sound_longer(bench.inputs)
    assert cut(bench, source, start_s=4.0, duration_s=1.0)["frames"] == 25
    with pytest.raises(BadInput, match=r"a\.mp4 is 6\.0 s long, there is no window of 2 s at 5 s"):
        cut(bench, source, start_s=5.0, duration_s=2.0)
    other = media.clip(bench.inputs / "other.mp4", seconds=1)
    result = bench.run(media_assemble.run, reads=[source, other], writes=["scratch:reel.mp4"])
    assert (result["picture"], result["duration_s"], result["frames"]) == ("encoded", 7.0, 175)


def test_a_picture_that_comes_late_is_shown_from_the_start_and_keeps_its_time(bench: Bench):
    whole = media.clip(bench.inputs / "w.mp4", seconds=2)
    late = ["-itsoffset", 1, "-i", whole, "-i", whole, "-map", "0:v", "-map", "1:a", "-c", "copy"]
    source = media.made(bench.inputs / "a.mkv", *late)
    assert (transcoded(bench, source)["frames"], transcoded(bench, source)["duration_s"]) == (50, 3.0)
    assert cut(bench, source, start_s=0, duration_s=0.4)["frames"] == 10
    assert cut(bench, source, start_s=2.5, duration_s=0.4)["frames"] == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_clip_of_one_picture_is_a_clip(bench: Bench, suffix: str):
    source = media.made(bench.inputs / f"a.{suffix}", *media.pattern(1), "-frames:v", 1)
    assert probed(bench, source)["frames"] == 1
    assert transcoded(bench, source)["frames"] == 1
    assert cut(bench, source, start_s=0, duration_s=0.04)["frames"] == 1
    assert analysed(bench, source)["frames"] == 1
    assert previewed(bench, source)["outputs"]["scratch:p.mp4"]["frames"] == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_slideshow_is_a_clip_and_each_picture_is_shown_at_its_time(bench: Bench, suffix: str):
    slow = ["-f", "lavfi", "-i", "testsrc=s=320x180:r=1:d=3", "-vf", "setpts=N*5/TB", "-fps_mode", "vfr"]
    source = media.made(bench.inputs / f"a.{suffix}", *slow, "-enc_time_base", "1/1000")
    assert transcoded(bench, source)["frames"] == 3
    assert analysed(bench, source)["frames"] >= 40
    assert cut(bench, source, start_s=7.0, duration_s=1.0)["frames"] == 25
    shown = media.frames(bench.made("scratch:cut.mp4"))
    slides = media.frames(
        media.made(bench.inputs / "small.mkv", "-i", source, "-vf", "scale=160:90", "-fps_mode", "vfr")
    )
    assert {media.nearest(frame, slides) for frame in shown} == {1}


# ── what is not there ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_clip_that_breaks_off_is_no_whole_one_even_where_its_sound_is_longer(
    bench: Bench, suffix: str, share: float
):
    index = ["-movflags", "+faststart"] if suffix == "mp4" else []
    whole = media.made(bench.inputs / f"w.{suffix}", "-i", sound_longer(bench.inputs), "-c", "copy", *index)
    source = media.cut_off(bench.inputs / f"cut.{suffix}", whole, share)
    with pytest.raises(BadInput, match="breaks off at"):
        probed(bench, source)
    with pytest.raises(BadInput, match="breaks off"):
        transcoded(bench, source)


def test_the_end_of_a_clip_is_missed_by_one_picture(bench: Bench):
    argv = [*media.pattern(2), "-c:v", "libx264", "-preset", "ultrafast", "-movflags", "+faststart"]
    whole = media.made(bench.inputs / "w.mp4", *argv)
    source = bench.inputs / "a.mp4"
    source.write_bytes(whole.read_bytes()[:-4000])
    with pytest.raises(BadInput, match=r"4\d of 50 pictures"):
        probed(bench, source)
    with pytest.raises(BadInput, match=r"4\d of 50 pictures"):
        transcoded(bench, source)


def test_a_clip_trimmed_without_encoding_has_the_pictures_that_it_shows(bench: Bench):
    """An edit list: the file holds more pictures than are shown, from a key picture on."""
    whole = media.made(
        bench.inputs / "w.mp4", *media.pattern(4), *media.tone(4), "-c:v", "libx264", "-c:a", "aac"
    )
    source = media.made(bench.inputs / "a.mp4", "-ss", 1.3, "-i", whole, "-c", "copy")
    made = transcoded(bench, source)["frames"]
    assert made == probed(bench, source, check="frames")["frames"]
    assert decode(source).fault is None
