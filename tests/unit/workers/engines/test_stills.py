"""A picture of the user's in a cartoon, whatever it is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.engines import templates
from workers.media import ffmpeg
from workers.media.common_form import FrameFormat

FRAME = FrameFormat(width=64, height=36, fps=24)


@pytest.mark.parametrize("name", ["a.jpg", "b.png", "c.webp", "d007.jpg"])
def test_a_picture_of_each_kind_is_shown(tmp_path: Path, name: str) -> None:
    picture = tmp_path / name
    drawn = [*media.pattern(0.04, size="65x41"), "-frames:v", "1", "-update", "1", picture]
    subprocess.run([ffmpeg.binary(), "-loglevel", "error", *map(str, drawn)], check=True)
    still = templates.still(picture, name, FRAME, 3)
    job = ffmpeg.unwritten(still, **{"frames:v": 3})
    made = ffmpeg.run(job, Bench(tmp_path).context(), seconds=1, note="", name=name, threads=1)
    assert made.frames == 3


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("a text")
    with pytest.raises(BadInput, match=r"a\.png is no picture: \.png, \.jpg and \.webp are"):
        templates.still(tmp_path / "a.png", "a.png", FRAME, 3)
