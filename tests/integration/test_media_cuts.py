"""A cut begins at the picture that was asked for, in every container; no picture of a transcode is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.tasks import media_cut, media_preview, media_probe, media_transcode

SIZE = {"width": 320, "height": 180, "fps": 25, "crf": 5}

LATE = {"avi": 1, "flv": 1, "wmv": 1}
CODECS: dict[str, list[object]] = {
    "wmv": ["-c:v", "wmv2", "-q:v", 2, "-c:a", "wmav2"],
    "mpg": ["-c:v", "mpeg2video", "-q:v", 2, "-bf", 2, "-c:a", "copy"],
    "avi": ["-c:v", "mpeg4", "-q:v", 2, "-c:a", "libmp3lame"],
    "flv": ["-c:v", "copy", "-c:a", "aac"],
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, a key picture each second and a half, and pictures that are sent before those shown
    before them.
    """
    folder = tmp_path_factory.mktemp("film")
    argv = [
        *media.pattern(4),
        *media.tone(4),
        "-c:v",
        "libx264",
        "-g",
        37,
        "-bf",
        2,
        "-c:a",
        "mp2",
        "-pix_fmt",
        "yuv420p",
    ]
    return media.made(folder / "film.mkv", *argv)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def cut(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    return bench.run(media_cut.run, {**SIZE, **args}, reads=[source], writes=["scratch:cut.mp4"])


def copied(folder: Path, film: Path, suffix: str) -> Path:
    """In that container, with a codec that is at home there."""
    return media.made(folder / f"a.{suffix}", "-i", film, *CODECS.get(suffix, ["-c", "copy"]))


def without_cues(folder: Path, film: Path) -> Path:
    """As a live recorder writes it: no index, no length."""
    return media.made(folder / "live.mkv", "-i", film, "-c", "copy", "-live", 1)


def of_one_key_picture(folder: Path, film: Path) -> Path:
    argv = ["-c:v", "libx264", "-preset", "ultrafast", "-g", 1000, "-c:a", "copy"]
    return media.made(folder / "one_key.ts", "-i", film, *argv)


def begun_late(folder: Path, film: Path) -> Path:
    """A recording that begins anywhere: before its first key picture."""
    whole = copied(folder, film, "ts").read_bytes()
    late = folder / "late.ts"
    late.write_bytes(whole[188 * (len(whole) // 188 // 12) :])
    return late


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "m2ts", "avi", "flv", "mpg", "wmv"])
def test_a_cut_begins_at_the_picture_asked_for(bench: Bench, film: Path, suffix: str):
    source = copied(bench.inputs, film, suffix)
    original = media.frames(film)
    for start_s, first in ((0.0, 0), (0.52, 13), (1.2, 30), (3.4, 85)):
        assert cut(bench, source, start_s=start_s, duration_s=0.4)["frames"] == 10
        made = media.frames(bench.made("scratch:cut.mp4"))
        # In some containers the picture begins a little after the sound, and so after the start of the file.
        begun = range(first - LATE.get(suffix, 0), first + 1)
        assert [media.nearest(made[at], original) for at in (4, 9)] in [[at + 4, at + 9] for at in begun]


def renewed_bit_by_bit(folder: Path, film: Path) -> Path:
    """As devices send live: only the first picture is whole, what looks like another key begins to renew
    it.
    """
    words = "intra-refresh=1:keyint=25:crf=8"
    return media.made(
        folder / "live.ts", "-i", film, "-c:v", "libx264", "-x264-params", words, "-c:a", "copy"
    )


@pytest.mark.parametrize("make", [without_cues, of_one_key_picture, renewed_bit_by_bit])
def test_a_cut_needs_no_index_and_no_second_key_picture(
    bench: Bench, film: Path, make: Callable[[Path, Path], Path]
):
    source = make(bench.inputs, film)
    assert cut(bench, source, start_s=3.2, duration_s=0.4)["frames"] == 10
    assert media.nearest(media.frames(bench.made("scratch:cut.mp4"))[0], media.frames(film)) == 80
    writes = ["scratch:p.jpg"]
    bench.run(media_preview.run, {"at": 0.3}, reads=[source], writes=writes)
    assert bench.made(writes[0]).stat().st_size > 0


def test_the_sound_of_a_cut_begins_with_its_picture(bench: Bench):
    """Silence, then a tone from the second second on."""
    tone = ["-f", "lavfi", "-i", "aevalsrc='if(lt(t,2),0,0.5*sin(880*t))':d=4:s=48000"]
    whole = media.made(bench.inputs / "w.mkv", *media.pattern(4), *tone, "-c:v", "libx264", "-c:a", "aac")
    for suffix in ("mp4", "ts"):
        source = media.made(bench.inputs / f"a.{suffix}", "-i", whole, "-c", "copy")
        cut(bench, source, start_s=1.5, duration_s=1.0)
        assert media.first_sound_s(bench.made("scratch:cut.mp4")) == pytest.approx(0.5, abs=0.06)


def test_a_recording_that_begins_before_its_first_key_picture_is_used(bench: Bench, film: Path):
    source = begun_late(bench.inputs, film)
    facts = bench.run(media_probe.run, {}, reads=[source], writes=["scratch:facts.json"])
    assert 0 < facts["frames"] < 100
    assert cut(bench, source, start_s=2.0, duration_s=0.4)["frames"] == 10
    made = bench.run(media_transcode.run, {}, reads=[source], writes=["scratch:t.mp4"])
    assert made["frames"] > 50


# ── no picture is lost ────────────────────────────────────────────────────────────────────────────────────


def varying(folder: Path, keep: str, rate: int) -> Path:
    argv = [
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=s=320x180:r={rate}:d=6",
        "-vf",
        f"select='{keep}'",
        "-fps_mode",
        "vfr",
    ]
    return media.made(folder / "v.mp4", *argv, "-c:v", "libx264", "-preset", "ultrafast", "-bf", 0)


SCREEN, PHONE = ("lt(t,1)+gt(t,5)", 25), ("not(eq(mod(n,40),7)+eq(mod(n,40),8))", 30)


@pytest.mark.parametrize(
    ("codec", "suffix", "recording"),
    [
        ("h264", "mkv", SCREEN),
        ("h264", "mkv", PHONE),
        ("h264", "ts", PHONE),
        ("h265", "mkv", SCREEN),
        ("vp9", "mkv", SCREEN),
        ("av1", "ts", SCREEN),
    ],
)
def test_every_picture_of_a_varying_rate_is_kept(
    bench: Bench, codec: str, suffix: str, recording: tuple[str, int]
):
    whole = varying(bench.inputs, *recording)
    source = media.made(bench.inputs / f"a.{suffix}", "-i", whole, "-c", "copy")
    write = "scratch:t.webm" if codec == "vp9" else "scratch:t.mp4"
    made = bench.run(media_transcode.run, {"codec": codec}, reads=[source], writes=[write])
    times = media.times(whole)
    assert made["frames"] == len(times)
    assert media.times(bench.made(write)) == pytest.approx(times, abs=0.01)


def test_a_rate_that_is_asked_for_is_made_of_a_varying_one(bench: Bench):
    source = varying(bench.inputs, "lt(t,1)+gt(t,5)", 25)
    made = bench.run(media_transcode.run, {"fps": 10}, reads=[source], writes=["scratch:t.mp4"])
    assert made["frames"] == pytest.approx(60, abs=1)


def test_pictures_that_cannot_be_decoded_are_counted(bench: Bench, film: Path):
    """Damage in the middle, which ffmpeg ends well on."""
    source = bench.inputs / "a.mp4"
    media.made(source, "-i", film, "-c", "copy", "-an")
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    source.write_bytes(content)
    with pytest.raises(
        BadInput, match=r"a\.mp4 does not decode whole: .*\(\d+ of 100 pictures could be decoded\)"
    ):
        bench.run(media_transcode.run, {}, reads=[source], writes=["scratch:t.mp4"])
