"""media.transcode: a whole video to h264, h265, vp9 or av1, on NVENC where it works, and the result says
on what.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, BadOutput
from conductor.model.spec import Needs
from conductor.verify.media_count import SLACK_S
from workers.media.codecs import Codec, Prefer
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.codecs import Encoder
    from workers.media.ffmpeg import Encoded
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=2, ram_mib=1024)


class TranscodeArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    codec: Codec = "h264"
    #: auto: NVENC for a job that holds a device, if one frame encodes; nvenc: nothing else; cpu.
    encoder: Prefer = "auto"
    #: The encoder's own scale (crf or cq, lower is better); default: a good everyday picture.
    quality: Annotated[int, Meta(ge=0, le=63)] | None = None
    #: Instead of a quality: kbit/s of the picture on average, by two passes where the encoder has them.
    bitrate_kbps: Annotated[int, Meta(ge=16, le=1_000_000)] | None = None
    #: Never enlarges.
    max_height: Annotated[int, Meta(ge=32, le=8640)] | None = None
    fps: Annotated[float, Meta(ge=1, le=240)] | None = None


@task("media.transcode", lane="cpu", needs=NEEDS, timeout_s=3600 * 12, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), codec, encoder (auto, nvenc, cpu), quality or bitrate_kbps,
    max_height, fps.

    Writes .mp4, .mov, .mkv or .webm, with every picture of the source at its own time unless `fps` is given.
    Pixel shape and colours are carried, HDR in h265, vp9 and av1. Result: {"encoder", "is_nvenc", "codec",
    "frames", "duration_s", "changed"}; `changed`: what the pictures were not («deinterlaced», «tone-mapped
    from PQ»).
    """
    from workers.media import codecs, ffmpeg, probing

    given = parse(args, TranscodeArgs)
    read = read_of(ctx, given.source, 0)
    path, name, write = ctx.input(read), shown(read), write_of(ctx, *ffmpeg.MUXERS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    if muxer == "webm" and given.codec not in ("vp9", "av1"):
        raise BadInput(f"args.codec: .webm holds vp9 or av1, not {given.codec}; write .mp4 or .mkv")
    facts = probing.film(path, name, is_reading(ctx, f"reading {name}"))
    if facts.sound is None and "audio" in facts.unread:
        raise BadInput(f"{name} cannot be transcoded whole: no decoder here reads its sound")
    encoder, cores = codecs.choose(ctx, given.codec, given.encoder), threads(ctx, NEEDS)
    streams, options = recipe(path, facts, given, encoder, cores)
    note = f"{encoder.name}: {name}"
    *before, last = passes(ctx, given, encoder, cores)
    for number, first in enumerate(before, start=1):
        looked = ffmpeg.unwritten(streams[0], **options, **first)
        ffmpeg.run(
            looked, ctx, seconds=facts.lasts_s, note=f"{note}, pass {number}", name=name, threads=cores,
            part=(0.0, 0.4), cwd=ctx.scratch,
        )  # fmt: skip
    job = ffmpeg.sink(streams, ctx.output(write), muxer, **options, **container(facts, given, muxer), **last)
    made = ffmpeg.run(
        job, ctx, seconds=facts.lasts_s, note=note, name=name, threads=cores,
        part=(0.4 if before else 0.0, 1.0), cwd=ctx.scratch,
    )  # fmt: skip
    if made.decoded < (facts.frames or 0) or made.heard < (facts.sound_packets or 0):
        # An index counts also what stands before the first key picture, and pieces that parsers put together.
        facts = probing.probe(path, name, on_progress=is_reading(ctx, note))
    check_all_there(name, facts, made, given.fps)
    product_s = probing.lasting(ctx.output(write), shown(write), is_reading(ctx, note))
    return {
        "encoder": encoder.name,
        "is_nvenc": encoder.is_nvenc,
        "codec": given.codec,
        "frames": made.frames,
        "duration_s": round(product_s, 3),
        "changed": [*changes(facts, given), *shortened(facts, product_s)],
    }


def passes(ctx: JobContext, given: TranscodeArgs, encoder: Encoder, cores: int) -> list[dict[str, Any]]:
    """The encoder's options for each time that the film is read; the last time writes. Raises `BadInput`."""
    from workers.media import codecs

    if given.bitrate_kbps is None:
        return [codecs.options(encoder, given.quality, cores)]
    if given.quality is not None:
        raise BadInput("args: a quality or a bitrate_kbps, one of them")
    return codecs.at_bitrate(encoder, given.bitrate_kbps, cores, ctx.scratch / "passes")


def check_all_there(name: str, facts: MediaFacts, made: Encoded, fps: float | None) -> None:
    """As many pictures as the file holds were decoded, and as many written (with `fps`, as many as it takes).

    Of pictures woven of fields a packet may hold half of one: there are fewer than packets. Raises
    `BadInput`, or `BadOutput` where pictures were lost on the way."""
    wanted = facts.frames or 0
    least = wanted // 2 if facts.form.is_interlaced else wanted
    if made.decoded < least:
        at_s = (facts.picture_s or 0.0) * made.decoded / max(1, wanted)
        raise BadInput(
            f"{name} does not decode whole: it breaks off at {at_s:.1f} s of {facts.lasts_s:.1f} s, "
            "or has holes "
            f"({made.decoded} of {wanted} pictures could be decoded)"
        )
    if made.heard < (facts.sound_packets or 0):
        raise BadInput(
            f"{name} breaks off: {made.heard} of {facts.sound_packets} pieces of its sound are there"
        )
    if fps is None and made.frames != made.decoded:
        raise BadOutput(f"{name}: {made.decoded} pictures went in and {made.frames} came out")
    if fps is not None and made.frames + 1 + fps < (facts.picture_s or 0.0) * fps:
        raise BadOutput(
            f"{name} has {facts.picture_s:.1f} s of pictures, and only {made.frames} came out at "
            f"{fps:g} a second"
        )


def shortened(facts: MediaFacts, product_s: float) -> list[str]:
    """Some encoders forget how long the last picture was shown: seen where no sound lasts as long."""
    lost_s = facts.lasts_s - product_s
    return (
        [f"ends {lost_s:.1f} s earlier: its last picture is shown for less long"] if lost_s > SLACK_S else []
    )


def recipe(
    path: Path, facts: MediaFacts, given: TranscodeArgs, encoder: Encoder, cores: int
) -> tuple[list[Any], dict[str, Any]]:
    """The streams to encode, and how their times and pixels are written. Sides are made even: 4:2:0 has no
    odd ones.
    """
    from workers.media import colours, common_form, ffmpeg

    source = ffmpeg.source(path, threads=cores)
    video = common_form.progressive(ffmpeg.stream(source, facts.film), facts)
    # Each picture at its own time, in the source's own clock: a mean rate as the clock would lose some of
    # them.
    options: dict[str, Any] = {"fps_mode": "passthrough", "enc_time_base": "demux"}
    if given.fps is not None:
        video, options = video.filter("fps", fps=given.fps, eof_action="pass"), {}
    height = f"min(ih,{given.max_height})" if given.max_height else "ih"
    video = video.filter("scale", f"max(2,trunc(iw*({height})/ih/2)*2)", f"max(2,trunc({height}/2)*2)")
    if is_carried(facts, given):
        video = video.filter("format", encoder.deep_format)
    elif colours.is_deep(facts.form) or colours.is_rgb(facts.form):
        video = common_form.shown(video, facts)
    else:
        if given.max_height:
            # What players guess by the size would be another guess now.
            video = video.filter("setparams", **colours.tags(facts.form, facts.width, facts.height))
        video = video.filter("format", "yuv420p")
    if facts.sound is None:
        return [video], options
    return [
        video,
        ffmpeg.stream(source, facts.sound).filter("aformat", channel_layouts="stereo|mono"),
    ], options


def is_carried(facts: MediaFacts, given: TranscodeArgs) -> bool:
    """Colours beyond BT.709 are written as they are where players expect them: not in h264."""
    from workers.media import colours

    return colours.is_deep(facts.form) and given.codec != "h264"


def container(facts: MediaFacts, given: TranscodeArgs, muxer: str) -> dict[str, Any]:
    options: dict[str, Any] = {"map_metadata": -1}
    if muxer in ("mp4", "mov"):
        options |= {"movflags": "+faststart"}
        if given.codec == "h265":
            options |= {"tag:v": "hvc1"}
    if facts.sound is not None:
        options |= {"c:a": "libopus", "b:a": "128k"} if muxer == "webm" else {"c:a": "aac", "b:a": "160k"}
    return options


def changes(facts: MediaFacts, given: TranscodeArgs) -> list[str]:
    """What somebody may want to know."""
    from workers.media import common_form

    done = [] if is_carried(facts, given) else common_form.changes(facts)
    if is_carried(facts, given) and facts.form.is_interlaced:
        done.append("deinterlaced")
    if facts.form.turned:
        done.append(f"turned by {facts.form.turned} degrees")
    if facts.channels > 2:
        done.append(f"{facts.channels} channels of sound mixed to stereo")
    return done
