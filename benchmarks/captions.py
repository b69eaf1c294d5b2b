"""What captions cost beside the model: the task's CPU time against that of the recogniser alone, on the same
stretches of the same film, in turn.

    PYTHONPATH=tests python benchmarks/captions.py [--minutes 2] [--runs 5]

Needs pocketsphinx (the developers' packages) and flite (Debian), which speaks. Everything around
the model (two passes of decoding, pauses, cues, two files) is to be less than 5 %.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pocketsphinx
from task_bench import Bench

from workers.media import ffmpeg
from workers.speech import stretches
from workers.speech.recognisers import RATE, SPHINX, open_recogniser
from workers.tasks import media_captions

SENTENCES = ("good morning and welcome", "go forward ten meters", "this is the last sentence of the evening")
WRITES = ("published:a.srt", "published:a.vtt")


def cpu_s() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def speech(folder: Path, seconds: float) -> Path:
    """A film in which somebody says a sentence every four seconds."""
    samples, at_s = np.zeros(round(RATE * seconds), np.float32), 0.5
    said = [spoken(folder, text) for text in SENTENCES]
    while at_s + 4 < seconds:
        words = said[round(at_s) % len(said)]
        samples[round(at_s * RATE) : round(at_s * RATE) + len(words)] += words
        at_s += 4
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    film = folder / "a.mp4"
    pictures = f"color=gray:s=640x360:r=25:d={seconds}"
    argv = [ffmpeg.binary(), "-v", "error", "-f", "lavfi", "-i", pictures, "-i", folder / "a.wav", film]
    subprocess.run(argv, check=True)
    return film


def spoken(folder: Path, text: str) -> Any:
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(folder / "s.wav")], check=True)
    with wave.open(str(folder / "s.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 40000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    model = Path(pocketsphinx.get_model_path("en-us"))
    with tempfile.TemporaryDirectory(prefix="captions-") as place:
        bench = Bench(Path(place))
        film = speech(bench.inputs, options.minutes * 60)
        bench.settings = bench.settings.model_copy(update={"inputs": (*bench.settings.inputs, model)})
        reads = [film, *sorted(file for file in model.rglob("*") if file.is_file())]
        args = {"model": str(model), "kind": SPHINX, "source": str(film), "language": "en"}
        bench.run(media_captions.run, args, reads=reads, writes=WRITES)  # loads the model, which stays
        recogniser = open_recogniser(model, SPHINX, "alone", False, 1)
        with wave.open(str(bench.inputs / "a.wav")) as file:
            samples = (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768).astype(np.float32)
        spans = stretches.spoken(stretches.levels(samples, RATE), 20.0)
        ratios = list[float]()
        for _ in range(options.runs):
            begun = cpu_s()
            for span in spans:
                recogniser.hear(samples[round(span.start_s * RATE) : round(span.end_s * RATE)], "en")
            between = cpu_s()
            bench.run(media_captions.run, args, reads=reads, writes=WRITES)
            ratios.append((cpu_s() - between) / (between - begun))
            print(f"model alone {between - begun:.2f} s of CPU, the task {cpu_s() - between:.2f} s")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"task / model: {statistics.median(ratios):.3f} ({spread}), {len(spans)} stretches")


if __name__ == "__main__":
    main()
