"""The sound of a cartoon's scene: what is none is named by its file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.media import ffmpeg
from workers.tasks.toon_segment import SegmentArgs, sound_of


def asked(bench: Bench, name: str, *words: str) -> None:
    file = bench.inputs / name
    if words:
        subprocess.run([ffmpeg.binary(), "-loglevel", "error", *words, str(file)], check=True)
    else:
        file.write_text("no sound at all\n")
    given = SegmentArgs(frames=12, samples=24_000, fps=12, width=160, height=90, sound=str(file))
    sound_of(bench.context(reads=[str(file)]), given, 0.5)


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "c.mp3", "d.mp4"])
def test_a_sound_of_each_kind_is_taken(tmp_path: Path, name: str) -> None:
    asked(Bench(tmp_path), name, "-f", "lavfi", "-i", "sine=duration=0.5")


def test_what_holds_no_sound_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(BadInput, match=r"silent\.mkv holds no sound"):
        asked(bench, "silent.mkv", *map(str, media.pattern(0.2)))
    with pytest.raises(BadInput, match=r"text\.wav is not a sound: nothing in it can be read as one"):
        asked(bench, "text.wav")
