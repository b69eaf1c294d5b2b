"""Small clips for tests, made with the ffmpeg that comes with the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np

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
    parts = [
        f"{s}{':' if '=' in s else '='}s={size}:r={fps}:d={each_s},setsar=1[v{i}]"
        for i, s in enumerate(sources)
    ]
    joined = "".join(f"[v{i}]" for i in range(len(sources)))
    graph = ";".join([*parts, f"{joined}concat=n={len(sources)}:v=1[v]"])
    return _made(path, ["-filter_complex", graph, "-map", "[v]"], each_s * 4, False, [])


def made(path: Path, *argv: object) -> Path:
    """What ffmpeg makes of these options; a picture is encoded fast where nothing else is said."""
    words = [str(word) for word in argv]
    codec = (
        [] if any(word.startswith("-c") for word in words) else ["-c:v", "libx264", "-preset", "ultrafast"]
    )
    subprocess.run(
        [ffmpeg.binary(), "-nostdin", "-y", "-loglevel", "error", *words, *codec, str(path)], check=True
    )
    return path


def pattern(seconds: float, *, size: str = "320x180", fps: int = 25) -> list[str]:
    """A moving test picture as an input."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds}"]


def tone(seconds: float) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=f=440:d={seconds}"]


def without_decoder(path: Path, whole: Path, fourcc: bytes, track: int = 0) -> Path:
    """The same file with the codec of one track renamed to one that nothing decodes."""
    data = whole.read_bytes()
    at = -1
    for _ in range(track + 1):
        at = data.index(b"stsd", at + 1)
    at = data.index(fourcc, at)
    box = data.index(b"esds" if fourcc == b"mp4a" else b"avcC", at)
    name = b"apac" if fourcc == b"mp4a" else b"aprn"
    path.write_bytes(data[:at] + name + data[at + 4 : box] + b"x" + data[box + 1 :])
    return path


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


def frames(path: Path) -> list[np.ndarray]:
    """Its pictures as they are shown, in RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def nearest(frame: np.ndarray, among: list[np.ndarray]) -> int:
    """Which of them it looks like."""
    return int(np.argmin([np.abs(frame.astype(int) - other).mean() for other in among]))


def times(path: Path) -> list[float]:
    """When each picture is shown, in seconds from the first."""
    with av.open(str(path)) as container:
        shown = [frame.time or 0.0 for frame in container.decode(video=0)]
    return [time - shown[0] for time in shown]


def first_sound_s(path: Path) -> float:
    """When there is something to hear, in seconds from the start of the file."""
    with av.open(str(path)) as container:
        rate, at = container.streams.audio[0].rate, 0
        for frame in container.decode(audio=0):
            level = np.abs(frame.to_ndarray().astype(float)).max(axis=0)
            if level.max() > 0.02 * (32768 if level.max() > 2 else 1):
                return (at + int(np.argmax(level > 0.02 * level.max()))) / rate
            at += frame.samples
    return float("inf")


#: Options of a Matroska file without places, lengths and check sums, into which something may be put.
BARE = ("-live", "1", "-write_crc32", "0")
_CLUSTER = b"\x1f\x43\xb6\x75"
_TRACKS, _TRACK, _VIDEO, _CROP_LEFT = b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\x54\xcc"


def cropped(path: Path, bare: Path, left: int) -> Path:
    """The same Matroska file, with so many pixels of its first track cut off."""
    data = bytearray(bare.read_bytes())
    sizes: list[tuple[int, int]] = []
    at = data.rindex(_TRACKS, 0, data.index(_CLUSTER)) + len(_TRACKS)
    for inner in (_TRACK, _VIDEO, b""):
        width = 9 - data[at].bit_length()
        sizes.append((at, width))
        at += width
        while inner and not data.startswith(inner, at):
            at = _behind(data, at)
        at += len(inner)
    more = _CROP_LEFT + b"\x82" + left.to_bytes(2)
    for place, width in sizes:
        value = int.from_bytes(data[place : place + width]) + len(more)
        data[place : place + width] = value.to_bytes(width)
    path.write_bytes(data[:at] + more + data[at:])
    return path


def _behind(data: bytearray, at: int) -> int:
    """The place behind the element that begins here."""
    at += 9 - data[at].bit_length()
    width = 9 - data[at].bit_length()
    return at + width + (int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1))
