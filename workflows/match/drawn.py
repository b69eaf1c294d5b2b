"""Films of a match that nobody played: a script drawn picture by picture and sounded, by code, offline.

Along the lower edge each picture carries its own number in black and grey squares: whoever cuts the film can
be asked which pictures came out.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
import wave
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.errors import ConductorError
from workers.match.pitch import LENGTH_M, MOUTH_M, WIDTH_M, Box
from workers.media import ffmpeg
from workflows.match.script import Script, place_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

#: The picture's form for which all else is said; others are multiples of it.
WIDTH, HEIGHT, FPS = 640, 400, 25
RATE = 24_000
PITCH_PX = (50, 25, 590, 375)
PITCH = Box(*(round(px / side, 6) for px, side in zip(PITCH_PX, (WIDTH, HEIGHT) * 2, strict=True)))
#: The squares of a picture's number: so many bits, from here on, so large.
BITS, BITS_X, BITS_Y, BIT = 16, 128, 384, 12

GRASS, STRIPE, LINE = (40, 118, 52), (44, 126, 56), (110, 170, 115)
COLOURS = {"red": (205, 35, 35), "blue": (30, 55, 205), "yellow": (235, 215, 40), "magenta": (205, 40, 205)}
BALL = (252, 252, 252)
#: Where the ten of the left team stand, in metres; the right team mirrors them.
FORMATION = [
    (16, 12),
    (13, 27),
    (13, 41),
    (16, 56),
    (32, 16),
    (29, 34),
    (32, 52),
    (44, 12),
    (46, 32),
    (44, 56),
]


def draw(script: Script, target: Path, *, scale: int = 1, fps: float = FPS, has_sound: bool = True) -> Path:
    """Write the film, whole or not at all. The same ffmpeg gives the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    size = f"{WIDTH * scale}x{HEIGHT * scale}"
    pictures = round(script.now_s * fps)
    with tempfile.TemporaryDirectory(prefix="match-") as folder:
        heard = ["-i", str(sounded(script, Path(folder) / "sound.wav"))] if has_sound else []
        command = [
            *(ffmpeg.binary(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size),
            *("-r", str(fps), "-i", "pipe:0", *heard, "-frames:v", str(pictures)),
            *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p"),
            *("-g", str(round(2 * fps))),
            *("-colorspace", "bt709", "-c:a", "aac", "-b:a", "64k", "-threads", "2", "-fflags", "+bitexact"),
            *("-flags:v", "+bitexact", "-flags:a", "+bitexact", f"file:{part}"),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as made:
            assert made.stdin is not None and made.stderr is not None
            # One that ends early says why.
            with suppress(BrokenPipeError):
                for number in range(pictures):
                    made.stdin.write(picture(script, number, fps, scale).tobytes())
                made.stdin.close()
            said = made.stderr.read().decode(errors="replace").strip()
        if made.returncode:
            part.unlink(missing_ok=True)
            raise ConductorError(f"cannot draw {target.name}: {said or 'ffmpeg failed'}")
    part.replace(target)
    return target


# ── the picture ───────────────────────────────────────────────────────────────────────────────────────────


def picture(script: Script, number: int, fps: float, scale: int = 1) -> Picture:
    import numpy as np

    at_s = number / fps
    out = field().copy()
    ball = place_at(script.ball, at_s)
    for n, (x, y) in enumerate(FORMATION):
        for colour, side in (("red", 0.0), ("blue", LENGTH_M)):
            sway = (math.sin(at_s * 0.9 + n * 1.7 + side), math.cos(at_s * 0.7 + n * 2.3 + side))
            place = (abs(side - x) + 1.5 * sway[0] + (ball[0] - LENGTH_M / 2) * 0.15, y + 1.5 * sway[1])
            disc(out, place, 5.5, COLOURS[colour])
    for goal, colour in (("left", "yellow"), ("right", "magenta")):
        disc(out, place_at(script.keepers[goal], at_s), 5.5, COLOURS[colour])
    if not script.is_hidden(at_s):
        disc(out, ball, 3.5, BALL)
    for bit in range(BITS):
        shade = 120 if number >> bit & 1 else 8
        out[BITS_Y : BITS_Y + BIT, BITS_X + bit * 24 : BITS_X + bit * 24 + 24] = shade
    return np.repeat(np.repeat(out, scale, 0), scale, 1) if scale > 1 else out


def number_of(grey: Picture) -> int:
    """The number that a picture carries: [HEIGHT, WIDTH] of brightness."""
    row = grey[BITS_Y + 3 : BITS_Y + BIT - 3, BITS_X : BITS_X + BITS * 24].reshape(-1, BITS, 24)
    return sum(1 << bit for bit in range(BITS) if row[:, bit, 6:18].mean() > 64)


_field: list[Picture] = []


def field() -> Picture:
    """Grass and lines, drawn once."""
    import numpy as np

    if _field:
        return _field[0]
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    out[:] = GRASS
    left, top, right, bottom = PITCH_PX
    for n in range(0, 12, 2):
        out[top:bottom, left + 45 * n : left + 45 * n + 45] = STRIPE
    out[BITS_Y:] = (8, 8, 8)
    middle, half = (left + right) // 2, round(MOUTH_M / WIDTH_M * (bottom - top) / 2)
    for y in (top, bottom - 2):
        out[y : y + 2, left:right] = LINE
    for x in (left, middle - 1, right - 2):
        out[top:bottom, x : x + 2] = LINE
    centre = (top + bottom) // 2
    for x in (left - 14, right):
        out[centre - half : centre + half, x : x + 14] = (70, 84, 76)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    far = np.hypot(rows - centre, columns - middle)
    out[(far > 46) & (far < 48)] = LINE
    _field.append(out)
    return out


def disc(out: Picture, place: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    """Its edge is a mix of both, so that its middle is known to a part of a pixel."""
    import numpy as np

    left, top, right, bottom = PITCH_PX
    x = left + place[0] / LENGTH_M * (right - left) - 0.5
    y = top + place[1] / WIDTH_M * (bottom - top) - 0.5
    x0, y0, reach = math.floor(x - radius), math.floor(y - radius), math.ceil(2 * radius) + 2
    rows, columns = np.arange(max(0, y0), y0 + reach), np.arange(max(0, x0), x0 + reach)
    share = np.clip(radius + 0.5 - np.hypot(rows[:, None] - y, columns[None, :] - x), 0, 1)[..., None]
    part = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = share[: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - share) + np.array(colour) * share


# ── the sound ─────────────────────────────────────────────────────────────────────────────────────────────


def sounded(script: Script, target: Path) -> Path:
    """A murmur all the time, cheers, and whistles with their trill; one channel."""
    import numpy as np

    count = round(script.now_s * RATE)
    noise = np.random.default_rng(7).standard_normal(count).astype(np.float32)
    # A crowd has few high tones: the mean of some neighbours.
    murmur = np.convolve(noise, np.full(12, 1 / 12, np.float32), "same")
    level = np.full(count, 0.06, np.float32)
    for begins, seconds, loud in script.cheers:
        _swell(level, begins, seconds, 0.9 * loud)
    out = murmur * level
    for begins, seconds in script.whistles:
        first = max(0, round(begins * RATE))
        t = np.arange(min(round(seconds * RATE), count - first)) / RATE
        phase = 2 * np.pi * 2900 * t + 2.5 * np.sin(2 * np.pi * 32 * t)
        ramp = np.minimum(1, np.minimum(t, seconds - t) / 0.02)
        out[first : first + len(t)] += (0.25 * ramp * np.sin(phase)).astype(np.float32)
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(out, -1, 1) * 32_000).astype("<i2").tobytes())
    return target


def _swell(level: NDArray[np.float32], begins: float, seconds: float, loud: float) -> None:
    """Up within 0.3 s, and down slowly."""
    import numpy as np

    first = round(begins * RATE)
    t = np.arange(len(level) - first) / RATE
    level[first:] += (loud * np.minimum(1, t / 0.3) * np.exp(-np.maximum(0, t - seconds) / 0.6)).astype(
        np.float32
    )
