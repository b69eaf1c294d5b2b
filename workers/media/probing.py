"""The only file that knows PyAV: what a media file holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from conductor.errors import BadInput
from conductor.facts.media import CONTAINERS, SLACK_S, SLACK_SHARE
from conductor.model.spec import Value

if TYPE_CHECKING:
    from av.container import InputContainer

Check = Literal["header", "packets", "frames"]


class StreamFacts(Value, frozen=True, kw_only=True):
    kind: str
    codec: str


class MediaFacts(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What a video file holds. Seconds, pixels, frames per second; `fps` is 0 where the file does not say."""

    container: str
    duration_s: float
    width: int
    height: int
    fps: float
    video_codec: str
    has_audio: bool
    audio_codec: str | None = None
    bytes: int = 0
    streams: tuple[StreamFacts, ...] = ()
    #: Frames (or packets) of the picture that were counted; None when only the header was read.
    frames: int | None = None


def probe(
    path: Path,
    name: str,
    *,
    check: Check = "packets",
    on_progress: Callable[[float], None] = lambda share: None,
    threads: int = 1,
) -> MediaFacts:
    """The facts of a video. `name` is what the user calls it.

    `header` opens it only; `packets` reads to the end and decodes the first picture; `frames` decodes all of it.
    Raises `BadInput` with the reason: empty, not a video, index missing, breaks off.
    """
    if path.stat().st_size == 0:
        raise BadInput(f"{name} is empty")
    with opened(path, name) as container:
        facts = header(container, path, name)
        if check == "header":
            return facts
        container.streams.video[0].codec_context.thread_count = threads
        end_s, count = walk(container, facts, name, check == "frames", on_progress)
    return measured(facts, name, end_s, count)


def opened(path: Path, name: str) -> InputContainer:
    import av
    import av.error

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as e:
        if is_missing_index(path):
            raise BadInput(f"{name} is cut off: the index (moov) is missing") from None
        raise BadInput(f"{name} is not a video: {unreadable(e)}") from None


def unreadable(error: Exception) -> str:
    import av.error

    if isinstance(error, av.error.InvalidDataError):
        return "nothing in it can be read as one"
    if isinstance(error, av.error.ArgumentError):
        return "it is of a kind that is not opened here (a playlist, a picture, a list of files)"
    return reason(error)


def reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def is_missing_index(path: Path) -> bool:
    """An mp4 or mov whose top-level boxes hold no complete `moov`: the copy or the recording was cut off."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            kind, length = head[4:8], int.from_bytes(head[:4])
            if at == 0 and kind not in (b"ftyp", b"wide", b"mdat", b"moov", b"free", b"skip"):
                return False
            length = int.from_bytes(head[8:16]) if length == 1 else length
            if kind == b"moov":
                return at + length > size
            if length < 8:
                break
            at += length
    return at > 0 or size >= 8


def header(container: InputContainer, path: Path, name: str) -> MediaFacts:
    if not container.streams.video or is_cover(container.streams.video[0]):
        raise BadInput(f"{name} is not a video (no picture stream found)")
    video = container.streams.video[0]
    audio = container.streams.audio[0] if container.streams.audio else None
    if not video.codec_context.width or not video.codec_context.height:
        raise BadInput(f"{name} is not a video: the size of the picture is unknown")
    return MediaFacts(
        container=container.format.name,
        duration_s=round((container.duration or 0) / 1_000_000, 3),
        width=video.codec_context.width,
        height=video.codec_context.height,
        fps=round(float(video.average_rate or 0), 3),
        video_codec=video.codec_context.name,
        has_audio=audio is not None,
        audio_codec=audio.codec_context.name if audio else None,
        bytes=path.stat().st_size,
        streams=tuple(StreamFacts(kind=s.type, codec=codec_of(s)) for s in container.streams),
    )


def is_cover(stream: Any) -> bool:
    """The picture on a song's sleeve is a video stream of one frame."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def codec_of(stream: Any) -> str:
    """The codec's name; data and attachment streams have no codec context."""
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else "none"


def walk(
    container: InputContainer, facts: MediaFacts, name: str, is_decoded: bool, on_progress: Callable[[float], None]
) -> tuple[float, int]:
    """Read to the end: where the last packet ends (seconds from the start) and how many pictures there were."""
    import av
    import av.error

    video, end_s, count, shown = container.streams.video[0], 0.0, 0, 0.0
    start_s = (container.start_time or 0) / 1_000_000
    try:
        for packet in container.demux(video):
            if is_decoded or count == 0:
                frames = len(packet.decode())
                count += frames if is_decoded else 0
            if packet.pts is None:
                continue
            count += 0 if is_decoded else 1
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base) - start_s)
            if facts.duration_s and end_s - shown > facts.duration_s / 50:
                shown = end_s
                on_progress(end_s / facts.duration_s)
    except (av.error.FFmpegError, ValueError, OSError) as e:
        raise BadInput(f"{name} breaks off at {end_s:.1f} s of {facts.duration_s:.1f} s: {reason(e)}") from None
    return end_s, count


def check_whole(name: str, declared_s: float, found_s: float) -> None:
    """Readers end well on a file that breaks off: its length is what tells. Raises `BadInput`."""
    if declared_s and declared_s - found_s > max(SLACK_S, declared_s * SLACK_SHARE):
        raise BadInput(f"{name} is cut off: it breaks off at {found_s:.1f} s of {declared_s:.1f} s")


def measured(facts: MediaFacts, name: str, end_s: float, count: int) -> MediaFacts:
    """The facts held against what was read."""
    if count == 0:
        raise BadInput(f"{name} is not a video (it holds no picture)")
    declared = facts.duration_s
    check_whole(name, declared, end_s)
    return MediaFacts(
        **{f: getattr(facts, f) for f in facts.__struct_fields__ if f not in ("duration_s", "frames")},
        duration_s=declared or round(end_s, 3),
        frames=count,
    )


def form(path: Path, name: str) -> tuple[Any, ...]:
    """What two files must have in common to be joined without encoding: codec, size, rate, and the codec's set-up."""
    with opened(path, name) as container:
        video, sounds = container.streams.video[0], container.streams.audio
        picture = video.codec_context
        sound = (sounds[0].codec_context.name, sounds[0].rate, sounds[0].channels) if sounds else ()
        rate = video.average_rate
        return (picture.name, picture.width, picture.height, rate, picture.pix_fmt, picture.extradata, sound)
