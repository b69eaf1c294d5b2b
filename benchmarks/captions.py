"""What captions cost beside the model: the task's CPU time (user and system, ffmpeg's too) against what of it
the recogniser took, within one and the same run. Two runs beside each other do not compare: the same work
takes 7.3 to 9.8 s of CPU on cores that others use too.

    PYTHONPATH=tests python benchmarks/captions.py [--minutes 4] [--runs 5] [--json FILE]

Needs pocketsphinx (the developers' packages) and flite (Debian), which speaks. Everything around
the model (two passes of decoding, pauses, cues, two files) is to be less than 5 %.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pocketsphinx
from task_bench import Bench

from workers.media import ffmpeg
from workers.speech import recognisers
from workers.speech.recognisers import RATE, SPHINX
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


class Timed:
    """A recogniser, and the CPU time that it took."""

    def __init__(self, recogniser: recognisers.Recogniser) -> None:
        self._recogniser = recogniser
        self.cpu_s, self.spans, self.heard_s = 0.0, 0, 0.0

    def hear(self, samples: Any, language: str | None) -> Any:
        begun = time.process_time()
        try:
            return self._recogniser.hear(samples, language)
        finally:
            self.cpu_s += time.process_time() - begun
            self.spans, self.heard_s = self.spans + 1, self.heard_s + len(samples) / RATE


def measured(minutes: float, runs: int) -> list[dict[str, Any]]:
    """One row a run."""
    model, opened, rows = Path(pocketsphinx.get_model_path("en-us")), list[Timed](), list[dict[str, Any]]()
    real = recognisers.open_recogniser
    # The task asks for it by name when it needs it.
    recognisers.open_recogniser = lambda *how: opened.append(Timed(real(*how))) or opened[-1]  # pyright: ignore
    with tempfile.TemporaryDirectory(prefix="captions-") as place:
        bench = Bench(Path(place))
        film = speech(bench.inputs, minutes * 60)
        bench.settings = msgspec.structs.replace(bench.settings, inputs=(*bench.settings.inputs, model))
        reads = [film, *sorted(file for file in model.rglob("*") if file.is_file())]
        args = {"model": str(model), "kind": SPHINX, "source": str(film), "language": "en"}
        for number in range(runs + 1):
            begun, before = cpu_s(), opened[0].cpu_s if opened else 0.0
            bench.run(media_captions.run, args, reads=reads, writes=WRITES)
            task_s, model_s = cpu_s() - begun, opened[0].cpu_s - before
            spans, heard_s = opened[0].spans // (number + 1), opened[0].heard_s / (number + 1)
            shape = {"minutes": minutes, "stretches": spans, "spoken_s": heard_s}
            rows.append(
                {**shape, "task_cpu_s": task_s, "model_cpu_s": model_s, "task / model": task_s / model_s}
            )
    return rows[1:]  # The first loads the model, which stays.


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measured(options.minutes, options.runs)
    for row in rows:
        print("  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    print(f"task / model: {statistics.median(row['task / model'] for row in rows):.3f}")
    if options.json:
        options.json.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
