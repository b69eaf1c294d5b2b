"""verify looks into films: what is in them, and what their workers have counted in them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from verify_scene import VerifyScene, only

from conductor.model.media import MediaFact
from conductor.verify import output_facts
from conductor.verify.media_facts import count


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VerifyScene]:
    made = VerifyScene(tmp_path)
    yield made
    made.log.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of picture and sound."""
    from imageio_ffmpeg import get_ffmpeg_exe

    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    sources = ["-f", "lavfi", "-i", "testsrc=s=160x90:d=2", "-f", "lavfi", "-i", "sine=d=2"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *sources, "-shortest", str(file)], check=True)
    return file.read_bytes()


@pytest.mark.parametrize("expect", [{}, {"duration_s": 2.0}, {"duration_s": 2.4}, {"max_duration_s": 1.8}])
def test_media_that_decodes_and_lasts_as_expected_is_good(
    place: VerifyScene, clip: bytes, expect: dict[str, float]
) -> None:
    place.done(place.job(0, "a.mp4", expect=expect), clip)
    assert place.verify().is_good


@pytest.mark.parametrize(
    ("expect", "wanted"),
    [
        ({"duration_s": 3.0}, "3 s (± 0.5)"),
        ({"duration_s": 2.4, "tolerance_s": 0.1}, "2.4 s (± 0.1)"),
        ({"max_duration_s": 1.0}, "at most 1 s (± 0.5)"),
        ({"min_duration_s": 3.0}, "at least 3 s (± 0.5)"),
    ],
)
def test_media_that_lasts_otherwise_is_wrong(
    place: VerifyScene, clip: bytes, expect: dict[str, float], wanted: str
) -> None:
    place.done(place.job(0, "%03d odd name.mp4", expect=expect), clip)
    finding = only(place.verify())
    assert finding.kind == "wrong" and f"lasts 2.00 s instead of {wanted}" in finding.message


def test_media_that_does_not_decode_is_wrong_though_its_checksum_holds(
    place: VerifyScene, clip: bytes
) -> None:
    place.done(place.job(0, "a.mp4"), clip[: len(clip) // 2])
    place.done(place.job(1, "a.mp4"), b"")
    place.done(place.job(2, "a.mp4"), clip[:3000] + b"x" * 2000 + clip[5000:])

    findings = place.verify().findings

    assert [f.kind for f in findings] == ["wrong"] * 3
    assert "does not decode" in findings[0].message


def counted_clip(clip: bytes, tmp_path: Path) -> MediaFact:
    (file := tmp_path / "counted.mp4").write_bytes(clip)
    return count(file, lambda: None)


def test_media_that_its_worker_has_counted_is_judged_by_that_and_not_decoded(
    place: VerifyScene, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = counted_clip(clip, tmp_path)
    specs = [place.job(n, "a.mp4", expect={"duration_s": wanted}) for n, wanted in enumerate((2.0, 3.0))]
    specs.append(place.job(2, "a.mp4"))
    results: list[dict[str, Any]] = [{}, {}, {"outputs": {specs[2].writes[0].path: {"frames": 49}}}]
    for spec, result in zip(specs, results, strict=True):
        place.done(spec, clip, result=result, media={spec.writes[0].path: known})
    monkeypatch.setattr(output_facts, "decode", lambda file: pytest.fail(f"{file} is decoded again"))

    found = place.verify()

    assert [f.message.partition(" ")[2] for f in found.findings] == [
        "lasts 2.00 s instead of 3 s (± 0.5)",
        "holds 50 pictures, its result says 49",
    ]
    assert (found.done, found.outputs, found.counted_before) == (1, 3, 3)
    assert "3 of them media as counted before it was published" in found.to_text()


def test_a_picture_that_no_decoder_reads_is_found_by_a_deep_look(
    place: VerifyScene, clip: bytes, tmp_path: Path
) -> None:
    broken = clip[:3000] + b"x" * 2000 + clip[5000:]
    spec = place.job(0, "a.mp4")
    place.done(spec, broken, media={spec.writes[0].path: counted_clip(clip, tmp_path)})

    assert place.verify().is_good
    finding = only(place.verify(is_deep=True))
    assert finding.kind == "wrong" and "does not decode" in finding.message


def test_what_was_counted_stands_for_its_own_content_only(
    place: VerifyScene, clip: bytes, tmp_path: Path
) -> None:
    """A file that was changed is another one, and a claim that nobody counted is counted now."""
    known, specs = counted_clip(clip, tmp_path), [place.job(n, "a.mp4") for n in range(2)]
    for spec, result in zip(specs, ({}, {"samples": 44_100}), strict=True):
        path = spec.writes[0].path
        place.done(spec, clip, result={"outputs": {path: result}}, media={path: known})
    place.file(specs[0].writes[0].path).write_bytes(clip[:-1] + b"x")

    altered, wrong = place.verify().findings

    assert (altered.kind, wrong.kind) == ("altered", "wrong")
    assert "samples, its result says 44100" in wrong.message
    assert place.verify().counted_before == 0
