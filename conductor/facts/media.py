"""A media file as what its name says it is: one local file in one container, its pictures and samples counted.

Only the demuxers of its suffix may open it. What a player would make of it (a playlist, a list of files, a stream's
description under the name `.mp4`) is nothing here: it names other files and servers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from conductor.facts.files import opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

#: Suffixes → the demuxers that may open such a file.
_DEMUXERS = {
    "mp4 m4v mov m4a": "mov,mp4,m4a,3gp,3g2,mj2",
    "mkv webm": "matroska,webm",
    "avi": "avi",
    "mts m2ts ts": "mpegts",
    "mpg mpeg": "mpeg,mpegvideo,mpegts",
    "wmv": "asf",
    "flv": "flv",
    "mp3": "mp3",
    "wav": "wav,w64",
    "flac": "flac",
    "ogg opus": "ogg",
    "aac": "aac",
}
DEMUXERS = {suffix: names for suffixes, names in _DEMUXERS.items() for suffix in suffixes.split()}
#: Containers that hold everything in one file. Playlists (hls, dash, concat) name other files and stay out.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,obu,ogg,asf,wtv,mxf,nut,"
    "gxf,dv,rm,gif,wav,mp3,flac,aac"
)
#: A file may end this much before what its header says: codecs pad, muxers round.
SLACK_S = 1.0
SLACK_SHARE = 0.02
#: Nobody waits longer for a file to open; reading it may take so long, and so many times what it lasts.
OPEN_S = 30.0
READ_S, READ_SHARE = 600.0, 20.0
TELL_S = 1.0


class MediaFact(Struct, frozen=True, kw_only=True):
    """Pictures and sound as they are counted; `duration_s` is the longest stream's. Not counted: 0."""

    duration_s: float = 0.0
    video_frames: int = 0
    audio_frames: int = 0
    #: Of one channel.
    samples: int = 0
    #: As stored, and as it is shown: pixels made square, turned as the file says.
    width: int = 0
    height: int = 0
    shown: tuple[int, int] = (0, 0)
    tags: dict[str, str] = {}
    fault: str | None = None


def is_media(path: str) -> bool:
    return path.rpartition(".")[2].lower() in DEMUXERS


def is_stream(path: Path) -> bool:
    """`.ts` and `.mts` are names of programs too: a transport stream begins with its mark. Raises `OSError`."""
    if path.suffix.lower() not in (".ts", ".mts"):
        return True
    with opened(path) as file:
        head = file.read(5)
    return not head or b"\x47" in (head[:1], head[4:5])


def decode(path: Path) -> MediaFact:
    """Decode all of it. Never raises for a bad file: what is wrong with it is the answer."""
    return _look(path, is_decoded=True)


def count(path: Path, on_read: Callable[[], None]) -> MediaFact:
    """Read it to the end, and decode the first picture only: what a whole file holds, at the price of reading it.

    `on_read`: called each second of it."""
    return _look(path, is_decoded=False, on_read=on_read)


def _look(path: Path, is_decoded: bool, on_read: Callable[[], None] = lambda: None) -> MediaFact:
    import av
    import av.error

    suffix = path.suffix[1:].lower()
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS[suffix]}
    try:
        # A Python file, so that no part of the name is read as a protocol or a pattern, and nothing else is opened.
        with opened(path) as file, av.open(file, mode="r", options=options, timeout=OPEN_S) as container:
            return _Reading(container, is_decoded, on_read).fact()
    except av.error.ArgumentError:
        return MediaFact(fault=f"is no .{suffix} file: what is in it is of another kind (a playlist, a list of files)")
    except (av.error.FFmpegError, ValueError) as e:
        return MediaFact(fault=f"does not decode: {getattr(e, 'strerror', None) or e}")
    except OSError as e:
        return MediaFact(fault=f"cannot be read: {e.strerror}")


