"""Small clips for tests, made with the ffmpeg that comes with the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

from workers.media import ffmpeg


def clip(
    path: Path,
    *,
    seconds: float = 3.0,
    size: str = "320x180",
    fps: int = 25,
    has_audio: bool = True,
    has_index_first: bool = False,
) -> Path:
    """A moving test picture with a tone."""
    video = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds}"]
    return _made(path, video, seconds, has_audio, ["-movflags", "+faststart"] if has_index_first else [])


def scenes(path: Path, *, each_s: float = 1.0, size: str = "320x180", fps: int = 25) -> Path:
    """Four scenes without sound: red, a moving test picture, blue, green. They change every `each_s`."""
    sources = ["color=c=red", "testsrc2", "color=c=blue", "color=c=green"]
    parts = [f"{s}{':' if '=' in s else '='}s={size}:r={fps}:d={each_s},setsar=1[v{i}]" for i, s in enumerate(sources)]
    joined = "".join(f"[v{i}]" for i in range(len(sources)))
    graph = ";".join([*parts, f"{joined}concat=n={len(sources)}:v=1[v]"])
    return _made(path, ["-filter_complex", graph, "-map", "[v]"], each_s * 4, False, [])


def cut_off(path: Path, whole: Path, share: float = 0.4) -> Path:
    """The first part of a file's bytes, as a copy that broke off."""
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def _made(path: Path, video: list[str], seconds: float, has_audio: bool, options: list[str]) -> Path:
    argv = [ffmpeg.binary(), "-nostdin", "-y", "-loglevel", "error", *video]
    if has_audio:
        argv += ["-f", "lavfi", "-i", f"sine=f=440:d={seconds}", "-c:a", "aac", "-shortest"]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", *options]
    subprocess.run([*argv, "-f", "mp4", f"file:{path}"], check=True)
    return path
