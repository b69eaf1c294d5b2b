"""What is installed here: Python, ffmpeg, onnxruntime, and whether the system ends what a body leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from conductor.views.doctor.finding import DoctorFinding, bad, less, ok

FFMPEG_LIMIT_S = 20.0


def python() -> Iterator[DoctorFinding]:
    words = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    if sys.version_info < (3, 15):
        yield ok("python", words)
    else:
        yield less("python", words, "tested on 3.11 to 3.14")
    if not sys.platform.startswith("linux"):
        yield less(
            "system", f"{sys.platform}: children are not tied to their parent's death", "Linux does it all"
        )


def ffmpeg() -> Iterator[DoctorFinding]:
    advice = "pip install imageio-ffmpeg, or put an ffmpeg on PATH"
    try:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
        words = subprocess.run(
            [binary, "-version"], capture_output=True, text=True, timeout=FFMPEG_LIMIT_S, check=True
        ).stdout
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as e:
        yield bad("ffmpeg", f"does not run: {e}", advice)
    else:
        yield ok("ffmpeg", f"{' '.join(words.split()[:3])} at {binary}")


def onnx() -> Iterator[DoctorFinding]:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as e:
        yield bad("onnxruntime", f"not installed ({e})", "pip install 'conductor-jobs[cpu]' (or [gpu])")
        return
    providers: list[str] = onnxruntime.get_available_providers()
    yield ok(
        "onnxruntime",
        f"{onnxruntime.__version__} with {', '.join(p.removesuffix('ExecutionProvider') for p in providers)}",
    )


def strays() -> Iterator[DoctorFinding]:
    """How what a body leaves running is found when its worker was killed with it."""
    from conductor.adapters.host import cgroup

    if not sys.platform.startswith("linux"):
        return  # said already
    if not (why := cgroup.why_none()):
        yield ok(
            "strays", "each worker's child has a cgroup of its own: all that a body starts is ended with it"
        )
        return
    words = "what outlives a killed worker is found by its session, its parents and a mark in its environment"
    advice = "where systemd runs: `systemd-run --user --scope -p Delegate=yes conductor up`"
    yield less("strays", f"{why}: {words}", advice)
