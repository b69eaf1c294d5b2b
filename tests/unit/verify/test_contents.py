"""Outputs are opened as what their names say, and hold what their results say: planted with receipts that
fit them.
"""

from __future__ import annotations

import socket
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import media
import pytest
from verify_scene import VerifyScene, only

from conductor.base.errors import BadOutput
from conductor.model.spec import JobSpec
from conductor.verify import media_facts as facts_media
from conductor.verify.output_facts import counted
from workers.isolation import output_check
from workers.media.ffmpeg import binary
from workers.task_api.context import JobContext

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 "
    "H264/90000\n"
    "m=audio {} RTP/AVP 97\na=rtpmap:97 L16/44100\n"
)


@pytest.fixture
def place(tmp_path: Path) -> VerifyScene:
    return VerifyScene(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of 75 pictures, 320 × 180, with sound; its index comes first."""
    return media.clip(tmp_path_factory.mktemp("clip") / "clip.mp4", has_index_first=True)


def a_png(width: int = 3, height: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    rows = zlib.compress((b"\0" + b"\0" * 3 * width) * height)
    header = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> bytes:
    file = tmp_path_factory.mktemp("poster") / "poster.jpg"
    subprocess.run([binary(), "-v", "error", "-i", str(clip), "-frames:v", "1", str(file)], check=True)
    return file.read_bytes()


def refused(place: VerifyScene, spec: JobSpec, content: bytes, result: dict[str, Any]) -> str:
    """What the worker says before it publishes, and that `verify` says the same of what was published."""
    staged = JobContext(spec, place.settings.for_code).output(spec.writes[0].path)
    staged.write_bytes(content)
    with pytest.raises(BadOutput) as by_worker:
        output_check.check_counts(place.settings.layout, spec, "1", result)
    place.done(spec, content, result=result)
    finding = only(place.verify())
    assert finding.kind == "wrong" and spec.writes[0].path in finding.message
    return f"{by_worker.value}\n{finding.message}"


# ── what a player would make of it ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mp3", "a.wav", "a.avi"])
def test_a_list_of_files_is_no_media_file(place: VerifyScene, clip: Path, name: str):
    (place.settings.project / "secret.mp4").write_bytes(clip.read_bytes())
    text = f"ffconcat version 1.0\nfile '{place.settings.project / 'secret.mp4'}'\n"

    said = refused(place, place.job(0, name), text.encode(), {})

    assert said.count(f"is no .{name[2:]} file") + said.count("does not decode") == 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_playlist_and_a_streams_description_open_nothing(
    place: VerifyScene, name: str, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as listening, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        udp.close()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/x.ts"
        began = time.monotonic()
        for n, text in enumerate((HLS.format(address), SDP.format(port, port + 2))):
            place.done(place.job(n, name), text.encode())
        findings = place.verify().findings
        assert [f.kind for f in findings] == ["wrong", "wrong"]
        assert time.monotonic() - began < 5, "nobody was waited for"
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_container_under_another_ones_name_is_no_such_file(place: VerifyScene, tmp_path: Path, clip: Path):
    avi = tmp_path / "x.avi"
    subprocess.run([binary(), "-v", "error", "-i", str(clip), "-c", "copy", str(avi)], check=True)
    assert "is no .mp4 file" in refused(place, place.job(0, "a.mp4"), avi.read_bytes(), {})


def test_a_program_named_like_a_stream_is_left_alone(place: VerifyScene):
    place.done(place.job(0, "main.ts"), b"export const a = 1;\n")
    place.done(place.job(1, "main.mts"), b"export const a = 1;\n")
    assert place.verify().is_good


# ── what is not whole ─────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_tail_is_found_by_worker_and_verify(place: VerifyScene, clip: Path):
    whole = clip.read_bytes()
    said = refused(place, place.job(0, "a.mp4"), whole[: int(len(whole) * 0.7)], {})
    assert "breaks off" in said or "does not decode" in said


def test_a_missing_tail_of_a_matroska_file_is_found(place: VerifyScene, tmp_path: Path, clip: Path):
    mkv = tmp_path / "x.mkv"
    subprocess.run([binary(), "-v", "error", "-i", str(clip), "-c", "copy", str(mkv)], check=True)
    whole = mkv.read_bytes()
    assert "breaks off" in refused(place, place.job(0, "a.mkv"), whole[: len(whole) // 2], {})


def test_a_missing_index_is_found(place: VerifyScene, tmp_path: Path):
    file = media.clip(tmp_path / "late.mp4")
    whole = file.read_bytes()
    assert "does not decode" in refused(place, place.job(0, "a.mp4"), whole[: len(whole) // 2], {})


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_that_breaks_off_is_found(place: VerifyScene, jpeg: bytes, name: str):
    whole = a_png() if name.endswith("png") else jpeg
    place.done(place.job(9, name), whole)
    assert place.verify().is_good
    place.specs.clear()
    assert refused(place, place.job(0, name), whole[:-5], {}).count("breaks off") == 2


def test_a_picture_that_is_none_is_found(place: VerifyScene):
    assert "is no picture" in refused(place, place.job(0, "a.png"), b"<svg/>", {})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b'{"a": 1', "is not JSON"),
        ("a.jsonl", b'{"a": 1}\n{"a"\n', "line 2 is not JSON"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02\nhello\n", "line 2 is no time of a subtitle"),
        ("a.srt", b"hello\n", "line 1 is no subtitle"),
        ("a.vtt", b"1\n00:00:01.000 --> 00:00:02.000\nhello\n", "does not begin with WEBVTT"),
    ],
)
def test_a_text_that_is_not_what_its_name_says_is_found(
    place: VerifyScene, name: str, content: bytes, words: str
):
    assert refused(place, place.job(0, name), content, {}).count(words) == 2


# ── what the result says ──────────────────────────────────────────────────────────────────────────────────


GOOD = {"frames": 75, "duration_s": 3.0, "width": 320, "height": 180}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"frames": 76}, "holds 75 pictures, its result says 76"),
        ({"frames": 74}, "holds 75 pictures, its result says 74"),
        ({"duration_s": 4.0}, "its result says 4.00 s"),
        ({"width": 640}, "is 320 × 180 pixels, its result says 640 × 180"),
    ],
)
@pytest.mark.parametrize("is_direct", [True, False])
def test_a_file_that_holds_another_number_than_its_result_says(
    place: VerifyScene, clip: Path, said: dict[str, float], words: str, is_direct: bool
):
    spec = place.job(0, "a.mp4", task="media.cut" if is_direct else "mine.cut")
    path, good = spec.writes[0].path, {**GOOD, **said}
    place.done(place.job(1, "a.mp4", task="media.cut"), clip.read_bytes(), result=GOOD)
    assert (
        refused(place, spec, clip.read_bytes(), good if is_direct else {"outputs": {path: good}}).count(words)
        == 2
    )


def test_what_a_task_of_your_own_calls_frames_says_nothing_of_its_file(place: VerifyScene, clip: Path):
    place.done(
        place.job(0, "a.mp4", task="mine.cut"), clip.read_bytes(), result={"frames": 7, "duration_s": 0.1}
    )
    place.done(
        place.job(1, "a.mp4", task="media.cut"), clip.read_bytes(), result={"outputs": "none", "frames": None}
    )
    assert place.verify().is_good


def test_lines_and_subtitles_are_counted(place: VerifyScene):
    for n, (name, content, said) in enumerate(
        [
            ("a.jsonl", b"{}\n\n{}\n", {"lines": 3}),
            ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n", {"cues": 2}),
        ]
    ):
        spec = place.job(n, name, task="mine.write")
        assert "its result says" in refused(place, spec, content, {"outputs": {spec.writes[0].path: said}})
        place.specs.clear()


def test_a_turned_clip_may_be_told_as_stored_or_as_shown(place: VerifyScene, tmp_path: Path, clip: Path):
    file = tmp_path / "turned.mp4"
    argv = [binary(), "-v", "error", "-display_rotation:v:0", "90", "-i", str(clip), "-c", "copy", str(file)]
    subprocess.run(argv, check=True)
    for n, size in enumerate(((320, 180), (180, 320))):
        said = {"width": size[0], "height": size[1]}
        place.done(place.job(n, "a.mp4", task="media.cut"), file.read_bytes(), result=said)
    assert place.verify().is_good


def test_samples_and_tags_are_held_against_the_result(place: VerifyScene, tmp_path: Path):
    file = tmp_path / "x.wav"
    sound = ["-f", "lavfi", "-i", "sine=d=1:r=48000", "-metadata", "title=one"]
    subprocess.run([binary(), "-v", "error", *sound, str(file)], check=True)
    right, wrong = {"samples": 48000, "tags": {"title": "one"}}, ({"samples": 1}, {"tags": {"title": "two"}})
    for n, (said, is_good) in enumerate([(right, True), *((each, False) for each in wrong)]):
        spec = place.job(n, "a.wav", task="mine.sound")
        place.done(spec, file.read_bytes(), result={"outputs": {spec.writes[0].path: said}})
        assert place.verify().is_good == is_good, said
        place.specs.clear()


def test_a_copy_is_what_its_result_says(place: VerifyScene):
    spec = place.job(0, "a.bin", task="files.publish")
    place.done(spec, b"abc", result={"sha256": "0" * 64, "bytes": 3})
    assert "another content than its result says" in only(place.verify()).message


def test_the_worker_reads_no_large_document_into_memory(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_bytes(b"{" * 100)
    assert counted("scratch:a.json", file, most_json=99).fault is None
    assert counted("scratch:a.json", file, most_json=100).fault is not None


def test_a_long_read_says_that_it_goes_on(clip: Path, monkeypatch: pytest.MonkeyPatch):
    """Or its job would be taken for stalled."""
    monkeypatch.setattr(facts_media, "TELL_S", 0.0)
    told: list[bool] = []
    counted("scratch:a.mp4", clip, 0, lambda: told.append(True))
    assert len(told) > 75


def test_an_output_of_no_known_kind_is_only_hashed(place: VerifyScene):
    place.done(place.job(0, "a.bin"), b"\0\1")
    report = place.verify()
    assert report.is_good and report.outputs == 1
