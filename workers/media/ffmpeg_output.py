"""What ffmpeg says while it runs: its progress on stdout, complaints and counts on stderr."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

#: «[out#0/mp4 @ 0x55…] [error] No space left on device»
_LINE = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] *)*\[(?P<level>\w+)\] ?(?P<words>.*)")
#: Of a library that prints by itself: what it is set to.
_CHATTER = re.compile(r"\w+\[info\]")
_COMPLAINTS = frozenset({"panic", "fatal", "error"})
#: «  Input stream #0:0 (video): 100 packets read (314411 bytes); 100 frames decoded; 0 decode errors;»
_READ = re.compile(r" *Input stream #\d+:\d+ \((video|audio)\): (\d+) packets read .*?(\d+) frames decoded")
_MOST_LINES = 40
_SIGNS = frozenset({"frame", "out_time_us", "total_size", "dup_frames", "drop_frames"})


class FfmpegOutput:
    """Its lines, each with its level. Those of no level belong to the one before."""

    def __init__(self) -> None:
        #: Of the inputs: pictures that were made, packets of sound that were read.
        self.decoded = 0
        self.heard = 0
        self._complaints: deque[str] = deque(maxlen=_MOST_LINES)

    @property
    def complaints(self) -> str:
        """The last of them, without where in ffmpeg they come from."""
        return "\n".join(self._complaints)

    def take(self, line: str) -> None:
        match = _LINE.match(line)
        if match is None:
            self._complaints.extend([] if _CHATTER.match(line) else [line])
        elif match["level"] in _COMPLAINTS:
            self._complaints.append(match["words"])
        elif (counted := _READ.match(match["words"])) is not None:
            kind, packets, frames = counted.groups()
            self.decoded += int(frames) if kind == "video" else 0
            self.heard += int(packets) if kind == "audio" else 0


class FfmpegProgress:
    """Reads ffmpeg's `-progress` lines, however the pipe has cut them.

    They come twice a second also from one whose inputs wait for each other: `on_seconds` hears of what has
    moved, so that the watch over stalls sees who stands still."""

    def __init__(self, on_seconds: Callable[[float], None]) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._rest = b""
        self._on_seconds = on_seconds
        #: What moves: how far it is in what is written, and how much that is.
        self._signs: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            key, _, value = line.decode("ascii", "replace").partition("=")
            self._take(key, value.strip())

    def _take(self, key: str, value: str) -> None:
        if key in _SIGNS:
            self._signs[key] = value
        if key == "frame" and value.isdigit():
            self.frames = int(value)
        elif key == "out_time_us" and value.lstrip("-").isdigit():
            self.seconds = max(0.0, int(value) / 1e6)
        elif key == "progress" and self._signs != self._told:
            self._told = dict(self._signs)
            self._on_seconds(self.seconds)
