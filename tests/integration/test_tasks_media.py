"""Probe, preview, transcode, cut and assemble on real clips, good and broken, through the real ffmpeg and
PyAV.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, DeadlineExceeded, JobError
from conductor.model.spec import Needs
from workers.media import codecs, ffmpeg
from workers.tasks import media_assemble, media_cut, media_preview, media_probe, media_transcode

ODD_NAMES = [
    "with space.mp4",
    'it\'s "quoted".mp4',
    "new\nline.mp4",
    "frame%03d.mp4",
    "-dash.mp4",
    "concat:a|b.mp4",
]
SMALL = {"width": 160, "height": 90, "fps": 25}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "plain": media.clip(folder / "plain.mp4"),
        "silent": media.clip(folder / "silent.mp4", has_audio=False),
        "portrait": media.clip(folder / "portrait.mp4", size="180x320"),
        "index first": media.clip(folder / "first.mp4", has_index_first=True),
    }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def brought(bench: Bench, clip: Path, name: str) -> Path:
    target = bench.inputs / name
    target.write_bytes(clip.read_bytes())
    return target


def probed(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    return bench.run(media_probe.run, args, reads=[source], writes=["scratch:facts.json"])


def cut(bench: Bench, source: Path, write: str = "scratch:cut.mp4", **args: Any) -> dict[str, Any]:
    return bench.run(media_cut.run, {**SMALL, **args}, reads=[source], writes=[write])


def frames_of(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def loudness(path: Path) -> list[float]:
    """The sound's mean level of each second."""
    with av.open(str(path)) as container:
        parts = [np.abs(f.to_ndarray().astype(float)).mean(axis=0) for f in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate(parts)
    return [float(samples[at : at + rate].mean()) for at in range(0, len(samples) - rate // 2, rate)]


# ── probe ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_clip_is_described(bench: Bench, clips: dict[str, Path]):
    facts = probed(bench, brought(bench, clips["plain"], "a.mp4"), check="frames")
    expected = {"duration_s": 3.0, "width": 320, "height": 180, "fps": 25.0, "has_audio": True, "frames": 75}
    assert expected.items() <= facts.items()
    assert b'"streams":[' in bench.made("scratch:facts.json").read_bytes()


def test_a_clip_without_sound_says_so(bench: Bench, clips: dict[str, Path]):
    assert probed(bench, brought(bench, clips["silent"], "a.mp4"))["has_audio"] is False


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_only_a_name(bench: Bench, clips: dict[str, Path], name: str):
    source = brought(bench, clips["plain"], name)
    assert probed(bench, source)["duration_s"] == 3.0
    assert cut(bench, source, start_s=0, duration_s=0.2)["frames"] == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a.mp4 is empty"),
        (b"this is a letter, not a film\n" * 50, "a.mp4 is not a video"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "a.mp4 is not a video"),
        (
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            "a.mp4 is not a video: it is of a kind that is not opened here",
        ),
    ],
)
def test_what_is_no_video_is_refused_in_words_a_person_understands(bench: Bench, content: bytes, words: str):
    source = bench.inputs / "a.mp4"
    source.write_bytes(content)
    with pytest.raises(BadInput, match=f"^{words}"):
        probed(bench, source)


def test_a_copy_that_lost_its_index_is_cut_off(bench: Bench, clips: dict[str, Path]):
    source = media.cut_off(bench.inputs / "a.mp4", clips["plain"])
    with pytest.raises(BadInput, match=r"a\.mp4 is cut off: the index \(moov\) is missing"):
        probed(bench, source)


@pytest.mark.parametrize("check", ["packets", "frames"])
def test_a_clip_that_opens_and_breaks_off_later_is_noticed(bench: Bench, clips: dict[str, Path], check: str):
    source = media.cut_off(bench.inputs / "a.mp4", clips["index first"])
    with pytest.raises(BadInput, match=r"a\.mp4 (is cut off: it )?breaks off at 1\.\d s of 3\.0 s"):
        probed(bench, source, check=check)


def test_a_song_with_a_cover_is_no_video(bench: Bench, clips: dict[str, Path]):
    song = bench.inputs / "song.m4a"
    argv = [
        ffmpeg.binary(),
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        str(clips["plain"]),
        "-map",
        "0:a",
        "-map",
        "0:v",
    ]
    subprocess.run(
        [*argv, "-c:v", "mjpeg", "-frames:v", "1", "-disposition:v", "attached_pic", str(song)], check=True
    )
    with pytest.raises(BadInput, match="no picture stream"):
        probed(bench, song)


# ── cut and assemble ──────────────────────────────────────────────────────────────────────────────────────


def test_a_cut_begins_at_the_very_frame(bench: Bench, clips: dict[str, Path]):
    source = brought(bench, clips["plain"], "a.mp4")
    assert cut(bench, source, start_s=1.2, duration_s=0.4, width=320, height=180, crf=5)["frames"] == 10
    original, made = list(frames_of(source)), list(frames_of(bench.made("scratch:cut.mp4")))
    assert len(made) == 10

    def nearest(frame: np.ndarray) -> int:
        return int(np.argmin([np.abs(frame.astype(int) - other).mean() for other in original]))

    assert [nearest(made[0]), nearest(made[-1])] == [30, 39]


def test_cuts_of_unlike_clips_join_without_encoding_and_keep_their_sound(
    bench: Bench, clips: dict[str, Path]
):
    reads = []
    for kind in ("plain", "silent", "portrait"):
        assert (
            cut(bench, brought(bench, clips[kind], f"{kind}.mp4"), start_s=0.5, duration_s=1.0)["frames"]
            == 25
        )
        bench.put(f"scratch:cuts/{kind}.mp4", bench.made("scratch:cut.mp4"))
        reads.append(f"scratch:cuts/{kind}.mp4")

    result = bench.run(media_assemble.run, reads=reads, writes=["scratch:reel.mp4"])

    expected = {
        "segments": 3,
        "missing": [],
        "frames": 75,
        "duration_s": 3.0,
        "picture": "copied",
        "changed": [],
    }
    assert result == expected
    bench.put("scratch:reel.mp4", bench.made("scratch:reel.mp4"))
    facts = bench.run(media_probe.run, {"check": "frames"}, reads=["scratch:reel.mp4"])
    assert {"frames": 75, "width": 160, "height": 90, "duration_s": 3.0}.items() <= facts.items()
    loud, silent, loud_again = loudness(bench.settings.roots["scratch"].path / "reel.mp4")[:3]
    assert loud > 0.02
    assert loud_again > 0.02
    assert silent < loud / 20


def test_segments_of_another_form_are_encoded_again(bench: Bench, clips: dict[str, Path]):
    for name, size in (("a", SMALL), ("b", {"width": 320, "height": 180, "fps": 30})):
        cut(bench, brought(bench, clips["plain"], "a.mp4"), start_s=0, duration_s=1, **size)
        bench.put(f"scratch:cuts/{name}.mp4", bench.made("scratch:cut.mp4"))

    reads = ["scratch:cuts/a.mp4", "scratch:cuts/b.mp4"]
    assert bench.run(media_assemble.run, reads=reads, writes=["scratch:reel.mp4"])["picture"] == "encoded"
    made = list(frames_of(bench.made("scratch:reel.mp4")))
    assert len(made) == pytest.approx(50, abs=2)
    assert made[-1].shape == (90, 160, 3)


def test_a_segment_may_come_twice_also_where_pictures_are_encoded(bench: Bench, clips: dict[str, Path]):
    title, other = brought(bench, clips["silent"], "title.mp4"), brought(bench, clips["portrait"], "b.mp4")
    media.made(bench.inputs / "mute.mp4", "-i", other, "-an", "-c", "copy")
    reads = [title, bench.inputs / "mute.mp4"]
    segments = [str(title), str(reads[1]), str(title)]
    result = bench.run(media_assemble.run, {"segments": segments}, reads=reads, writes=["scratch:r.mp4"])
    assert (result["segments"], result["frames"], result["picture"]) == (3, 225, "encoded")


def test_what_copying_cannot_join_is_encoded(bench: Bench, clips: dict[str, Path]):
    """Trimmed without encoding, pictures that are hidden would come back; and .mp4 holds no vp8."""
    trimmed = media.made(bench.inputs / "trim.mp4", "-ss", 0.5, "-i", clips["plain"], "-c", "copy")
    vp8 = media.made(bench.inputs / "v.webm", *media.pattern(0.4), "-c:v", "libvpx")
    for source, frames in ((trimmed, 124), (vp8, 20)):
        result = bench.run(
            media_assemble.run, {"segments": [str(source)] * 2}, reads=[source], writes=["scratch:r.mp4"]
        )
        assert (result["picture"], result["frames"]) == ("encoded", frames)


def test_missing_segments_are_named_when_that_is_allowed_and_stop_the_job_when_not(
    bench: Bench, clips: dict[str, Path]
):
    cut(bench, brought(bench, clips["plain"], "a.mp4"), start_s=0, duration_s=0.4)
    bench.put("scratch:cuts/a.mp4", bench.made("scratch:cut.mp4"))
    what: dict[str, Any] = {
        "reads": ["scratch:cuts/gone.mp4", "scratch:cuts/a.mp4"],
        "writes": ["scratch:reel.mp4"],
    }

    result = bench.run(media_assemble.run, {"allow_missing": True}, **what)

    assert (result["segments"], result["missing"]) == (1, ["scratch:cuts/gone.mp4"])
    with pytest.raises(BadInput, match=r"1 of 2 segments are missing, the first is gone\.mp4"):
        bench.run(media_assemble.run, **what)
    with pytest.raises(BadInput, match="nothing to assemble"):
        bench.run(media_assemble.run, {"allow_missing": True}, **{**what, "reads": ["scratch:cuts/gone.mp4"]})


def test_a_window_beyond_the_end_is_refused_with_both_lengths(bench: Bench, clips: dict[str, Path]):
    with pytest.raises(BadInput, match=r"a\.mp4 is 3\.0 s long, there is no window of 2 s at 9 s"):
        cut(bench, brought(bench, clips["plain"], "a.mp4"), start_s=9, duration_s=2)


@pytest.mark.parametrize(
    ("start_s", "words"),
    [(2.0, "cannot be decoded"), (0.5, r"breaks off: \d+ of 50 frames could be decoded from 0\.5 s on")],
)
def test_a_cut_where_the_clip_breaks_off_is_bad_input(
    bench: Bench, clips: dict[str, Path], start_s: float, words: str
):
    source = media.cut_off(bench.inputs / "a.mp4", clips["index first"])
    with pytest.raises(BadInput, match=rf"a\.mp4 {words}"):
        cut(bench, source, start_s=start_s, duration_s=min(2.0, 3.0 - start_s))


# ── preview and transcode ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["webm", "mp4"])
def test_a_preview_is_a_poster_and_a_small_clip(bench: Bench, clips: dict[str, Path], kind: str):
    writes = ["scratch:poster%03d.jpg", f"scratch:preview.{kind}"]
    source = brought(bench, clips["portrait"], "a.mp4")
    assert bench.run(media_preview.run, {"width": 90}, reads=[source], writes=writes)["made"] == writes
    poster = bench.made(writes[0]).read_bytes()
    assert (poster[:2], poster[-2:]) == (b"\xff\xd8", b"\xff\xd9")
    assert next(frames_of(bench.made(writes[1]))).shape == (160, 90, 3)


@pytest.mark.parametrize(
    ("codec", "name", "encoder"),
    [
        ("h264", "a.mp4", "libx264"),
        ("h265", "a.mkv", "libx265"),
        ("vp9", "a.webm", "libvpx-vp9"),
        ("av1", "a.mp4", "libsvtav1"),
    ],
)
def test_a_transcode_keeps_every_frame_and_says_what_encoded_it(
    bench: Bench, clips: dict[str, Path], codec: str, name: str, encoder: str
):
    source = brought(bench, clips["plain"], "source.mp4")
    args = {"codec": codec, "max_height": 90, "encoder": "cpu"}
    result = bench.run(
        media_transcode.run, args, reads=[source], writes=[f"scratch:{name}"], needs=Needs(cpu=2)
    )
    assert (result["encoder"], result["is_nvenc"], result["frames"]) == (encoder, False, 75)
    bench.put(f"scratch:out/{name}", bench.made(f"scratch:{name}"))
    facts = bench.run(media_probe.run, {"check": "frames"}, reads=[f"scratch:out/{name}"])
    assert (facts["height"], facts["frames"], facts["has_audio"]) == (90, 75, True)


def test_a_device_without_nvenc_falls_back_to_the_cpu_and_the_result_says_so(
    bench: Bench, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    works = set[str]()
    monkeypatch.setattr(codecs, "_works", works)
    real = codecs.encodes_one_frame
    monkeypatch.setattr(
        codecs, "encodes_one_frame", lambda ctx, encoder: not encoder.is_nvenc and real(ctx, encoder)
    )
    source = brought(bench, clips["plain"], "a.mp4")
    result = bench.run(media_transcode.run, reads=[source], writes=["scratch:a.mp4"], devices=("gpu0",))
    assert (result["encoder"], result["is_nvenc"]) == ("libx264", False)
    assert works == {"libx264"}
    with pytest.raises(JobError, match=r"tried h264_nvenc"):
        bench.run(media_transcode.run, {"encoder": "nvenc"}, reads=[source], writes=["scratch:a.mp4"])


def test_a_transcode_of_a_clip_that_breaks_off_is_bad_input(bench: Bench, clips: dict[str, Path]):
    source = media.cut_off(bench.inputs / "a.mp4", clips["index first"])
    with pytest.raises(BadInput, match=r"breaks off at 1\.\d s of 3\.0 s"):
        bench.run(media_transcode.run, reads=[source], writes=["scratch:a.mp4"])


def test_ffmpeg_is_stopped_at_the_deadline(bench: Bench, clips: dict[str, Path]):
    source = brought(bench, clips["plain"], "a.mp4")
    with pytest.raises(DeadlineExceeded):
        bench.run(
            media_transcode.run, {"codec": "h265"}, reads=[source], writes=["scratch:a.mp4"], timeout_s=0.01
        )


def test_progress_goes_forward_to_the_end(bench: Bench, clips: dict[str, Path]):
    source = brought(bench, clips["plain"], "a.mp4")
    bench.run(media_transcode.run, reads=[source], writes=["scratch:a.mp4"])
    assert bench.progress == sorted(bench.progress)
    assert bench.progress[-1] == pytest.approx(1.0, abs=0.05)
