"""The only file that opens media by PyAV for tasks: what a file holds, how long it is, and whether it is
whole.

The film and its sound are chosen once (`conductor.verify.media_streams`), and everything works on their
indexes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from conductor.base.errors import BadInput
from conductor.model.spec import Value
from conductor.verify.media_count import Tally, said_end_s
from conductor.verify.media_facts import CONTAINERS, TELL_S
from conductor.verify.media_streams import Chosen, choose, indexed
from workers.media.picture_form import UNKNOWN, PictureForm, form_of

if TYPE_CHECKING:
    from av.container import InputContainer

Check = Literal["header", "packets", "frames"]
#: So many packets are tried for a first picture: a recording may begin between two key pictures.
FIRST_PACKETS = 500


class StreamFacts(Value, frozen=True, kw_only=True):
    kind: str
    codec: str


class MediaFacts(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What a video file holds. Seconds, pixels, frames per second; `fps` is 0 where the file does not say."""

    container: str
    #: Of the file: its longest stream, be it subtitles.
    duration_s: float
    #: When the last picture and the last of the sound end, from the file's start. None: only reading it would
    #: tell.
    picture_s: float | None = None
    sound_s: float | None = None
    #: When the first of them begins; a film's picture may come late, and subtitles before it.
    begins_s: float = 0.0
    #: Stored; `picture` says how it is shown.
    width: int
    height: int
    fps: float
    video_codec: str
    has_audio: bool
    audio_codec: str | None = None
    channels: int = 0
    bytes: int = 0
    #: Indexes of the streams that are meant.
    film: int
    sound: int | None = None
    #: Kinds of streams («audio») of which one has no decoder here.
    unread: tuple[str, ...] = ()
    streams: tuple[StreamFacts, ...] = ()
    #: Pictures of the film, by an index of all or as counted; None when only the header was read.
    frames: int | None = None
    #: Packets of its sound, likewise.
    sound_packets: int | None = None
    #: Of the first picture; None when only the header was read.
    picture: PictureForm | None = None

    @property
    def ends_s(self) -> float:
        """When there is nothing more to see and to hear: the last picture is shown until the sound ends."""
        return max(self.picture_s or 0.0, self.sound_s or 0.0) or self.duration_s

    @property
    def lasts_s(self) -> float:
        return self.ends_s - self.begins_s

    @property
    def form(self) -> PictureForm:
        return self.picture or PictureForm()

    @property
    def shown_size(self) -> tuple[int, int]:
        """Pixels, made square and turned as they have to be."""
        return self.form.shown_size(self.width, self.height)


Advance = Callable[[float], None]


def probe(
    path: Path,
    name: str,
    *,
    check: Check = "packets",
    on_progress: Advance = lambda share: None,
    threads: int = 1,
) -> MediaFacts:
    """The facts of a video. `name` is what the user calls it.

    `header` opens it only; `packets` reads to the end and decodes the first picture; `frames` decodes all of
    it. Raises `BadInput` with the reason: empty, not a video, index missing, breaks off.
    """
    if check == "header":
        return header(path, name)[0]
    seen = _seen(path, name)
    return _counted(path, name, seen, walk(path, name, seen.chosen, check == "frames", on_progress, threads))


class _Seen(NamedTuple):
    """What a file shows that is opened once."""

    facts: MediaFacts
    chosen: Chosen
    #: None where its first packets hold no picture.
    first: Any


def _seen(path: Path, name: str) -> _Seen:
    """By its header, with the form of its first picture. Raises `BadInput`."""
    with _opened_film(path, name) as container:
        facts, chosen = _described(container, path, name)
        first, form = first_picture(container, chosen)
    check_decoder(name, first, form)
    return _Seen(msgspec.structs.replace(facts, picture=form), chosen, first)


