"""toon.segment: one scene of a script as a piece of film, by the engine that the attempt was admitted for.

What an engine sends is brought into one form, so that pieces of several engines are joined by copying, and is
looked at before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, BadOutput, EndpointUnavailable, JobError, ServerError
from conductor.model.spec import Needs
from workers.engines.templates import Color, Figure
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat

NEEDS = Needs(cpu=1, ram_mib=512)
#: The engine that is always there; the others are `[endpoints.NAME]`.
TEMPLATES = "templates"
#: A film that is this much shorter than its scene is not one of it.
MOST_SHORT = 0.1

#: What holds sound alone, beside films.
SOUNDS = "wav,flac,mp3,ogg,aac,"


class SegmentArgs(Args, frozen=True, kw_only=True):
    frames: Annotated[int, Meta(ge=1)]
    #: Of its sound, at 48 kHz.
    samples: Annotated[int, Meta(ge=1)]
    text: Annotated[str, Meta(max_length=500)] = ""
    #: What an engine is asked for.
    prompt: Annotated[str, Meta(max_length=4000)] = ""
    background: Color = "skyblue"
    #: A picture in its place, one of the reads.
    picture: str | None = None
    characters: Annotated[list[Figure], Meta(max_length=8)] = []
    #: What is heard, one of the reads. None: silence.
    sound: str | None = None
    #: ComfyUI's graph, one of the reads.
    graph: str | None = None
    #: A .ttf or .otf file, one of the reads. None: one of the system's usual ones.
    font: str | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=120)] = 24.0
    crf: Annotated[int, Meta(ge=0, le=51)] = 18


@task("toon.segment", lane="cpu", needs=NEEDS, timeout_s=1800, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: frames, samples, text, prompt, background or picture, characters, sound, graph, font, seed,
    width, height, fps, crf.

    Writes .mkv: h264 with 48 kHz stereo FLAC. Result: {"engine", "preferred_engine", "frames", "duration_s",
    "width", "height", "caption", "blank_s", "frozen_s", "loudest_db"}.
    """
    from workers.engines import kept_request
    from workers.media import picture_faults

    given = parse(args, SegmentArgs)
    engine = ctx.engine or TEMPLATES
    names = tuple(each.name for each in (ctx.spec.needs or NEEDS).engines)
    others = tuple(name for name in names if name != TEMPLATES)
    if others and (paid := kept_request.paid_elsewhere(ctx, others, engine)):
        words = f"{paid} was paid for this scene already: it is fetched there"
        raise EndpointUnavailable(words, "", 0.0, stays_with=paid)
    caption = draw(ctx, given, engine)
    made = ctx.output(write_of(ctx, ".mkv"))
    (seen,) = picture_faults.look(made, f"what {engine} made")
    judge(ctx, engine, *seen.faults(is_heard=given.sound is not None))
    return {
        "engine": engine,
        "preferred_engine": names[0] if names else engine,
        "frames": given.frames,
        "duration_s": round(given.frames / given.fps, 3),
        "width": given.width,
        "height": given.height,
        "caption": caption,
        "blank_s": seen.blank_s,
        "frozen_s": seen.frozen_s,
        "loudest_db": seen.loudest_db,
    }


def judge(ctx: JobContext, engine: str, bad: list[str], unsure: list[str]) -> None:
    """What is of no use is asked for once more; what was paid for, a person looks at before it is thrown
    away."""
    from workers.engines import comfyui, kept_request

    kept = None if engine == TEMPLATES else kept_request.load(ctx, engine)
    if bad and not (kept is not None and kept.is_paid):
        if kept is not None:
            comfyui.again(ctx, engine)
        raise BadOutput(f"what {engine} made is of no use: {'; '.join(bad)}")
    if bad or unsure:
        words = f"made by {engine}: {'; '.join([*bad, *unsure])}"
        ctx.needs_review([{"words": words, "clip": write_of(ctx, ".mkv")}])


