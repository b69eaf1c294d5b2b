"""Rotation, pixel shape, fields, crop, range, primaries, HDR: carried, or converted and said; «same form»
is all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from task_bench import Bench

from workers.tasks import (
    media_assemble,
    media_cut,
    media_preview,
    media_probe,
    media_transcode,
    vision_analyse,
)

SIZE = {"width": 320, "height": 180, "fps": 25}
#: Of a signal in 10 bits: diffuse white (203 cd/m²) in PQ, and in HLG.
WHITE = {"smpte2084": 573, "arib-std-b67": 721}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def field(colour: str, size: str = "320x180", seconds: float = 1) -> list[str]:
    return ["-f", "lavfi", "-i", f"color=c={colour}:s={size}:r=25:d={seconds}"]


def hdr(path: Path, transfer: str = "smpte2084", size: str = "320x180") -> Path:
    """A field of diffuse white, with the words of a mastering display."""
    words = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:max-cll=1000,400:log-level=error"
    light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    lum = f"format=yuv420p10le,geq=lum={WHITE[transfer]}:cb=512:cr=512"
    argv = [*field("black", size, 0.4), "-vf", lum, "-pix_fmt", "yuv420p10le"]
    return media.made(
        path, *argv, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"{words}:{light}"
    )


def cut(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    given = {"start_s": 0, "duration_s": 0.2, **SIZE, **args}
    return bench.run(media_cut.run, given, reads=[source], writes=["scratch:cut.mp4"])


def transcoded(bench: Bench, source: Path, write: str = "scratch:t.mp4", **args: Any) -> dict[str, Any]:
    return bench.run(media_transcode.run, args, reads=[source], writes=[write])


def poster(bench: Bench, source: Path) -> np.ndarray:
    bench.run(media_preview.run, {}, reads=[source], writes=["scratch:p.jpg"])
    return media.frames(bench.made("scratch:p.jpg"))[0]


def tags(path: Path) -> tuple[int, int, int, int]:
    """(range, matrix, transfer, primaries) of the first picture."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.color_range, frame.colorspace, frame.color_trc, frame.color_primaries


BT709 = (1, 1, 1, 1)


def luma(path: Path) -> float:
    """Mean of the first picture's luma, as stored."""
    with av.open(str(path)) as container:
        plane = next(container.decode(video=0)).to_ndarray()
        return float(plane[: container.streams.video[0].height].mean())


def facts(bench: Bench, source: Path) -> dict[str, Any]:
    return bench.run(media_probe.run, {}, reads=[source], writes=["scratch:facts.json"])


# ── HDR ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("transfer", list(WHITE))
def test_what_shows_hdr_on_a_screen_of_before_tone_maps_it_and_says_so(bench: Bench, transfer: str):
    source = hdr(bench.inputs / "hdr.mp4", transfer)
    said = ["tone-mapped from PQ" if transfer == "smpte2084" else "tone-mapped from HLG"]
    assert cut(bench, source)["changed"] == said
    made = bench.made("scratch:cut.mp4")
    assert (tags(made), 210 < luma(made) <= 235) == (BT709, True)
    assert poster(bench, source).mean() > 225
    assert transcoded(bench, source)["changed"] == said
    assert tags(bench.made("scratch:t.mp4")) == BT709
    bench.run(vision_analyse.run, {}, reads=[source], writes=["scratch:seen.json"])


@pytest.mark.parametrize(("codec", "name"), [("h265", "t.mp4"), ("av1", "t.mp4"), ("vp9", "t.webm")])
def test_codecs_of_today_keep_hdr_with_ten_bits(bench: Bench, codec: str, name: str):
    source = hdr(bench.inputs / "hdr.mp4")
    assert transcoded(bench, source, f"scratch:{name}", codec=codec)["changed"] == []
    made = bench.made(f"scratch:{name}")
    assert tags(made) == (1, 9, 16, 9)
    with av.open(str(made)) as container:
        assert next(container.decode(video=0)).format.name == "yuv420p10le"


