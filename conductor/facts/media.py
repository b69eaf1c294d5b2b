"""A media file as a player sees it: every frame of every stream decoded, and how long it really lasts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.video.frame import VideoFrame

EXTENSIONS = frozenset(
    "mp4 m4v mov mkv webm avi mts m2ts ts mpg mpeg wmv flv m4a mp3 wav flac ogg opus aac".split()  # noqa: SIM905
)


class MediaFact(Struct, frozen=True, kw_only=True):
    """Frames decoded per kind of stream, and the longest stream's duration in seconds."""

    duration_s: float = 0.0
    video_frames: int = 0
    audio_frames: int = 0
    fault: str | None = None


def is_media(path: str) -> bool:
    return path.rpartition(".")[2].lower() in EXTENSIONS


def decode(path: Path) -> MediaFact:
    """Decode all of it. Never raises for a bad file: what is wrong with it is the answer."""
    import av
    import av.error

    try:
        # A Python file, so that no part of the name is read as a protocol or a pattern.
        with path.open("rb") as file, av.open(file, mode="r") as container:
            return _counted(container)
    except (av.error.FFmpegError, ValueError) as e:
        return MediaFact(fault=f"does not decode: {getattr(e, 'strerror', None) or e}")
    except OSError as e:
        return MediaFact(fault=f"cannot be read: {e.strerror}")


def _counted(container: InputContainer) -> MediaFact:
    frames = {"video": 0, "audio": 0}
    spans: dict[int, tuple[float, float]] = {}
    streams = [stream for stream in container.streams if stream.type in frames]
    if not streams:
        return MediaFact(fault="holds neither picture nor sound")
    for packet in container.demux(streams):
        for frame in cast("list[VideoFrame | AudioFrame]", packet.decode()):
            if frame.is_corrupt:
                return MediaFact(fault=f"does not decode: a broken frame at {frame.time or 0:.1f} s")
            frames[packet.stream.type] += 1
            _stretch(spans, packet.stream.index, frame)
    if not sum(frames.values()):
        return MediaFact(fault="holds no frame")
    return MediaFact(
        duration_s=max((end - start for start, end in spans.values()), default=0.0),
        video_frames=frames["video"],
        audio_frames=frames["audio"],
    )


def _stretch(spans: dict[int, tuple[float, float]], stream: int, frame: Any) -> None:
    """Count a frame, with the time it is shown, into its stream's span."""
    if frame.time is None:
        return
    begin = float(frame.time)
    end = begin + float(frame.duration * frame.time_base)
    known = spans.get(stream)
    spans[stream] = (begin, end) if known is None else (min(known[0], begin), max(known[1], end))
