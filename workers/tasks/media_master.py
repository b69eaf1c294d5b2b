"""media.master: the stretches of a film joined: pictures copied, music laid under them, sound brought to a
loudness and encoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, BadOutput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of
from workers.tasks.media_assemble import listed

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=1, ram_mib=512)
#: The subtitles' form in each container, and that of those with styles of their own where it keeps them.
TRACKS: Mapping[str, str] = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
STYLED: Mapping[str, str] = {"matroska": "ass"}
#: QuickTime has a list of languages of its own, with older names in it.
QUICKTIME = {"deu": "ger", "ell": "gre", "isl": "ice", "nld": "dut", "swe": "sve", "zho": "chi"}
AAC, OPUS = {"c:a": "aac", "b:a": "192k"}, {"c:a": "libopus", "b:a": "160k"}
#: Containers of sound that music comes in, beside those of films.
SOUNDS = "mp3,wav,w64,flac,ogg,aac"


class Music(Args, frozen=True, kw_only=True):
    """Under the whole film, from `from_s` of it on, again from its start where it is shorter."""

    source: str
    from_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    level_db: Annotated[float, Meta(ge=-60, le=20)] = -18.0
    fade_s: Annotated[float, Meta(ge=0, le=60)] = 2.0


class MasterArgs(Args, frozen=True, kw_only=True):
    #: In the order to join; default: all reads but subtitles and music.
    stretches: list[str] | None = None
    #: LUFS; None: as it is.
    loudness: Annotated[float, Meta(ge=-40, le=-5)] | None = -14.0
    #: As a track of their own.
    subtitles: str | None = None
    language: Annotated[str, Meta(pattern="^[a-z]{3}$")] = "und"
    music: Music | None = None


@task("media.master", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: stretches (default: all reads, in order), loudness, subtitles, language, music.

    Writes .mp4, .mov, .mkv or .webm. Result: {"frames", "duration_s", "stretches", "loudness", "was"}: LUFS
    of the film as it was written (None: silence, or not asked for), and of the stretches.
    """
    from workers.media import ffmpeg, loudness, probing

    given = parse(args, MasterArgs)
    beside = (given.subtitles, given.music and given.music.source)
    wanted = given.stretches or [read for read in ctx.spec.reads if read not in beside]
    files = [ctx.input(read_of(ctx, read, 0, "stretches")) for read in wanted]
    facts = [
        probing.film(file, shown(read), is_reading(ctx, f"reading {shown(read)}"))
        for file, read in zip(files, wanted, strict=True)
    ]
    check_alike(wanted, files, facts)
    seconds, frames = sum(fact.ends_s for fact in facts), sum(fact.frames or 0 for fact in facts)
    write, cores = write_of(ctx, *ffmpeg.MUXERS), threads(ctx, NEEDS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    picture, sound = listed(ctx, files, facts[0])
    if given.music is not None:
        sound = with_music(ctx, sound, given.music, seconds)
    aim = given.loudness
    measured = None if aim is None else loudness.measure(ctx, sound, aim, seconds)
    if measured is not None and aim is not None:
        sound = loudness.brought(ctx, sound, aim, measured, seconds)
    # At 192 kHz it comes out of loudnorm. Where its number moves it has every sample, and times that leap by
    # a part of a tenth of a second: counted anew it ends with the picture.
    sound = sound.filter("aresample", 48_000).filter("asetpts", "N/SR/TB")
    sound = sound.filter("apad").filter("atrim", end_sample=round(seconds * 48_000))
    options: dict[str, Any] = {"c:v": "copy", "map_metadata": -1, **(OPUS if muxer == "webm" else AAC)}
    if muxer in ("mp4", "mov"):
        options |= {"movflags": "+faststart"}
    streams = [picture, sound]
    if given.subtitles is not None:
        track, form = track_of(ctx, given.subtitles, muxer, seconds)
        streams.append(track)
        language = QUICKTIME.get(given.language, given.language) if muxer == "mov" else given.language
        options |= {"c:s": form, "metadata:s:s:0": f"language={language}"}
    job = ffmpeg.sink(streams, ctx.output(write), muxer, **options)
    made = ffmpeg.run(
        job, ctx, seconds=seconds, note="mastering", name="a stretch", threads=cores, part=(0.3, 0.9)
    )
    if made.frames != frames:
        raise BadOutput(f"the stretches have {frames} pictures, and {made.frames} were written")
    return {
        "frames": frames,
        "duration_s": round(seconds, 3),
        "stretches": len(files),
        # The second stream: picture, sound, subtitles.
        "loudness": loudness.heard(ctx, ctx.output(write), 1, seconds) if measured else None,
        "was": float(measured.loudness) if measured else None,
    }


def check_alike(reads: Sequence[str], files: Sequence[Path], facts: Sequence[MediaFacts]) -> None:
    """Pictures of two encoders cannot stand behind one another in one track. Raises `BadInput`."""
    from workers.media import probing

    forms = [
        probing.form(file, shown(read), fact) for read, file, fact in zip(reads, files, facts, strict=True)
    ]
    for read, form in zip(reads, forms, strict=True):
        if form != forms[0]:
            raise BadInput(
                f"{shown(read)} was not encoded as {shown(reads[0])} was, and they cannot be joined by "
                "copying: make the stretches again, all with one encoder"
            )


def with_music(ctx: JobContext, sound: Any, music: Music, seconds: float) -> Any:
    import ffmpeg as graph

    from workers.media import common_form, ffmpeg

    read = read_of(ctx, music.source, 0, "music")
    # -1: again and again. The film's own length ends it.
    source = ffmpeg.source(ctx.input(read), containers=f"{ffmpeg.CONTAINERS},{SOUNDS}", stream_loop=-1)
    bed = common_form.sound(source.audio, seconds, music.from_s).filter("volume", f"{music.level_db}dB")
    fade_s = min(music.fade_s, seconds / 2)
    if fade_s:
        bed = bed.filter("afade", type="in", duration=fade_s)
        bed = bed.filter("afade", type="out", start_time=seconds - fade_s, duration=fade_s)
    return graph.filter([sound, bed], "amix", inputs=2, normalize=0, duration="first")


def track_of(ctx: JobContext, given: str, muxer: str, seconds: float) -> tuple[Any, str]:
    """The subtitles as a stream, and the form in which this container has them."""
    from workers.media import ffmpeg, subtitles

    read = read_of(ctx, given, 0, "subtitles")
    cues = subtitles.read(ctx.input(read), shown(read))
    subtitles.cut_at(cues, seconds, shown(read))
    styled = STYLED.get(muxer) if subtitles.is_styled(read) else None
    file = ctx.scratch / ("track.srt" if styled is None else "track.ass")
    subtitles.as_track(cues, file)
    return ffmpeg.stream(ffmpeg.source(file, containers="srt,ass"), 0), styled or TRACKS[muxer]