def test_a_cut_of_hdr_and_one_of_sdr_are_of_one_form(bench: Bench):
    for name, source in (
        ("a", hdr(bench.inputs / "hdr.mp4")),
        ("b", media.clip(bench.inputs / "sdr.mp4", seconds=1)),
    ):
        cut(bench, source)
        bench.put(f"scratch:cuts/{name}.mp4", bench.made("scratch:cut.mp4"))
    reads = ["scratch:cuts/a.mp4", "scratch:cuts/b.mp4"]
    assert bench.run(media_assemble.run, reads=reads, writes=["scratch:r.mp4"])["picture"] == "copied"


# ── range, matrix, primaries ──────────────────────────────────────────────────────────────────────────────


def full_range(folder: Path) -> Path:
    return media.made(folder / "full.mp4", *field("white"), "-pix_fmt", "yuvj420p", "-c:v", "libx264")


def test_full_range_is_kept_by_a_transcode_and_made_limited_by_a_cut(bench: Bench):
    source = full_range(bench.inputs)
    assert luma(source) == 255
    transcoded(bench, source)
    made = bench.made("scratch:t.mp4")
    assert (luma(made), tags(made)[0]) == (255, 2)
    cut(bench, source)
    made = bench.made("scratch:cut.mp4")
    assert (luma(made), tags(made)) == (235, BT709)
    assert poster(bench, source).min() > 250