def draw(ctx: JobContext, given: SegmentArgs, engine: str) -> bool:
    """The piece in its form. Does it show the scene's text?"""
    from workers.engines import templates
    from workers.media import colours, common_form, ffmpeg, fonts
    from workers.media.common_form import FrameFormat

    frame = FrameFormat(width=given.width, height=given.height, fps=given.fps)
    cores, seconds = threads(ctx, NEEDS), given.samples / common_form.SAMPLE_RATE
    video = picture_of(ctx, given, engine, frame, cores)
    # A host without a font can show the rest.
    is_written = bool(given.text) and (given.font is not None or fonts.usual() is not None)
    if is_written:
        video = templates.written(ctx, video, given.text, given.font, given.height * 0.07, "caption")
    # Said alike whoever drew it: what differs in that is not joined by copying.
    video = video.filter("scale", out_color_matrix="bt709", out_range="tv").filter("setsar", 1)
    video = video.filter("format", "yuv420p").filter("setparams", **colours.BT709, chroma_location="left")
    options = {"frames:v": given.frames, "c:a": "flac", **common_form.h264(frame, given.crf, cores)}
    target = ctx.output(write_of(ctx, ".mkv"))
    job = ffmpeg.sink([video, sound_of(ctx, given, seconds)], target, "matroska", **options)
    made = ffmpeg.run(
        job, ctx, seconds=seconds, note="drawing", name="the scene", threads=cores, part=(0.5, 1.0)
    )
    if made.frames < given.frames:
        raise BadOutput(f"what {engine} made breaks off: {made.frames} of {given.frames} frames")
    return is_written


def picture_of(ctx: JobContext, given: SegmentArgs, engine: str, frame: FrameFormat, cores: int) -> Any:
    from workers.engines import comfyui, templates, video_api

    if engine == TEMPLATES:
        if given.picture is not None:
            read = read_of(ctx, given.picture, 0, "picture")
            return templates.still(ctx.input(read), shown(read), frame, given.frames)
        return templates.scene(ctx, given.background, given.characters, frame, given.frames, given.font)
    came, seconds = ctx.scratch / "came", given.frames / given.fps
    endpoint = ctx.settings.endpoints.get(engine)
    if endpoint is not None and endpoint.kind == "video":
        video_api.render(ctx, engine, given.prompt, seconds, (given.width, given.height), came)
    else:
        comfyui.render(ctx, engine, graph(ctx, given), came)
    return fitted(ctx, came, engine, given, frame, cores)


def graph(ctx: JobContext, given: SegmentArgs) -> dict[str, Any]:
    from workers.engines import comfyui

    if given.graph is None:
        raise BadInput("args.graph: a ComfyUI server is asked by a graph: name its file in the script")
    read = read_of(ctx, given.graph, 0, "graph")
    values: dict[str, str | int | float] = {
        name: getattr(given, name) for name in ("prompt", "seed", "width", "height", "frames", "fps")
    }
    return comfyui.fill(comfyui.graph_of(ctx.input(read).read_bytes(), shown(read)), values)


def fitted(
    ctx: JobContext, came: Path, engine: str, given: SegmentArgs, frame: FrameFormat, cores: int
) -> Any:
    """A picture is made to move; a film is brought to the frame. Raises `ServerError` for what is neither."""
    from workers.engines import templates
    from workers.media import film_window, probing

    if templates.form_of(came) is not None:
        return templates.still(came, f"what {engine} sent", frame, given.frames)
    name, seconds = f"what {engine} sent", given.frames / given.fps
    try:
        facts = probing.film(came, name, is_reading(ctx, "reading what came"))
    except BadInput as e:
        ask_again(ctx, engine)
        raise ServerError(str(e)) from None
    if (facts.picture_s or 0.0) < seconds * (1 - MOST_SHORT):
        ask_again(ctx, engine)
        raise BadOutput(f"{name} is {facts.picture_s or 0.0:.1f} s long, the scene {seconds:.1f} s")
    video, _ = film_window.window(came, name, facts, frame, 0.0, seconds, cores)
    return video


def ask_again(ctx: JobContext, engine: str) -> None:
    """What was paid for is not bought a second time: its job ends with these words, and a person decides."""
    from workers.engines import comfyui, kept_request

    kept = kept_request.load(ctx, engine)
    if kept is not None and not kept.is_paid:
        comfyui.again(ctx, engine, kept)


def sound_of(ctx: JobContext, given: SegmentArgs, seconds: float) -> Any:
    from workers.media import common_form, ffmpeg, probing

    if given.sound is None:
        return common_form.silence(seconds)
    read = read_of(ctx, given.sound, 0, "sound")
    with probing.opened(ctx.input(read), shown(read), SOUNDS, "a sound") as heard:
        if not heard.streams.audio:
            raise BadInput(f"{shown(read)} holds no sound")
    try:
        source = ffmpeg.source(ctx.input(read), containers=f"{SOUNDS}{ffmpeg.CONTAINERS}")
    except JobError as e:
        raise BadInput(f"{shown(read)} cannot be heard: {e}") from None
    return common_form.sound(source.audio, seconds)
