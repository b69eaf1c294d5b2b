"""Six sample clips, drawn and sounded by ffmpeg itself: scenes that change, a tone to each, nothing to
download.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conductor.base.errors import ConductorError

SIZE, FPS = "640x360", 24

#: One scene: an ffmpeg picture source, how long it is shown, and the tone that goes with it (Hz).
Scene = tuple[str, float, int]

CLIPS: dict[str, tuple[Scene, ...]] = {
    "01-harbour.mp4": (("testsrc2=s={s}:r={r}", 3.0, 220), ("smptehdbars=s={s}:r={r}", 3.5, 330)),
    "02-fractal.mp4": (
        ("mandelbrot=s={s}:r={r}:maxiter=120", 4.0, 262),
        ("rgbtestsrc=s={s}:r={r}", 3.0, 196),
    ),
    "03-colours.mp4": (
        ("gradients=s={s}:r={r}:speed=0.08:seed=7:c0=orange:c1=navy", 3.0, 294),
        ("pal75bars=s={s}:r={r}", 2.0, 440),
        ("gradients=s={s}:r={r}:speed=0.02:seed=11:c0=teal:c1=maroon", 3.0, 247),
    ),
    "04-cells.mp4": (
        ("life=s=320x180:r={r}:mold=12:seed=3:ratio=0.3", 4.0, 175),
        ("testsrc=s={s}:r={r}", 4.5, 349),
    ),
    "05-calm then loud.mp4": (
        ("color=c=steelblue:s={s}:r={r}", 5.0, 147),
        ("testsrc2=s={s}:r={r}", 4.5, 523),
    ),
    "06-rule.mp4": (
        ("cellauto=s=320x180:r={r}:rule=110:seed=5", 3.0, 392),
        ("smptebars=s={s}:r={r}", 2.5, 165),
        ("testsrc2=s={s}:r={r}", 3.0, 311),
    ),
}


def make_samples(folder: Path, drawn: Mapping[str, tuple[Scene, ...]] = CLIPS) -> tuple[Path, ...]:
    """These clips below `folder`; those that are there stay as they are, so that nothing planned on them
    changes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = tuple(folder / name for name in drawn)
    absent = [clip for clip in clips if not clip.exists()]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(draw, absent, [drawn[clip.name] for clip in absent]))
    return clips


def draw(clip: Path, scenes: tuple[Scene, ...]) -> None:
    """Write one clip, whole or not at all. The same ffmpeg gives the same bytes."""
    from imageio_ffmpeg import get_ffmpeg_exe

    part = clip.with_name(f".{clip.stem}.part.mp4")
    command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *sources(scenes), *joined(len(scenes))]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-threads", "1"]
    sound = ["-c:a", "aac", "-b:a", "96k", "-ar", "48000", "-ac", "2"]
    exact = [
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
        "-flags:a",
        "+bitexact",
        "-movflags",
        "+faststart",
    ]
    done = subprocess.run(
        [*command, *encode, *sound, *exact, f"file:{part}"], capture_output=True, check=False
    )
    if done.returncode:
        part.unlink(missing_ok=True)
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ConductorError(f"cannot draw {clip.name}: {' '.join(last) or 'ffmpeg failed'}")
    part.replace(clip)


def sources(scenes: tuple[Scene, ...]) -> list[str]:
    arguments: list[str] = []
    for picture, seconds, hertz in scenes:
        arguments += ["-f", "lavfi", "-t", str(seconds), "-i", picture.format(s=SIZE, r=FPS)]
        arguments += ["-f", "lavfi", "-t", str(seconds), "-i", f"sine=frequency={hertz}:sample_rate=48000"]
    return arguments


def joined(count: int) -> list[str]:
    """All pictures in one form, one after the other, each with its tone."""
    form = "scale={}:{},setsar=1,format=yuv420p".format(*SIZE.split("x"))
    shown = "".join(f"[{2 * n}:v]{form}[v{n}];" for n in range(count))
    order = "".join(f"[v{n}][{2 * n + 1}:a]" for n in range(count))
    graph = f"{shown}{order}concat=n={count}:v=1:a=1[v][a]"
    return ["-filter_complex", graph, "-filter_complex_threads", "1", "-map", "[v]", "-map", "[a]"]


if __name__ == "__main__":
    for made in make_samples(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("samples")):
        print(made)  # noqa: T201  a script's own output
