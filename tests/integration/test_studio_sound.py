"""What is beside the pictures of a film: subtitles of each kind, loudness, music."""

from __future__ import annotations

import json
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from studio_scene import made
from task_bench import Bench

from conductor.base.errors import BadInput, UsageError
from workers.media import ffmpeg, probing
from workers.tasks import media_master
from workflows.studio import plan as studio
from workflows.studio import verify

_EVENTS = "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
SUBTITLES = {
    "a.srt": """1
00:00:00,400 --> 00:00:01,200
<i>eins</i>

2
00:00:01,500 --> 00:01:00,000
zwei
""",
    "a.vtt": """WEBVTT

NOTE none

00:00.400 --> 00:01.200 align:start
<v A>eins</v>

00:01.500 --> 01:00.000
zwei
""",
    "a.ass": f"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Big,Sans,40

[Events]
{_EVENTS}
Dialogue: 0,0:00:00.40,0:00:01.20,Big,,0,0,0,,eins
Dialogue: 0,0:00:01.50,0:01:00.00,Big,,0,0,0,,zwei
""",
}


@pytest.fixture(scope="module")
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = tmp_path_factory.mktemp("black") / "black.mkv"
    black = "color=black:s=160x90:r=25:d=2"
    return media.made(clip, "-f", "lavfi", "-i", black, *media.tone(2), "-c:v", "ffv1", "-c:a", "flac")


@pytest.mark.parametrize(
    ("name", "container", "form"),
    [
        *(("a.srt", "mp4", "mov_text"), ("a.vtt", "mkv", "srt"), ("a.ass", "mkv", "ssa")),
        *(("a.vtt", "webm", "webvtt"), ("a.ass", "mov", "mov_text")),
    ],
)
def test_subtitles_of_each_kind_become_a_track_that_ends_with_the_film(
    tmp_path: Path, black: Path, name: str, container: str, form: str
):
    bench = Bench(tmp_path)
    (bench.inputs / "a.mkv").write_bytes(black.read_bytes())
    (bench.inputs / name).write_text(SUBTITLES[name], encoding="utf-16" if name == "a.srt" else "utf-8")
    board: dict[str, Any] = {
        "width": 160,
        "height": 90,
        "container": container,
        "scenes": [{"file": "a.mkv"}],
        "subtitles": {"file": name, "language": "deu"},
    }

    file, _ = made(bench, board)

    with av.open(str(file)) as film:
        (track,) = film.streams.subtitles
        cues = [span(packet) for packet in film.demux(track) if packet.size > 2]
        language = "ger" if container == "mov" else "deu"
        assert (track.codec_context.name, track.language) == (form, language)
        assert film.duration is not None and film.duration / 1e6 == pytest.approx(2, abs=0.1)
    assert cues == [pytest.approx((0.4, 0.8), abs=0.02), pytest.approx((1.5, 0.5), abs=0.02)]


def span(packet: Any) -> tuple[float, float]:
    """When it is shown, and for how long."""
    return float(packet.pts * packet.time_base), float(packet.duration * packet.time_base)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.srt", b"", "a.srt holds no subtitle: is it really a SRT file"),
        ("a.vtt", b"\x00\xff\x00" * 99, "a.vtt holds no subtitle"),
        ("a.txt", b"1", "a.txt is none of the subtitles that are read here: .srt, .vtt, .ass, .ssa"),
        ("b.srt", None, r"the subtitles .*b\.srt are not there"),
    ],
)
def test_what_is_no_subtitles_is_said_before_the_film_is_made(
    tmp_path: Path, name: str, content: bytes | None, words: str
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    board = {"scenes": [{"file": "a.mkv", "out_s": 2}], "subtitles": {"file": name}}
    (file := tmp_path / "board.json").write_text(json.dumps(board))
    with pytest.raises(UsageError, match=words):
        list(studio.plan(Namespace(kind="render", storyboard=file), Bench(tmp_path).settings.for_code))


def test_stretches_of_two_encoders_are_not_joined(tmp_path: Path):
    bench = Bench(tmp_path)
    for name, profile in (("a", "high"), ("b", "baseline")):
        encoded = ["-c:v", "libx264", "-profile:v", profile, "-pix_fmt", "yuv420p", "-c:a", "flac"]
        film = [*media.pattern(1, size="160x90"), *media.tone(1)]
        clip = media.made(bench.inputs / f"{name}.mkv", *film, *encoded)
        bench.put(f"scratch:{name}.mkv", clip)
    with pytest.raises(BadInput, match=r"b\.mkv was not encoded as a\.mkv was"):
        bench.run(media_master.run, reads=["scratch:a.mkv", "scratch:b.mkv"], writes=["published:f.mp4"])


@pytest.mark.parametrize("sound", ["clicks", "quiet", "short"])
def test_sound_of_each_kind_comes_out_as_loud_as_asked_for(tmp_path: Path, sound: str):
    """Clicks leave no room above, what is quiet is lifted by 30 dB, half a second is next to nothing."""
    drawn = {
        "clicks": "aevalsrc='if(lt(mod(t,0.5),0.002),0.9,0.02*sin(2000*t))':d=4",
        "quiet": "sine=f=300:d=4,volume=-30dB",
        "short": "sine=f=300:d=1",
    }[sound]
    seconds = 1 if sound == "short" else 4
    bench = Bench(tmp_path)
    picture = ["-f", "lavfi", "-i", f"color=black:s=160x90:r=25:d={seconds}"]
    media.made(bench.inputs / "a.mkv", *picture, "-f", "lavfi", "-i", drawn, "-c:v", "ffv1", "-c:a", "flac")

    film, result = made(
        bench, {"width": 160, "height": 90, "scenes": [{"file": "a.mkv", "out_s": seconds - 0.04}]}
    )

    assert result["loudness"] == pytest.approx(-14, abs=verify.SLACK_LU), result
    # Where loudnorm moves its number, its times leap: the sound would end after the picture.
    assert probing.probe(film, film.name).ends_s == pytest.approx(seconds - 0.04, abs=1 / 48)


def test_music_lies_under_the_whole_film_and_begins_again(tmp_path: Path):
    bench = Bench(tmp_path)
    picture = ["-f", "lavfi", "-i", "color=black:s=160x90:r=25:d=4"]
    media.made(bench.inputs / "a.mkv", *picture, "-c:v", "ffv1")
    media.made(bench.inputs / "bed.mp3", *media.tone(1.5), "-c:a", "libmp3lame")
    music = {"file": "bed.mp3", "level_db": 0, "fade_s": 0.5}
    board = {"width": 160, "height": 90, "scenes": [{"file": "a.mkv"}], "music": music, "loudness": None}

    file, _ = made(bench, board)

    loud = [loudest(file, at_s) for at_s in (0.02, 2.0, 3.98)]
    assert loud[1] > 0.1 and loud[0] < 0.2 * loud[1] and loud[2] < 0.2 * loud[1]


def loudest(file: Path, at_s: float) -> float:
    argv = [ffmpeg.binary(), "-loglevel", "error", "-ss", str(at_s), "-t", "0.02", "-i", str(file)]
    said = subprocess.run([*argv, "-f", "f32le", "-ac", "1", "-"], capture_output=True, check=True).stdout
    return float(np.abs(np.frombuffer(said, np.float32)).max(initial=0))
