"""One picture out of a film, small, by the ffmpeg that comes with the package. In a process of its own, with
a limit: a file that hangs its decoder costs seconds, and no one else.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

#: Larger pictures are not taken: many of them go into one file.
MOST_BYTES = 96 << 10
#: Rooms of ffmpeg's own memory: a picture that says it is a kilometre wide is refused.
_MOST_ALLOC = 512 << 20


def frame_of(file: Path, containers: str, at_s: float, width: int, limit_s: float) -> bytes:
    """A JPEG of that width, `at_s` seconds in, or of the beginning where it is shorter. Empty: there is none,
    or it took too long. `containers`: what the file may be, as ffmpeg names them."""
    for at in (at_s, 0.0):
        allowed = ("-format_whitelist", containers, "-ss", f"{at:g}")
        if picture := _frame(file, allowed, width, limit_s):
            return picture
    return b""


def still_of(file: Path, demuxer: str, width: int, limit_s: float) -> bytes:
    """The same of a still picture. Its demuxer is named: by its ending alone a name may be read as
    a pattern."""
    return _frame(file, ("-f", demuxer), width, limit_s)


def _frame(file: Path, options: tuple[str, ...], width: int, limit_s: float) -> bytes:
    program = _program()
    if not program:
        return b""
    command = [
        *(program, "-nostdin", "-v", "quiet", "-threads", "1", "-max_alloc", str(_MOST_ALLOC)),
        *("-protocol_whitelist", "file", *options),
        *("-i", f"file:{file}", "-map", "0:v:0", "-frames:v", "1"),
        *("-vf", f"scale={width}:-2:flags=bilinear", "-q:v", "6", "-bitexact", "-f", "mjpeg", "pipe:1"),
    ]
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            timeout=limit_s,
            env=environment,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    picture = ended.stdout
    return picture if picture.startswith(b"\xff\xd8") and len(picture) <= MOST_BYTES else b""


@cache
def _program() -> str:
    """Empty: there is none, which `conductor doctor` says."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return ""