class _Reading:
    """One pass over a container."""

    def __init__(self, container: InputContainer, is_decoded: bool, on_read: Callable[[], None]) -> None:
        self._container = container
        self._on_read = on_read
        self._told_at = time.monotonic()
        self._is_decoded = is_decoded
        self._frames = {"video": 0, "audio": 0}
        self._samples = 0
        #: Stream → seconds from the first to the last of it; packets read of it.
        self._spans: dict[int, tuple[float, float]] = {}
        self._packets: dict[int, int] = {}
        declared_s = (container.duration or 0) / 1_000_000
        self._declared_s = declared_s
        #: By how many degrees it is shown turned; None before the first picture.
        self._turned: int | None = None
        self._until = time.monotonic() + READ_S + READ_SHARE * declared_s

    def fact(self) -> MediaFact:
        streams = [stream for stream in self._container.streams if stream.type in self._frames]
        if not streams:
            return MediaFact(fault="holds neither picture nor sound")
        if not self._is_decoded:
            for stream in self._container.streams.video:
                stream.codec_context.thread_count = 1
        for packet in self._container.demux(streams):
            if (fault := self._take(packet)) is not None:
                return MediaFact(fault=fault)
        if (fault := self._lacks(streams)) is not None:
            return MediaFact(fault=fault)
        width, height, shown = self._size()
        return MediaFact(
            duration_s=max((end - start for start, end in self._spans.values()), default=0.0),
            video_frames=self._frames["video"],
            audio_frames=self._frames["audio"],
            samples=self._samples,
            width=width,
            height=height,
            shown=shown,
            tags=dict(self._container.metadata),
        )

    def _take(self, packet: Packet[Any]) -> str | None:
        """What is wrong with it, or nothing."""
        if (now := time.monotonic()) > self._until:
            return "takes too long to be read: it was given up"
        if now - self._told_at > TELL_S:
            self._told_at = now
            self._on_read()
        stream = packet.stream.index
        if packet.size:
            self._packets[stream] = self._packets.get(stream, 0) + 1
            if packet.is_corrupt:
                return f"breaks off: what stands at {_seconds(packet):.1f} s is not whole"
        if self._is_decoded:
            return self._decode(packet)
        if packet.stream.type == "video" and self._turned is None:
            self._see(packet.decode())
        if packet.size and not packet.is_discard:
            self._frames[packet.stream.type] += 1
            self._stretch(stream, packet.pts, packet.duration, packet.time_base)
        return None

    def _decode(self, packet: Packet[Any]) -> str | None:
        for frame in cast("list[Any]", packet.decode()):
            if frame.is_corrupt:
                return f"does not decode: a broken frame at {frame.time or 0:.1f} s"
            self._frames[packet.stream.type] += 1
            self._samples += getattr(frame, "samples", 0)
            self._stretch(packet.stream.index, frame.pts, frame.duration, frame.time_base)
            if self._turned is None:
                self._see([frame])
        return None

    def _see(self, frames: list[Any]) -> None:
        for frame in frames:
            self._turned = getattr(frame, "rotation", None)

    def _stretch(self, stream: int, pts: int | None, duration: int | None, base: Any) -> None:
        """Count it, with the time it is shown, into its stream's span."""
        if pts is None or base is None:
            return
        begin, end = float(pts * base), float((pts + (duration or 0)) * base)
        known = self._spans.get(stream)
        self._spans[stream] = (begin, end) if known is None else (min(known[0], begin), max(known[1], end))

    def _lacks(self, streams: list[Any]) -> str | None:
        """Readers end well on a file that breaks off: what its own index and header say is what tells."""
        if not sum(self._frames.values()):
            return "holds no frame"
        for stream in streams:
            there = self._packets.get(stream.index, 0)
            if stream.type == "video" and there < stream.frames:
                return f"breaks off: {there} of {stream.frames} pictures are there"
        end_s = max((end for _, end in self._spans.values()), default=0.0)
        found_s = end_s - (self._container.start_time or 0) / 1_000_000
        if self._declared_s - found_s > max(SLACK_S, self._declared_s * SLACK_SHARE):
            return f"breaks off at {found_s:.1f} s of {self._declared_s:.1f} s"
        return None

    def _size(self) -> tuple[int, int, tuple[int, int]]:
        if not self._container.streams.video:
            return 0, 0, (0, 0)
        stream = self._container.streams.video[0]
        width, height, aspect = stream.codec_context.width, stream.codec_context.height, stream.sample_aspect_ratio
        wide = round(width * float(aspect)) if aspect else width
        return width, height, (height, wide) if (self._turned or 0) % 180 == 90 else (wide, height)


def _seconds(packet: Packet[Any]) -> float:
    return float((packet.pts or 0) * packet.time_base) if packet.time_base else 0.0