def _counted(path: Path, name: str, seen: _Seen, tally: Tally) -> MediaFacts:
    facts, chosen, first = seen
    if not tally.pictures:
        raise BadInput(f"{name} is not a video (it holds no picture)")
    if first is None:
        raise BadInput(f"{name} cannot be decoded: none of its first pictures can")
    # Without times of its own (a bare stream) a film lasts as long as its pictures do.
    picture_s = tally.end_s(chosen.film) or (tally.pictures / facts.fps if facts.fps else 0.0)
    return msgspec.structs.replace(
        facts,
        duration_s=facts.duration_s or round(max(picture_s, tally.lasts_s()), 3),
        picture_s=round(picture_s, 3),
        sound_s=None if chosen.sound is None else round(tally.end_s(chosen.sound), 3),
        begins_s=round(min(tally.begins_s(index) for index in chosen[:2] if index is not None), 3),
        frames=tally.pictures,
        sound_packets=tally.packets(chosen.sound),
    )


def film(path: Path, name: str, on_progress: Advance = lambda share: None) -> MediaFacts:
    """What a task goes by: all of `MediaFacts`, at the least price. A file whose index or header does not
    tell the length of picture and sound, or the number of pictures, is read to the end, as by `probe`.

    Raises `BadInput`, also for colours that are nothing without a decoder of their own."""
    seen = _seen(path, name)
    facts = seen.facts
    if _is_unsaid(facts):
        facts = _counted(path, name, seen, walk(path, name, seen.chosen, False, on_progress, 1))
    if (facts.form.hdr or "").startswith("Dolby"):
        raise BadInput(
            f"{name} is {facts.form.hdr}: without its own decoder its colours are wrong; export it as HDR10"
        )
    return facts


def lasting(path: Path, name: str, on_progress: Advance = lambda share: None) -> float:
    """Seconds from the first picture or sound of a video to the end of the last, at the least price. Raises
    `BadInput`."""
    facts, _ = header(path, name)
    return (probe(path, name, on_progress=on_progress) if _is_unsaid(facts) else facts).lasts_s


def _is_unsaid(facts: MediaFacts) -> bool:
    """Neither index nor header tells how long picture and sound are, or how many pictures there are."""
    return None in (facts.picture_s, facts.frames, facts.sound_packets)


def opened(path: Path, name: str, more: str = "", kind: str = "a video") -> InputContainer:
    """`more`: forms that are read besides. Raises `BadInput` for what is not of that `kind`."""
    import av
    import av.error

    options = {"protocol_whitelist": "file", "format_whitelist": f"{more}{CONTAINERS}"}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as e:
        if is_missing_index(path):
            raise BadInput(f"{name} is cut off: the index (moov) is missing") from None
        raise BadInput(f"{name} is not {kind}: {unreadable(e)}") from None


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


def header(path: Path, name: str) -> tuple[MediaFacts, Chosen]:
    """What opening the file tells, and which streams are meant. Raises `BadInput`."""
    with _opened_film(path, name) as container:
        return _described(container, path, name)


def _opened_film(path: Path, name: str) -> InputContainer:
    if path.stat().st_size == 0:
        raise BadInput(f"{name} is empty")
    return opened(path, name)


def _described(container: InputContainer, path: Path, name: str) -> tuple[MediaFacts, Chosen]:
    chosen = choose(container, lambda: opened(path, name))
    if chosen.film is None:
        is_unread = "video" in chosen.unread
        why = "no decoder here reads its picture" if is_unread else "no picture stream found"
        raise BadInput(f"{name} {'cannot be used' if is_unread else 'is not a video'} ({why})")
    video: Any = container.streams[chosen.film]
    audio: Any = None if chosen.sound is None else container.streams[chosen.sound]
    if not video.codec_context.width or not video.codec_context.height:
        raise BadInput(f"{name} is not a video: the size of the picture is unknown")
    facts = MediaFacts(
        container=container.format.name,
        duration_s=round((container.duration or 0) / 1_000_000, 3),
        picture_s=end_s(container, video),
        sound_s=None if audio is None else end_s(container, audio),
        width=video.codec_context.width,
        height=video.codec_context.height,
        fps=round(float(video.average_rate or 0), 3),
        video_codec=video.codec_context.name,
        has_audio=audio is not None,
        audio_codec=audio.codec_context.name if audio else None,
        channels=audio.codec_context.channels if audio else 0,
        bytes=path.stat().st_size,
        film=chosen.film,
        sound=chosen.sound,
        unread=tuple(sorted(chosen.unread)),
        streams=tuple(StreamFacts(kind=s.type, codec=codec_of(s)) for s in container.streams),
        begins_s=begin_s(container, [stream for stream in (video, audio) if stream is not None]),
        frames=indexed(video),
        sound_packets=0 if audio is None else indexed(audio),
    )
    return facts, chosen


