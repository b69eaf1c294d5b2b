"""media.transcode: a whole video to h264, h265, vp9 or av1, on NVENC where it works, and the result says on what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.errors import BadInput
from conductor.model.spec import Needs
from workers.context import JobContext
from workers.media.codecs import Codec, Prefer
from workers.registry import task
from workers.toolkit import Args, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=2, ram_mib=1024)


class TranscodeArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    codec: Codec = "h264"
    #: auto: NVENC for a job that holds a device, if one frame encodes; nvenc: nothing else; cpu.
    encoder: Prefer = "auto"
    #: The encoder's own scale (crf or cq, lower is better); default: a good everyday picture.
    quality: Annotated[int, Meta(ge=0, le=63)] | None = None
    #: Never enlarges.
    max_height: Annotated[int, Meta(ge=32, le=8640)] | None = None
    fps: Annotated[float, Meta(ge=1, le=240)] | None = None


@task("media.transcode", lane="cpu", needs=NEEDS, timeout_s=3600 * 12, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), codec, encoder (auto, nvenc, cpu), quality, max_height, fps.

    Writes .mp4, .mov, .mkv or .webm. Result: {"encoder", "is_nvenc", "codec", "frames", "duration_s"}.
    """
    from workers.media import codecs, ffmpeg, probing

    given = parse(args, TranscodeArgs)
    read = read_of(ctx, given.source, 0)
    path, name, write = ctx.input(read), shown(read), write_of(ctx, *ffmpeg.MUXERS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    if muxer == "webm" and given.codec not in ("vp9", "av1"):
        raise BadInput(f"args.codec: .webm holds vp9 or av1, not {given.codec}; write .mp4 or .mkv")
    facts = probing.probe(path, name, check="header")
    encoder = codecs.choose(ctx, given.codec, given.encoder)
    streams, options = recipe(path, facts, given, muxer, threads(ctx, NEEDS))
    options |= codecs.options(encoder, given.quality, threads(ctx, NEEDS))
    job = ffmpeg.sink(streams, ctx.output(write), muxer, **options)
    made = ffmpeg.run(
        job, ctx, seconds=facts.duration_s, note=f"{encoder.name}: {name}", name=name, threads=threads(ctx, NEEDS)
    )
    probing.check_whole(name, facts.duration_s, made.seconds)
    return {
        "encoder": encoder.name,
        "is_nvenc": encoder.is_nvenc,
        "codec": given.codec,
        "frames": made.frames,
        "duration_s": round(made.seconds, 3),
    }


def recipe(
    path: Path, facts: MediaFacts, given: TranscodeArgs, muxer: str, cores: int
) -> tuple[list[Any], dict[str, Any]]:
    """The streams to encode and the options of the file. Sides are made even: 4:2:0 has no odd ones."""
    from workers.media import ffmpeg

    source = ffmpeg.source(path, threads=cores)
    video = source.video if given.fps is None else source.video.filter("fps", fps=given.fps)
    height = f"min(ih,{given.max_height})" if given.max_height else "ih"
    video = video.filter("scale", f"trunc(iw*({height})/ih/2)*2", f"trunc({height}/2)*2").filter("format", "yuv420p")
    options: dict[str, Any] = {"map_metadata": -1}
    if muxer in ("mp4", "mov"):
        options |= {"movflags": "+faststart"}
        if given.codec == "h265":
            options |= {"tag:v": "hvc1"}
    if not facts.has_audio:
        return [video], options
    audio = {"c:a": "libopus", "b:a": "128k"} if muxer == "webm" else {"c:a": "aac", "b:a": "160k"}
    return [video, source.audio.filter("aformat", channel_layouts="stereo|mono")], {**options, **audio}
