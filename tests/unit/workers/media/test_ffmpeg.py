"""ffmpeg's command line and its words. The words are real ones, from the bundled binary."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, JobError, NoSpace
from workers.media import codecs, ffmpeg
from workers.media.codecs import CPU, NVENC, Codec, Prefer, at_bitrate, candidates, options
from workers.task_api import read_watch
from workers.task_api.run_program import ProgramFailed


def words_of(*argv: str) -> tuple[str, int]:
    done = subprocess.run(
        [ffmpeg.binary(), "-nostdin", "-y", "-loglevel", "error", *argv], capture_output=True, text=True
    )
    return done.stderr, done.returncode


def test_an_input_is_one_local_file_of_a_known_container():
    source = ffmpeg.source(Path("/v/concat:a|b %03d.mp4"), ss=1.5)
    argv = ffmpeg.arguments(ffmpeg.sink([source.video], Path("/o/x.mp4"), "mp4"))
    assert argv[argv.index("-i") + 1] == "file:/v/concat:a|b %03d.mp4"
    assert argv[argv.index("-protocol_whitelist") + 1] == "file"
    assert "hls" not in argv[argv.index("-format_whitelist") + 1]
    assert argv.index("-ss") < argv.index("-i")
    assert argv[-2:] == ["file:/o/x.mp4", "-y"]
    assert argv[argv.index("file:/o/x.mp4") - 1] == "mp4"


@pytest.mark.parametrize("name", ["hls", "concat", "image2", "dash", "lavfi", "tty", "sdp", "rtsp"])
def test_what_opens_other_files_is_not_a_container(name: str):
    assert name not in ffmpeg.CONTAINERS.split(",")


def test_progress_survives_a_pipe_that_cuts_lines_anywhere():
    seen: list[float] = []
    progress = ffmpeg.FfmpegProgress(seen.append)
    for (
        byte
    ) in b"frame=10\nout_time_us=500000\nprogress=continue\nframe=25\nout_time_us=1000000\nprogress=end\n":
        progress.feed(bytes([byte]))
    assert seen == [0.5, 1.0]
    assert (progress.frames, progress.seconds) == (25, 1.0)


def test_progress_takes_a_time_that_is_not_known_yet():
    progress = ffmpeg.FfmpegProgress(lambda seconds: None)
    progress.feed(b"out_time_us=N/A\nprogress=continue\n")
    assert progress.seconds == 0.0


def test_who_says_again_and_again_that_it_is_where_it_was_makes_no_progress():
    seen: list[float] = []
    progress = ffmpeg.FfmpegProgress(seen.append)
    stands = b"frame=10\nfps=%d.0\ntotal_size=480\nout_time_us=500000\nspeed=%dx\nprogress=continue\n"
    for speed in (9, 8, 7):
        progress.feed(stands % (speed, speed))
    assert seen == [0.5]
    progress.feed(b"frame=10\ntotal_size=960\nout_time_us=500000\nprogress=continue\n")
    assert seen == [0.5, 0.5], "what was written is more: it is at work"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_from_a_bad_file():
    stderr, code = words_of("-f", "lavfi", "-i", "testsrc2=d=1", "-f", "matroska", "file:/dev/full")
    assert isinstance(ffmpeg.complaint(stderr, code, "a.mp4"), NoSpace)


def test_a_source_that_is_no_video_is_bad_input(tmp_path: Path):
    bad = tmp_path / "text.mp4"
    bad.write_text("hello " * 100)
    stderr, code = words_of("-i", f"file:{bad}", "-f", "null", "-")
    error = ffmpeg.complaint(stderr, code, "text.mp4")
    assert isinstance(error, BadInput)
    assert str(error).startswith("text.mp4 cannot be decoded: ")
    assert "0x" not in str(error)


def test_a_fault_on_our_side_is_no_bad_input(tmp_path: Path):
    missing = tmp_path / "no-such-folder" / "x.mp4"
    stderr, code = words_of("-f", "lavfi", "-i", "testsrc2=d=1", "-f", "mp4", f"file:{missing}")
    assert type(ffmpeg.complaint(stderr, code, "a.mp4")) is ProgramFailed


def test_silence_still_gives_a_sentence():
    assert str(ffmpeg.complaint("", 187, "a.mp4")) == "ffmpeg failed on a.mp4: exit code 187"


def test_nvenc_is_tried_only_by_a_job_that_holds_a_device():
    assert candidates("h264", "auto", has_device=True) == [NVENC["h264"], *CPU["h264"]]
    assert candidates("h264", "auto", has_device=False) == list(CPU["h264"])
    assert candidates("h264", "cpu", has_device=True) == list(CPU["h264"])
    assert candidates("h264", "nvenc", has_device=False) == [NVENC["h264"]]
    assert candidates("vp9", "auto", has_device=True) == list(CPU["vp9"])


def test_an_encoder_that_failed_once_is_tried_by_the_next_job_and_one_that_works_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(codecs, "_works", set())
    tried: list[str] = []

    def full_once(ctx: object, encoder: codecs.Encoder) -> bool:
        tried.append(encoder.name)
        return tried != ["h264_nvenc"]

    monkeypatch.setattr(codecs, "encodes_one_frame", full_once)
    ctx = Bench(tmp_path).context(devices=("gpu0",))
    chosen = [codecs.choose(ctx, "h264", "auto").name for _ in range(3)]
    assert chosen == ["libx264", "h264_nvenc", "h264_nvenc"]
    assert tried == ["h264_nvenc", "libx264", "h264_nvenc"]


def test_one_that_reads_and_writes_nothing_yet_is_alive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(read_watch, "LOOK_S", 0.05)
    raw = tmp_path / "a.mkv"
    words_of("-f", "lavfi", "-i", "testsrc2=s=320x240:d=1", "-c:v", "rawvideo", f"file:{raw}")
    bench = Bench(tmp_path)
    # As fast as it is shown, and of it only the last pictures.
    late = ffmpeg.stream(ffmpeg.source(raw, re=None), 0).filter("trim", start=0.9)
    job = ffmpeg.unwritten(late)
    ffmpeg.run(job, bench.context(), seconds=0.1, note="cutting", name="a.mkv", threads=1)
    assert len(bench.notes) >= 6, "of its own accord it says two"


@pytest.mark.parametrize("codec", NVENC)
def test_what_nvenc_is_told_is_what_this_ffmpeg_knows_of_it(codec: Codec, tmp_path: Path):
    encoder = NVENC[codec]
    asked = [options(encoder, 19, 2), *at_bitrate(encoder, 3000, 2, tmp_path / "stats")]
    argv = [ffmpeg.binary(), "-hide_banner", "-h", f"encoder={encoder.name}"]
    known = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    formats = known.partition("Supported pixel formats:")[2].partition("\n")[0].split()
    assert {"yuv420p", encoder.deep_format} <= {*formats}
    ours = {"c:v", "b:v", "threads", "maxrate", "bufsize"}
    for name, value in ((name, value) for each in asked for name, value in each.items() if name not in ours):
        _, there, rest = known.partition(f"  -{name} ")
        assert there, f"{encoder.name} has no option {name}"
        values = rest.partition("\n  -")[0]
        assert isinstance(value, int) or f"     {value} " in values, f"{name} has no value {value}"


@pytest.mark.parametrize("prefer", ["auto", "nvenc"])
def test_a_held_device_without_nvenc_encodes_on_the_cpu_or_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefer: Prefer
):
    monkeypatch.setattr(codecs, "_works", set())
    ctx = Bench(tmp_path).context(devices=("gpu0",))
    if codecs.encodes_one_frame(ctx, NVENC["h264"]):
        pytest.skip("this machine has NVENC")
    if prefer == "auto":
        assert codecs.choose(ctx, "h264", prefer).name == "libx264"
        return
    with pytest.raises(JobError) as e:
        codecs.choose(ctx, "h264", prefer)
    assert str(e.value) == (
        "no encoder for h264 works on this machine (tried h264_nvenc); choose another codec or encoder"
    )


def test_encoders_are_bounded_by_the_jobs_cores():
    assert options(CPU["h265"][0], None, 3)["x265-params"].startswith("pools=3:")
    assert options(CPU["av1"][0], None, 3)["svtav1-params"] == "lp=3"
    assert options(NVENC["h264"], 19, 2) | {} == {
        "c:v": "h264_nvenc",
        "cq": 19,
        "preset": "p4",
        "b:v": 0,
        "threads": 2,
    }


def test_the_only_encoder_there_is_for_it_is_not_tried_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(codecs, "encodes_one_frame", lambda ctx, encoder: pytest.fail("a start for nothing"))
    assert codecs.choose(Bench(tmp_path).context(), "h264", "auto").name == "libx264"


def test_the_bundled_ffmpeg_is_found_without_starting_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    by_the_library = imageio_ffmpeg.get_ffmpeg_exe()
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: pytest.fail("it starts what it finds"))
    ffmpeg.binary.cache_clear()
    assert ffmpeg.binary() == by_the_library
