"""A command beside another: both timed by the clock and by the processor, in turns, and told as ratios."""

from __future__ import annotations

import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class CommandTime(NamedTuple):
    wall_s: float
    cpu_s: float


def timed(command: Sequence[str], folder: Path, given: bytes = b"") -> CommandTime:
    """`given`: on its stdin. Ends this process with what the command said where that fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, check=False)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\n{done.stdout.decode()}{done.stderr.decode()}")
    return CommandTime(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def row(
    way: str, runs: Sequence[CommandTime], control: Sequence[CommandTime], of: str
) -> dict[str, str | float]:
    """Medians; the ratios `of` the control are those of the runs that stand beside each other."""
    ratios = sorted(mine.wall_s / other.wall_s for mine, other in zip(runs, control, strict=True))
    return {
        "way": way,
        "wall_s": round(statistics.median(run.wall_s for run in runs), 2),
        "cpu_s": round(statistics.median(run.cpu_s for run in runs), 2),
        f"of_{of}": round(statistics.median(ratios), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
    }
