"""Where to begin to read, so that the picture shown at an instant can be decoded: at a key picture before it.

ffmpeg's own seeking trusts an index. A transport stream has none, others lie: it begins behind the key
picture, and what is cut then is the next one that decodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.media.probing import MediaFacts, opened

#: Seconds before the instant that are tried, one after the other, until there is a key picture between; then
#: the start.
BACK_S = (0.0, 2.0, 8.0, 30.0)
#: AVFMT_NOTIMESTAMPS: a bare stream, in which a place is a guess by the number of bytes.
_WITHOUT_TIMES = 0x80
#: Decoders hold back some pictures, to put them into order.
_DELAY_S = 1.0
#: Containers round times to a millisecond.
_NEAR_S = 0.001


def start_before(path: Path, name: str, facts: MediaFacts, at_s: float) -> float:
    """Seconds from the file's start, at most `at_s`, from which ffmpeg has to read. 0: from its first
    byte.
    """
    import av.error

    with opened(path, name) as container:
        if container.format.flags & _WITHOUT_TIMES:
            return 0.0
        stream: Any = container.streams[facts.film]
        stream.codec_context.thread_count = 1
        start_s = (container.start_time or 0) / 1_000_000
        for back_s in BACK_S:
            from_s = at_s - back_s
            if from_s <= 0:
                return 0.0
            try:
                container.seek(int((start_s + from_s) * 1_000_000), backward=True)
                if _shows_before(container, stream, start_s + at_s + _NEAR_S):
                    return from_s
            except (av.error.FFmpegError, ValueError, OSError):
                return 0.0
    return 0.0


def _shows_before(container: Any, stream: Any, until_s: float) -> bool:
    """Whether the first picture that can be decoded from here on is shown by then.

    A key picture alone proves nothing: where pictures are renewed bit by bit, it only begins to renew them.
    """
    import av.error

    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            return frame.time is not None and frame.time <= until_s
        if packet.dts is not None and float(packet.dts * packet.time_base) > until_s + _DELAY_S:
            return False
    return False