@pytest.mark.parametrize("size", ["320x180", "1280x720"])
def test_colours_that_are_not_tagged_are_those_that_players_take(bench: Bench, size: str):
    """Small pictures are BT.601, large ones BT.709: the red of either is that red."""
    matrix = "bt601" if size == "320x180" else "bt709"
    argv = [*field("red", size, 0.4), "-vf", f"scale=out_color_matrix={matrix},setparams=colorspace=unknown"]
    source = media.made(bench.inputs / "red.mkv", *argv, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", 5)
    cut(bench, source)
    red = shown(bench.made("scratch:cut.mp4"))
    assert np.abs(red - [254, 0, 0]).max() < 6
    assert np.abs(poster(bench, source)[60, 60].astype(int) - [254, 0, 0]).max() < 6


def test_a_large_untagged_film_made_small_keeps_its_colours(bench: Bench):
    argv = [
        *field("red", "1280x720", 0.4),
        "-vf",
        "scale=out_color_matrix=bt709,setparams=colorspace=unknown",
    ]
    source = media.made(bench.inputs / "red.mkv", *argv, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", 5)
    transcoded(bench, source, max_height=180)
    assert tags(bench.made("scratch:t.mp4"))[1] == 1


def test_a_recording_of_a_screen_in_rgb_keeps_its_colours(bench: Bench):
    argv = [*field("red"), "-pix_fmt", "gbrp", "-c:v", "libx264rgb", "-crf", 5]
    source = media.made(bench.inputs / "rgb.mkv", *argv)
    transcoded(bench, source)
    assert np.abs(shown(bench.made("scratch:t.mp4")) - [254, 0, 0]).max() < 6
    cut(bench, source)
    assert np.abs(shown(bench.made("scratch:cut.mp4")) - [254, 0, 0]).max() < 6


def shown(path: Path) -> np.ndarray:
    """The middle pixel in RGB, by the file's own words."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        matrix = {1: "ITU709", 9: "DEFAULT"}.get(frame.colorspace, "ITU601")
        picture = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    return picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(int)


# ── turned, cropped, of other pixels, of fields ───────────────────────────────────────────────────────────


def halves(folder: Path) -> Path:
    """Red on the left, blue on the right."""
    argv = [
        *field("red", "160x180"),
        *field("blue", "160x180"),
        "-filter_complex",
        "hstack",
        "-c:v",
        "libx264",
    ]
    return media.made(folder / "halves.mp4", *argv, "-pix_fmt", "yuv420p")


@pytest.mark.parametrize(
    "display", [["-display_rotation", 90], ["-display_rotation", 180], ["-display_hflip"]]
)
def test_clips_that_are_held_differently_are_no_copies_and_stand_upright(bench: Bench, display: list[object]):
    whole = halves(bench.inputs)
    turned = media.made(bench.inputs / "turned.mp4", *display, "-i", whole, "-c", "copy")
    result = bench.run(media_assemble.run, reads=[whole, turned], writes=["scratch:r.mp4"])
    assert result["picture"] == "encoded"
    first, last = media.frames(bench.made("scratch:r.mp4"))[
        :: len(media.frames(bench.made("scratch:r.mp4"))) - 1
    ]
    wanted = upright(turned)
    assert first[90, 40, 0] > 200
    assert np.abs(last.astype(int) - fitted(wanted, 320, 180)).mean() < 12
    transcoded(bench, turned)
    assert np.abs(media.frames(bench.made("scratch:t.mp4"))[0].astype(int) - wanted).mean() < 8


def test_clips_that_are_held_alike_are_copied_and_stay_so(bench: Bench):
    sources = [
        media.made(
            bench.inputs / f"{n}.mp4", "-display_rotation", 90, "-i", halves(bench.inputs), "-c", "copy"
        )
        for n in "ab"
    ]
    assert bench.run(media_assemble.run, reads=sources, writes=["scratch:r.mp4"])["picture"] == "copied"
    assert upright(bench.made("scratch:r.mp4")).shape == (320, 180, 3)


def test_the_first_of_several_forms_gives_the_frame_as_it_is_shown(bench: Bench):
    tall = media.made(
        bench.inputs / "tall.mp4", "-display_rotation", 90, "-i", halves(bench.inputs), "-c", "copy"
    )
    bench.run(media_assemble.run, reads=[tall, halves(bench.inputs)], writes=["scratch:r.mp4"])
    assert media.frames(bench.made("scratch:r.mp4"))[0].shape == (320, 180, 3)


def test_oblong_pixels_are_carried_or_made_square(bench: Bench):
    argv = [*field("red", "180x144"), "-vf", "setsar=16/11", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    source = media.made(bench.inputs / "pal.mp4", *argv)
    transcoded(bench, source)
    bench.put("scratch:t.mp4", bench.made("scratch:t.mp4"))
    assert facts(bench, bench.settings.roots["scratch"].path / "t.mp4")["picture"]["sample_aspect"] == (
        16,
        11,
    )
    assert poster(bench, source).shape == (176, 320, 3)
    cut(bench, source)
    made = media.frames(bench.made("scratch:cut.mp4"))[0]
    assert [bool(made[y, x, 0] > 200) for y, x in ((0, 160), (4, 160), (90, 2), (90, 317))] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_pictures_of_two_fields_are_made_whole_and_it_is_said(bench: Bench, suffix: str):
    argv = [
        *media.pattern(1, fps=50),
        "-vf",
        "interlace=scan=tff",
        "-flags",
        "+ilme+ildct",
        "-c:v",
        "libx264",
    ]
    source = media.made(
        bench.inputs / f"a.{suffix}", *argv, "-x264-params", "interlaced=1", "-pix_fmt", "yuv420p"
    )
    assert facts(bench, source)["picture"]["is_interlaced"] is True
    made = transcoded(bench, source)
    assert (made["frames"], made["changed"]) == (25, ["deinterlaced"])
    assert comb(bench.made("scratch:t.mp4")) < comb(source) / 2
    assert cut(bench, source)["changed"] == ["deinterlaced"]


def comb(path: Path) -> float:
    """How much lines differ from both their neighbours, beyond what these differ by."""
    frames = media.frames(path)[5:15]
    grey = np.stack([frame.astype(int).sum(axis=2) for frame in frames])
    above, line, below = grey[:, :-2], grey[:, 1:-1], grey[:, 2:]
    return float(np.maximum(0, np.abs(2 * line - above - below) - np.abs(above - below)).mean())


def test_what_the_container_cuts_off_is_not_shown(bench: Bench):
    """The red half, by Matroska's own crop."""
    whole = media.made(bench.inputs / "w.mkv", "-i", halves(bench.inputs), "-c", "copy", *media.BARE)
    source = media.cropped(bench.inputs / "cropped.mkv", whole, left=160)
    assert facts(bench, source)["picture"]["crop"] == (160, 0, 0, 0)
    transcoded(bench, source)
    made = media.frames(bench.made("scratch:t.mp4"))[0]
    assert (made.shape, made[..., 0].max() < 60) == ((180, 160, 3), True)
    assert poster(bench, source).shape == (360, 320, 3)
    cut(bench, source)
    assert media.frames(bench.made("scratch:cut.mp4"))[0][..., 0].max() < 60
    result = bench.run(media_assemble.run, reads=[whole, source], writes=["scratch:r.mp4"])
    assert result["picture"] == "encoded"


def upright(path: Path) -> np.ndarray:
    """The first picture as ffmpeg shows it."""
    raw = path.with_suffix(".png")
    return media.frames(media.made(raw, "-i", path, "-frames:v", 1, "-c:v", "png"))[0].astype(int)


def fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Nearest pixels, with black bars."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = round(picture.shape[1] * scale / 2) * 2, round(picture.shape[0] * scale / 2) * 2
    rows = (np.arange(h) / h * picture.shape[0]).astype(int)
    columns = (np.arange(w) / w * picture.shape[1]).astype(int)
    canvas = np.zeros((height, width, 3), int)
    top, left = (height - h) // 2, (width - w) // 2
    canvas[top : top + h, left : left + w] = picture[rows][:, columns]
    return canvas


@pytest.mark.parametrize(
    "options",
    [
        ["-vf", "setsar=4/3"],
        ["-pix_fmt", "yuvj420p"],
        ["-x264-params", "colorprim=bt2020:transfer=bt709:colormatrix=bt2020nc"],
        ["-x264-params", "interlaced=1"],
        ["-pix_fmt", "yuv420p10le"],
        ["-vf", "fps=30"],
    ],
    ids=["pixels", "range", "primaries", "fields", "bits", "rate"],
)
def test_segments_that_differ_in_one_thing_are_not_copied(bench: Bench, options: list[str]):
    plain = media.made(bench.inputs / "a.mp4", *media.pattern(0.4), "-pix_fmt", "yuv420p")
    other = media.made(
        bench.inputs / "b.mp4", *media.pattern(0.4), "-pix_fmt", "yuv420p", *options, "-c:v", "libx264"
    )
    result = bench.run(media_assemble.run, reads=[plain, other], writes=["scratch:r.mp4"])
    assert result["picture"] == "encoded"
    again = bench.run(media_assemble.run, reads=[plain, plain], writes=["scratch:r.mp4"])
    assert again["picture"] == "copied"


def test_segments_of_another_sound_or_of_other_tracks_are_not_copied(bench: Bench):
    mono = media.made(
        bench.inputs / "a.mp4", *media.pattern(0.4), *media.tone(0.4), "-c:v", "libx264", "-c:a", "aac"
    )
    stereo = media.made(
        bench.inputs / "b.mp4", *media.pattern(0.4), *media.tone(0.4), "-ac", 2, "-c:v", "libx264"
    )
    two = media.made(
        bench.inputs / "c.mp4",
        "-i",
        mono,
        "-i",
        mono,
        "-map",
        "1:a",
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c",
        "copy",
    )
    for other in (stereo, two):
        assert (
            bench.run(media_assemble.run, reads=[mono, other], writes=["scratch:r.mp4"])["picture"]
            == "encoded"
        )
