"""An advertisement of four clips that ffmpeg draws: transitions, a logo, a line of text and subtitles."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conductor.base.settings.settings import CONFIG_NAME
from workers.media import fonts
from workflows.highlights.samples import Scene, make_samples
from workflows.studio.kinds import SETTINGS

CLIPS: dict[str, tuple[Scene, ...]] = {
    "harbour.mp4": (("testsrc2=s={s}:r={r}", 2.5, 220), ("smptehdbars=s={s}:r={r}", 2.0, 330)),
    "fractal.mp4": (
        ("mandelbrot=s=320x180:r={r}:maxiter=60", 3.0, 262),
        ("rgbtestsrc=s={s}:r={r}", 1.5, 196),
    ),
    "colours.mp4": (("gradients=s=320x180:r={r}:speed=0.08:seed=7:c0=orange:c1=navy", 4.5, 294),),
    "rule.mp4": (("cellauto=s=320x180:r={r}:rule=110:seed=5", 2.5, 392), ("smptebars=s={s}:r={r}", 2.0, 165)),
}
SUBTITLES = """1
00:00:00,500 --> 00:00:02,500
Made of four clips

2
00:00:06,000 --> 00:00:09,000
and verified, picture by picture
"""


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    settings = folder / CONFIG_NAME
    if "[counters]" not in settings.read_text(encoding="utf-8"):
        with settings.open("a", encoding="utf-8") as config:
            config.write(SETTINGS)
    clips = folder / "clips"
    make_samples(clips, CLIPS)
    captions = clips / "captions.srt"
    # Written once: a new date would make the film anew.
    if not captions.exists():
        captions.write_text(SUBTITLES, encoding="utf-8")
    board = {
        "width": 640,
        "height": 360,
        "fps": 25,
        "transition": {"name": "fade", "seconds": 1},
        "scenes": [
            {
                "file": name,
                "in_s": 0.5,
                "out_s": 4.5,
                **({"transition": {"name": t, "seconds": 0.8}} if t else {}),
            }
            for name, t in zip(CLIPS, ("", "wipeleft", "slideup", ""), strict=True)
        ],
        # A host without a font can show the rest.
        "overlays": [{"text": "A film of stretches", "at_s": 1, "seconds": 3, "y": 0.1}]
        if fonts.usual()
        else [],
        "subtitles": {"file": "captions.srt", "language": "eng"},
    }
    file = clips / "advert.json"
    file.write_text(json.dumps(board, indent=1), encoding="utf-8")
    yield ["render", str(file)]
