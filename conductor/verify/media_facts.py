"""A media file as what its name says it is: one local file in one container, its pictures and samples
counted.

Only the demuxers of its suffix may open it. What a player would make of it (a playlist, a list of files, a
stream's description under the name `.mp4`) is nothing here: it names other files and servers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from conductor.model.media import MediaFact
from conductor.verify.file_facts import opened
from conductor.verify.media_count import Tally
from conductor.verify.media_streams import choose

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
#: Nobody waits longer for a file to open; reading it may take so long, and so many times what it lasts.
OPEN_S = 30.0
READ_S, READ_SHARE = 600.0, 20.0
TELL_S = 1.0


def is_media(path: str) -> bool:
    return path.rpartition(".")[2].lower() in DEMUXERS


def is_stream(path: Path) -> bool:
    """`.ts` and `.mts` are names of programs too: a transport stream begins with its mark. Raises
    `OSError`.
    """
    if path.suffix.lower() not in (".ts", ".mts"):
        return True
    with opened(path) as file:
        head = file.read(5)
    return not head or b"\x47" in (head[:1], head[4:5])


def decode(path: Path) -> MediaFact:
    """Decode all of it. Never raises for a bad file: what is wrong with it is the answer."""
    return _look(path, is_decoded=True)


def count(path: Path, on_read: Callable[[], None]) -> MediaFact:
    """Read it to the end, and decode the first picture only: what a whole file holds, at the price of reading
    it.

    `on_read`: called each second of it."""
    return _look(path, is_decoded=False, on_read=on_read)


def _look(path: Path, is_decoded: bool, on_read: Callable[[], None] = lambda: None) -> MediaFact:
    import av.error

    suffix = path.suffix[1:].lower()
    try:
        with opened(path) as file, opened(path) as second, _container(file, suffix) as container:
            return _read(container, lambda: _container(second, suffix), is_decoded, on_read)
    except av.error.ArgumentError:
        return MediaFact(
            fault=f"is no .{suffix} file: what is in it is of another kind (a playlist, a list of files)"
        )
    except (av.error.FFmpegError, ValueError) as e:
        return MediaFact(fault=f"does not decode: {getattr(e, 'strerror', None) or e}")
    except OSError as e:
        return MediaFact(fault=f"cannot be read: {e.strerror}")


def _container(file: BinaryIO, suffix: str) -> InputContainer:
    """A Python file, so that no part of the name is read as a protocol or a pattern, and nothing else is
    opened.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS[suffix]}
    return av.open(file, mode="r", options=options, timeout=OPEN_S)


def _read(
    container: InputContainer,
    again: Callable[[], InputContainer],
    is_decoded: bool,
    on_read: Callable[[], None],
) -> MediaFact:
    """One pass over it."""
    if not container.streams.video and not container.streams.audio:
        return MediaFact(fault="holds neither picture nor sound")
    chosen = choose(container, again)
    tally = Tally(
        container, chosen, lambda stream: is_decoded and stream.type in ("video", "audio"), has_look=True
    )
    if not is_decoded and chosen.film is not None:
        container.streams[chosen.film].codec_context.thread_count = 1
    told_at = time.monotonic()
    until = told_at + READ_S + READ_SHARE * tally.declared_s
    for packet in container.demux():
        if (now := time.monotonic()) > until:
            return MediaFact(fault="takes too long to be read: it was given up")
        if now - told_at > TELL_S:
            told_at = now
            on_read()
        if packet.size and packet.is_corrupt:
            return MediaFact(fault=f"breaks off: what stands at {_seconds(packet):.1f} s is not whole")
        if (fault := tally.take(packet)) is not None:
            return MediaFact(fault=fault)
    fault = "holds no frame" if tally.is_empty else tally.lacks()
    return MediaFact(fault=fault) if fault is not None else _fact(container, chosen.film, tally)


def _fact(container: InputContainer, film: int | None, tally: Tally) -> MediaFact:
    width, height, shown = (0, 0, (0, 0)) if film is None else _size(container.streams[film], tally.first)
    return MediaFact(
        duration_s=tally.lasts_s(),
        pictures=tally.pictures,
        samples=tally.samples,
        width=width,
        height=height,
        shown=shown,
        tags=dict(container.metadata),
    )


def _size(stream: Any, first: Any) -> tuple[int, int, tuple[int, int]]:
    """As stored, and as shown."""
    width, height, aspect = (
        stream.codec_context.width,
        stream.codec_context.height,
        stream.sample_aspect_ratio,
    )
    wide = round(width * float(aspect)) if aspect else width
    return width, height, (height, wide) if getattr(first, "rotation", 0) % 180 == 90 else (wide, height)


def _seconds(packet: Packet[Any]) -> float:
    return float((packet.pts or 0) * packet.time_base) if packet.time_base else 0.0
