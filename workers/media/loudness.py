"""How loud a sound is by EBU R 128, and how ffmpeg's loudnorm is told to bring it to a number.

Two passes: the first measures the whole, the second turns it up or down by one number, so that nothing pumps.
Where its peaks leave no room for that, loudnorm goes over to a moving number.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from conductor.base.errors import JobError
from workers.media import ffmpeg
from workers.media.ffmpeg_output import FfmpegProgress
from workers.task_api.context import JobContext
from workers.task_api.run_program import ProgramFailed, run_program

#: dBTP: what is left for a decoder's overshoot (EBU R 128 s2, for streaming).
PEAK = -1.5
#: LU: loudnorm goes over to a moving number where the film has more range than that.
RANGE = 20
#: LUFS: the gate of R 128. What is not louder is silence.
SILENCE = -70.0
#: LUFS: loudnorm is told no more. LU: what is as good as hit, and how often it is told to go further.
LOUDEST, NEAR, MOST_TRIES = -5.0, 0.5, 2
_SAID = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")
_INTEGRATED = re.compile(r"I: +(-?[0-9.]+|-inf) LUFS")


class Measured(NamedTuple):
    """What loudnorm found: LUFS, dBTP, LU and LUFS as it printed them; what it would make of it."""

    loudness: str
    peak: str
    range: str
    threshold: str
    offset: str
    output: str

    def fits(self, aim: float) -> bool:
        """One number for the whole does, without peaks that go too high."""
        lifted = aim - float(self.loudness)
        return float(self.peak) + lifted <= PEAK and float(self.range) <= RANGE


def measure(
    ctx: JobContext, sound: Any, aim: float, seconds: float, known: Measured | None = None
) -> Measured | None:
    """As it is; with what is `known`: as the second pass makes it. None: there is nothing but silence."""
    tried = _normalised(sound, aim, known, print_format="json")
    found = _SAID.search("\n".join(_listened(ctx, tried, seconds, (0.0, 0.3))))
    if found is None:
        raise JobError("ffmpeg said nothing of the loudness")
    said = json.loads(found[0])
    if _number(said["input_i"]) <= SILENCE:
        return None
    return Measured(
        loudness=said["input_i"],
        peak=said["input_tp"],
        range=said["input_lra"],
        threshold=said["input_thresh"],
        offset=said["target_offset"],
        output=said["output_i"],
    )


def brought(ctx: JobContext, sound: Any, aim: float, measured: Measured, seconds: float) -> Any:
    """The second pass. A moving number misses its aim where peaks are far above the rest: it is told to go
    by so much further."""
    asked = aim
    for _ in range(0 if measured.fits(aim) else MOST_TRIES):
        tried = measure(ctx, sound, asked, seconds, measured)
        missed = 0.0 if tried is None else aim - _number(tried.output)
        if abs(missed) <= NEAR or asked + missed > LOUDEST:
            break
        asked += missed
    return _normalised(sound, asked, measured)


def _normalised(sound: Any, aim: float, known: Measured | None, **more: str) -> Any:
    told: dict[str, Any] = {"I": round(aim, 2), "TP": PEAK, "LRA": RANGE, **more}
    if known is not None:
        told |= {
            "measured_I": known.loudness,
            "measured_TP": known.peak,
            "measured_LRA": known.range,
            "measured_thresh": known.threshold,
            "offset": known.offset,
            "linear": "true",
        }
    return sound.filter("loudnorm", **told)


def heard(ctx: JobContext, file: Path, index: int, seconds: float) -> float | None:
    """LUFS of what was written; None: silence."""
    sound = ffmpeg.stream(ffmpeg.source(file), index).filter("ebur128", framelog="quiet")
    found = _INTEGRATED.findall("\n".join(_listened(ctx, sound, seconds, (0.9, 1.0))))
    if not found:
        raise JobError("ffmpeg said nothing of the loudness of what it wrote")
    said = _number(found[-1])
    return None if said <= SILENCE else said


def _listened(ctx: JobContext, sound: Any, seconds: float, part: tuple[float, float]) -> list[str]:
    """What ffmpeg says when it has heard all of it."""

    def advance(at_s: float) -> None:
        ctx.progress(ffmpeg.between(part, at_s / seconds if seconds else 1.0), "measuring the loudness")

    lines: list[str] = []
    argv = [ffmpeg.binary(), "-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:1"]
    done = run_program(
        [*argv, *ffmpeg.arguments(ffmpeg.unwritten(sound))],
        ctx,
        on_stdout=FfmpegProgress(advance).feed,
        on_line=lines.append,
    )
    if done.returncode != 0:
        raise ProgramFailed(
            f"the sound cannot be measured: {done.stderr_tail.strip()[-300:]}", done.stderr_tail
        )
    return lines


def _number(text: str) -> float:
    return float("-inf") if text == "-inf" else float(text)
