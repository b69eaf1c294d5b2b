"""What a person would see and hear at once: nothing in the picture, a picture that hangs, no sound."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from conductor.base.errors import BadInput
from workers.media import probing

if TYPE_CHECKING:
    import numpy as np

#: Pictures are looked at in this size, in grey.
WIDTH, HEIGHT = 160, 90
#: A picture whose grey differs by less all over holds nothing.
FLAT = 3.0
#: A point has changed when its grey has by more; a picture hangs when fewer have, over so long.
STEP, MOVED, OVER_S = 4, 0.001, 0.5
#: Decibels below full scale: less is silence.
SILENCE_DB = -60.0
#: Of its length: from the one on somebody should look, from the other on it is of no use.
BLANK, FROZEN = (0.1, 0.5), (0.5, 0.8)


class SeenPart(NamedTuple):
    """Of one part of a film. Seconds; `loudest_db`: None without a track."""

    frames: int
    seconds: float
    blank_s: float
    frozen_s: float
    loudest_db: float | None

    def faults(self, *, is_heard: bool) -> tuple[list[str], list[str]]:
        """What is of no use, and what somebody should look at, in words."""
        bad, unsure = list[str](), list[str]()
        for words, found_s, (low, high) in (
            ("shows nothing", self.blank_s, BLANK),
            ("does not move", self.frozen_s, FROZEN),
        ):
            share = found_s / self.seconds if self.seconds else 1.0
            if share >= low:
                (bad if share >= high else unsure).append(
                    f"it {words} for {found_s:.1f} of {self.seconds:.1f} s"
                )
        if is_heard and (self.loudest_db is None or self.loudest_db < SILENCE_DB):
            bad.append("it is silent, and has a sound in the script")
        return bad, unsure


def look(path: Path, name: str, lengths: Sequence[int] | None = None) -> list[SeenPart]:
    """Of each part of `lengths` pictures, of the whole where none are named. Raises `BadInput`."""
    import av.error

    facts, _ = probing.header(path, name)
    try:
        seen = list(_pictures(path, name, facts.film, facts.fps))
        heard = list(_loudness(path, name, facts.sound))
    except (av.error.FFmpegError, ValueError, OSError) as e:
        raise BadInput(f"{name} cannot be decoded: {e}") from None
    fps, found, first = facts.fps or 25.0, list[SeenPart](), 0
    for length in lengths or [len(seen)]:
        part = seen[first : first + length]
        from_s, until_s = first / fps, (first + length) / fps
        levels = [level for at, level in heard if from_s <= at < until_s]
        found.append(
            SeenPart(
                frames=len(part),
                seconds=round(len(part) / fps, 3),
                blank_s=round(sum(is_blank for is_blank, _ in part) / fps, 3),
                frozen_s=round(sum(hangs for _, hangs in part) / fps, 3),
                loudest_db=round(max(levels), 1) if levels else None,
            )
        )
        first += length
    return found


def _pictures(path: Path, name: str, stream: int, fps: float) -> Iterator[tuple[bool, bool]]:
    """Of each: does it show nothing, and is it as half a second before. The first ones of a part that differ
    from its last are none that hang."""
    import numpy as np

    before: deque[np.ndarray[Any, Any]] = deque(maxlen=max(1, round(OVER_S * (fps or 25.0))))
    with probing.opened(path, name) as container:
        chosen: Any = container.streams[stream]
        chosen.thread_type = "AUTO"
        for frame in container.decode(chosen):
            grey = frame.reformat(width=WIDTH, height=HEIGHT, format="gray").to_ndarray().astype(np.int16)
            is_full = len(before) == before.maxlen
            moved = np.mean(np.abs(grey - before[0]) > STEP) if is_full else 1.0
            before.append(grey)
            yield bool(grey.std() < FLAT), bool(moved < MOVED)


def _loudness(path: Path, name: str, stream: int | None) -> Iterator[tuple[float, float]]:
    """(when, decibels) of each block of its sound."""
    if stream is None:
        return
    import av
    import numpy as np

    with probing.opened(path, name) as container:
        form: Any = av.AudioResampler(format="flt", layout="mono")
        chosen: Any = container.streams[stream]
        for frame in container.decode(chosen):
            at = float(frame.time or 0.0)
            for block in form.resample(frame):
                power = float(np.mean(np.square(block.to_ndarray())))
                yield at, 10 * math.log10(power) if power > 1e-12 else -120.0
