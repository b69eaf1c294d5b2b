"""When the pictures of a film are shown, and which one a look at it sees: a film need not have one rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadInput
from workers.media.probing import opened, reason

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

#: A header's two rates that differ by less are one.
SAME = 1e-3


def picture_times(path: Path, name: str, facts: MediaFacts) -> list[float]:
    """Seconds from the film's start, in order, of every picture. Where the rate is constant it is worked out,
    else the file is read through, without decoding. Raises `BadInput`."""
    import av.error

    with opened(path, name) as container:
        stream: Any = container.streams[facts.film]
        start_s = (container.start_time or 0) / 1_000_000
        begins_s = float((stream.start_time or 0) * stream.time_base) - start_s
        if (rate := constant_rate(stream, facts, begins_s)) is not None:
            return [begins_s + number / rate for number in range(facts.frames or 0)]
        times: list[float] = []
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    times.append(float(packet.pts * packet.time_base) - start_s)
        except (av.error.FFmpegError, ValueError, OSError) as e:
            raise BadInput(f"{name} breaks off: {reason(e)}") from None
    return sorted(times)


def constant_rate(stream: Any, facts: MediaFacts, begins_s: float) -> float | None:
    """Pictures a second; None where they have no one rate. What a header calls a rate may be the smallest
    step only: as many pictures have to last as long as the film does."""
    mean, least = float(stream.average_rate or 0), float(stream.base_rate or 0)
    if not mean or not facts.frames or facts.picture_s is None or abs(mean - least) > SAME * mean:
        return None
    return mean if abs(begins_s + facts.frames / mean - facts.picture_s) <= 2 / mean else None


def seen_at(times: Sequence[float], fps: float) -> Iterator[float]:
    """For each look, `fps` of them a second from 0 on: when the picture that it sees was first shown. As
    `common_form.timed` chooses it: a picture is seen from the look on that is nearest to it. No end."""
    seen, look = 0, 0
    while True:
        while seen + 1 < len(times) and math.floor(times[seen + 1] * fps + 0.5) <= look:
            seen += 1
        yield times[seen] if times else look / fps
        look += 1
