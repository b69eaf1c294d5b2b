"""The only file that runs ffmpeg: argv built by ffmpeg-python, a bounded child, its complaints translated.

Only local files in known containers are opened: playlists, `concat:`, `subfile` and numbered image names are
not.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from conductor.base.errors import BadInput, ConfigError, Interrupted, JobError, NoSpace
from conductor.verify.media_facts import CONTAINERS
from workers.media.ffmpeg_output import FfmpegOutput, FfmpegProgress
from workers.task_api.context import JobContext
from workers.task_api.out_of_memory import cause_of
from workers.task_api.run_program import ProgramFailed, run_program

#: Suffix of a write → ffmpeg's name of the container.
MUXERS: Mapping[str, str] = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

#: At this level it says what it read and what it decoded; each line with its level.
_TELLING = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+verbose")
_NO_SPACE = ("No space left on device", "Disk quota exceeded")
_BAD_INPUT = (
    "Invalid data found when processing input",
    "moov atom not found",
    "Error opening input",
    "not on whitelist",
    "does not contain any stream",
    "matches no streams",
    "Decoder not found",
)

#: ffmpeg's exit code after SIGTERM or SIGINT, which it catches; and that of EPERM.
_TOLD_TO_END = 255


class Encoded(msgspec.Struct, frozen=True, kw_only=True):
    """What ffmpeg says it wrote; of its inputs, how many pictures it decoded and how many packets of sound
    it read.
    """

    frames: int
    seconds: float
    decoded: int
    heard: int


@functools.cache
def binary() -> str:
    """The bundled ffmpeg, else the one on PATH ($IMAGEIO_FFMPEG_EXE names another)."""
    if (chosen := os.environ.get("IMAGEIO_FFMPEG_EXE") or _bundled()) is not None:
        return chosen
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise ConfigError(
            "there is no ffmpeg: install the package imageio-ffmpeg, or ffmpeg on the PATH"
        ) from None


def _bundled() -> str | None:
    """The library's own way starts what it finds, in each process that asks: as dear as a short job."""
    package = importlib.util.find_spec("imageio_ffmpeg")
    folders = () if package is None else package.submodule_search_locations or ()
    found = [file for folder in folders for file in Path(folder, "binaries").glob("ffmpeg-*")]
    return str(found[0]) if len(found) == 1 and os.access(found[0], os.X_OK) else None


def source(path: Path, *, containers: str = CONTAINERS, **options: Any) -> Any:
    """An input that can only ever be this local file. `options` stand before its `-i`."""
    import ffmpeg

    return ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=containers, **options)


def begun_at(path: Path, start_s: float, **options: Any) -> Any:
    """The same, read from a place on; what is read there and is shown before it has negative times."""
    return source(path, **({"ss": f"{start_s:.6f}", "noaccurate_seek": None} if start_s else {}), **options)


def stream(source: Any, index: int) -> Any:
    """One stream of an input by its index in the file: «the first of its kind» may be a cover."""
    return source[str(index)]


def sink(streams: list[Any], path: Path, muxer: str, **options: Any) -> Any:
    """The file to write; the container is named, never guessed from the file's name."""
    import ffmpeg

    return ffmpeg.output(*streams, f"file:{path}", f=muxer, **options)


def unwritten(stream: Any, **options: Any) -> Any:
    """Encoded or measured, and thrown away."""
    import ffmpeg

    return ffmpeg.output(stream, "-", f="null", **options)


def raw_frames(stream: Any, pixel_format: str, **options: Any) -> Any:
    """Frames as bytes on stdout, for `run(…, on_stdout=…)`."""
    import ffmpeg

    return ffmpeg.output(stream, "pipe:1", f="rawvideo", pix_fmt=pixel_format, **options)


def raw_samples(stream: Any) -> Any:
    """16-bit samples as bytes on stdout, likewise."""
    import ffmpeg

    return ffmpeg.output(stream, "pipe:1", f="s16le")


def arguments(job: Any) -> list[str]:
    """What stands behind `ffmpeg` on the command line."""
    import ffmpeg

    return [str(part) for part in ffmpeg.get_args(job, overwrite_output=True)]


def run(
    job: Any,
    ctx: JobContext,
    *,
    seconds: float,
    note: str,
    name: str,
    threads: int,
    part: tuple[float, float] = (0.0, 1.0),
    on_stdout: Callable[[bytes], None] | None = None,
    cwd: Path | None = None,
) -> Encoded:
    """Run to the end, reporting progress as a share of `seconds` of output, between the two numbers of
    `part`.

    One that decodes for minutes before the first picture it needs (a late cut of a film without key pictures)
    writes nothing meanwhile: that it reads is its sign of life.

    `name` is the source as the user knows it. Raises `NoSpace`, `BadInput` (the source cannot be read) or
    `JobError`.
    """
    progress = FfmpegProgress(lambda s: ctx.progress(between(part, s / seconds if seconds else 0.0), note))
    argv = [binary(), *_TELLING, "-filter_complex_threads", str(threads)]
    if on_stdout is None:
        argv += ["-progress", "pipe:1"]
    said = FfmpegOutput()
    done = run_program(
        [*argv, *arguments(job)],
        ctx,
        cwd=cwd,
        on_stdout=on_stdout or progress.feed,
        on_line=said.take,
        on_read=ctx.alive,
    )
    if done.returncode != 0:
        raise complaint(said.complaints, done.returncode, name)
    return Encoded(frames=progress.frames, seconds=progress.seconds, decoded=said.decoded, heard=said.heard)


def between(part: tuple[float, float], share: float) -> float:
    low, high = part
    return low + (high - low) * min(1.0, max(0.0, share))


def complaint(stderr: str, returncode: int, name: str) -> JobError:
    """ffmpeg's last words as the error a user can act on."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else f"exit code {returncode}"
    if any(words in stderr for words in _NO_SPACE):
        return NoSpace(f"the disk filled up while ffmpeg was writing ({last})")
    if returncode == _TOLD_TO_END and "Operation not permitted" not in stderr:
        return Interrupted("ffmpeg was told to end, from outside")
    is_memory = cause_of(stderr, has_device=True) is not None
    if (
        not is_memory
        and "Error opening output" not in stderr
        and any(words in stderr for words in _BAD_INPUT)
    ):
        return BadInput(f"{name} cannot be decoded: {last}")
    return ProgramFailed(f"ffmpeg failed on {name}: {last}", stderr)
