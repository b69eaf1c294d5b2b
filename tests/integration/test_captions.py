"""media.captions: real films through ffmpeg, real ONNX sessions and a real recogniser of speech."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pysubs2
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, ConfigError
from workers.media import ffmpeg
from workers.speech import stand_in
from workers.speech.recognisers import RATE
from workers.tasks import media_captions

WRITES = ["published:a.srt", "published:a.vtt"]
#: What is said, and when it begins.
SAID = [(0.7, "once upon a time there was a queue"), (8.5, "it was never empty"), (14.0, "the end")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    stand_in.write_model(folder)
    return folder


def film(
    path: Path, samples: np.ndarray, rate: int = RATE, *, codec: str = "aac", delay_s: float = 0.0
) -> Path:
    """A grey film with this sound, which begins after so many seconds."""
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    pictures = f"color=gray:s=64x48:r=10:d={len(samples) / rate + delay_s:.3f}"
    inputs = ["-f", "lavfi", "-i", pictures, "-itsoffset", f"{delay_s}", "-i", path.with_suffix(".wav")]
    subprocess.run([ffmpeg.binary(), "-v", "error", "-y", *inputs, "-c:a", codec, path], check=True)
    return path


def spoken(said: list[tuple[float, str]], length_s: float) -> np.ndarray:
    samples = 0.0005 * np.random.default_rng(3).standard_normal(round(length_s * RATE)).astype(np.float32)
    for at_s, text in said:
        tones = stand_in.speak(text)
        samples[round(at_s * RATE) : round(at_s * RATE) + len(tones)] += tones
    return samples


def captioned(
    bench: Bench, source: Path, model: Path, kind: str = stand_in.KIND, **args: Any
) -> dict[str, Any]:
    given = {"model": str(model), "kind": kind, "source": str(source), "language": "en", **args}
    if given["language"] is None:
        del given["language"]
    reads = [source, *sorted(file for file in model.rglob("*") if file.is_file())]
    allowed = (*bench.settings.inputs, model)
    bench.settings = msgspec.structs.replace(bench.settings, inputs=allowed)
    return bench.run(media_captions.run, given, reads=reads, writes=WRITES)


def read(bench: Bench, write: str = WRITES[0]) -> list[tuple[float, float, str]]:
    subtitles = pysubs2.load(str(bench.made(write)))
    return [(cue.start / 1000, cue.end / 1000, cue.plaintext) for cue in subtitles]


NO_SPHINX = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="pocketsphinx has no wheel for this Python"
)


@pytest.mark.parametrize(("codec", "delay_s", "name"), [("aac", 0.0, "a.mp4"), ("libopus", 0.8, "a.mkv")])
def test_what_is_said_is_written_and_in_time(
    bench: Bench, model: Path, codec: str, delay_s: float, name: str
):
    source = film(bench.inputs / name, spoken(SAID, 17.0), codec=codec, delay_s=delay_s)

    result = captioned(bench, source, model)

    shown = read(bench)
    assert " ".join(text.replace("\n", " ") for _, _, text in shown) == " ".join(text for _, text in SAID)
    starts = [
        start for start, _, text in shown if any(whole.startswith(text.split("\n")[0]) for _, whole in SAID)
    ]
    assert starts == [pytest.approx(at_s + delay_s, abs=0.3) for at_s, _ in SAID]
    assert read(bench, WRITES[1]) == shown
    assert (result["cues"], result["words"], result["language"]) == (len(shown), 14, "en")


def test_the_language_is_told_by_what_is_said(bench: Bench, model: Path):
    said = [(0.5, "das ist ein satz und er ist nicht sehr lang"), (9.0, "hier kommt noch einer")]
    source = film(bench.inputs / "german.mp4", spoken(said, 14.0))

    assert captioned(bench, source, model, language=None)["language"] == "de"


@pytest.mark.parametrize("has_sound", [True, False])
def test_a_film_in_which_nobody_speaks_has_no_caption(bench: Bench, model: Path, has_sound: bool):
    source = film(bench.inputs / "quiet.mp4", np.zeros(RATE * 2, np.float32))
    if not has_sound:
        silent = bench.inputs / "silent.mp4"
        subprocess.run(
            [ffmpeg.binary(), "-v", "error", "-i", source, "-an", "-c", "copy", silent], check=True
        )
        source = silent

    assert captioned(bench, source, model)["cues"] == 0
    assert read(bench, WRITES[1]) == []


@pytest.mark.parametrize(
    ("kind", "taken", "words"),
    [
        (
            "gigaam-v2-ctc",
            "v2_vocab.txt",
            "cannot be loaded as a model of kind gigaam-v2-ctc: .*v2_vocab.txt|v._vocab",
        ),
        ("whisper", None, "cannot be loaded as a model of kind whisper"),
        ("telepathy", None, "cannot be loaded as a model of kind telepathy: Model 'telepathy' not supported"),
        pytest.param(
            "pocketsphinx", None, "is no model of kind pocketsphinx: it has no mdef", marks=NO_SPHINX
        ),
    ],
)
def test_a_model_that_is_none_is_said_in_one_sentence(
    bench: Bench, model: Path, tmp_path: Path, kind: str, taken: str | None, words: str
):
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    if taken:
        (broken / taken).unlink()
    source = film(bench.inputs / "a.mp4", spoken(SAID[-1:], 16.0))

    with pytest.raises(BadInput, match=words):
        captioned(bench, source, broken, kind)


def test_a_model_that_no_read_names_is_refused(bench: Bench, model: Path):
    source = film(bench.inputs / "a.mp4", spoken(SAID[-1:], 16.0))
    given = {"model": str(model), "kind": stand_in.KIND}

    with pytest.raises(BadInput, match=r"args\.model: no file of .* is among the job's reads"):
        bench.run(media_captions.run, given, reads=[source], writes=WRITES)


FLITE = shutil.which("flite")


@NO_SPHINX
@pytest.mark.skipif(
    FLITE is None and "CI" not in os.environ, reason="no flite here (Debian package flite), which speaks"
)
def test_speech_is_captioned_in_time(bench: Bench):
    """Of a recogniser that is hard of hearing times are looked at, and a word that it knows."""
    import pocketsphinx

    sentences = [
        (1.0, "good morning and welcome"),
        (5.0, "go forward ten meters"),
        (9.5, "this is the last sentence"),
    ]
    samples = 0.0005 * np.random.default_rng(3).standard_normal(RATE * 13).astype(np.float32)
    ends = list[float]()
    for at_s, text in sentences:
        file = bench.inputs / "said.wav"
        subprocess.run([str(FLITE), "-voice", "slt", "-t", text, "-o", str(file)], check=True)
        with wave.open(str(file)) as said:
            heard = np.frombuffer(said.readframes(said.getnframes()), "<i2").astype(np.float32) / 32768
            assert said.getframerate() == RATE
        loud = np.flatnonzero(np.abs(heard) > 0.02)
        heard = heard[loud[0] : loud[-1]]
        samples[round(at_s * RATE) : round(at_s * RATE) + len(heard)] += heard
        ends.append(at_s + len(heard) / RATE)
    source = film(bench.inputs / "speech.mkv", samples, codec="flac")

    captioned(bench, source, Path(pocketsphinx.get_model_path("en-us")), "pocketsphinx")

    shown = read(bench)
    assert [start for start, _, _ in shown] == [pytest.approx(at_s, abs=0.3) for at_s, _ in sentences]
    assert [end for _, end, _ in shown] == [pytest.approx(end_s, abs=0.3) for end_s in ends]
    assert "forward" in " ".join(text for _, _, text in shown)


def test_a_plan_names_the_model_by_its_files_and_says_what_is_missing(tmp_path: Path):
    from conductor.base.settings.settings import load
    from workflows.studio.captions_plan import caption_jobs

    options = type("Options", (), {"model": "tones", "language": None, "gpu": False})
    stand_in.write_model(tmp_path / "weights")
    (tmp_path / "a.mp4").write_bytes(b"film")
    head = '[models.tones]\npath = "weights"\n'
    (tmp_path / "conductor.toml").write_text(head)
    with pytest.raises(ConfigError, match=r"models.tones: say what it is, like kind ="):
        list(caption_jobs("studio", [tmp_path / "a.mp4"], options, load(tmp_path).for_code))

    (tmp_path / "conductor.toml").write_text(head + 'kind = "gigaam-v2-ctc"\n')
    (spec,) = caption_jobs("studio", [tmp_path / "a.mp4"], options, load(tmp_path).for_code)

    assert [Path(read).name for read in spec.reads] == ["a.mp4", "v2_ctc.onnx", "v2_vocab.txt"]
    assert spec.args["kind"] == "gigaam-v2-ctc"
    assert spec.priority == 6