def end_s(container: InputContainer, stream: Any) -> float | None:
    """When a stream ends, by the file's own word. A header's guess is none."""
    said = said_end_s(stream)
    return None if said is None else round(max(0.0, said - (container.start_time or 0) / 1_000_000), 3)


def begin_s(container: InputContainer, streams: list[Any]) -> float:
    begins = [float((stream.start_time or 0) * stream.time_base) for stream in streams]
    return round(max(0.0, min(begins) - (container.start_time or 0) / 1_000_000), 3)


def codec_of(stream: Any) -> str:
    """The codec's name; streams of data, and of a codec without a decoder, have no codec context."""
    return stream.codec_context.name if stream.codec_context is not None else "none"


def first_picture(container: InputContainer, chosen: Chosen) -> tuple[Any, PictureForm]:
    """The film's first picture that can be decoded (None where the first packets hold none), and the form
    it shows.
    """
    import av.error

    stream: Any = container.streams[chosen.film or 0]
    stream.codec_context.thread_count = 1
    first = None
    try:
        for number, packet in enumerate(container.demux(stream)):
            try:
                first = next(iter(packet.decode()), None)
            except av.error.FFmpegError:
                continue
            if first is not None or number > FIRST_PACKETS:
                break
    except (av.error.FFmpegError, ValueError, OSError):
        first = None
    return first, form_of(container, stream, first)


def check_decoder(name: str, first: Any, form: PictureForm) -> None:
    """A decoder may be there and make nothing of this. Raises `BadInput`."""
    if first is None and form.pixel_format == UNKNOWN:
        raise BadInput(f"{name} cannot be used: the decoder here makes no picture of it")


def walk(
    path: Path, name: str, chosen: Chosen, is_decoded: bool, on_progress: Advance, threads: int
) -> Tally:
    """Read to the end. Raises `BadInput` where it breaks off, or does not decode."""
    import av.error

    with opened(path, name) as container:
        film: Any = container.streams[chosen.film or 0]
        film.codec_context.thread_count = threads
        tally = Tally(
            container, chosen, lambda stream: is_decoded and stream.index == chosen.film, has_look=False
        )
        declared_s, told_at = tally.declared_s, time.monotonic()
        try:
            for packet in container.demux():
                if (fault := tally.take(packet)) is not None:
                    raise BadInput(f"{name} {fault}")
                if (now := time.monotonic()) - told_at > TELL_S:
                    told_at = now
                    on_progress(
                        min(1.0, tally.end_s(packet.stream.index) / declared_s) if declared_s else 0.0
                    )
        except (av.error.FFmpegError, ValueError, OSError) as e:
            at = tally.end_s(chosen.film)
            raise BadInput(f"{name} breaks off at {at:.1f} s of {declared_s:.1f} s: {reason(e)}") from None
        if (fault := tally.lacks()) is not None:
            raise BadInput(f"{name} is cut off: it {fault}")
    return tally


def form(path: Path, name: str, facts: MediaFacts) -> tuple[Any, ...]:
    """What two films must have in common to be joined without encoding: codec and its set-up, size, rate, how
    the pictures are shown, the sound, and which streams they are among how many."""
    with opened(path, name) as container:
        video: Any = container.streams[facts.film]
        audio: Any = None if facts.sound is None else container.streams[facts.sound].codec_context
        sound = (audio.name, audio.sample_rate, audio.layout.name) if audio is not None else ()
        picture = (
            facts.video_codec,
            facts.width,
            facts.height,
            video.average_rate,
            video.codec_context.extradata,
        )
        return picture, facts.picture, sound, facts.film, facts.sound, facts.streams
