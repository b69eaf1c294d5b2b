"""media.compose: one stretch of a timeline, picture by picture exact: a scene, or the seam between two, with
what lies over it.

Every picture of a film that is cut together this way is encoded once, straight from its source, in pieces
that are made side by side and joined by copying (`media.master`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, media_facts, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat

NEEDS = Needs(cpu=1, ram_mib=512)
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
#: Hardly told from the source, on each encoder's scale.
FINE = {"h264": 18, "vp9": 24}
MOST_X264 = 51
Frames = Annotated[int, Meta(ge=0, le=100_000_000)]


class Layer(Args, frozen=True, kw_only=True):
    """Of which film, and from where on, the stretch is."""

    source: str
    start_s: Seconds = 0.0


class Overlay(Args, frozen=True, kw_only=True):
    """A picture (`source`) or a text that lies over the film, between two of the stretch's pictures."""

    source: str | None = None
    text: Annotated[str, Meta(max_length=2000)] | None = None
    first: Frames = 0
    #: The first picture without it.
    end: Frames
    #: Of its upper left corner, as shares of the room that is left beside it: 0.5, 0.5 is the middle.
    x: Share = 0.5
    y: Share = 0.9
    opacity: Share = 1.0
    #: Share of the film's height: of a picture, or of a line of text.
    height: Annotated[float, Meta(gt=0, le=1)] = 0.08
    color: Annotated[str, Meta(pattern=r"^(?:[a-zA-Z]{3,20}|#[0-9a-fA-F]{6})$")] = "white"


class Subtitles(Args, frozen=True, kw_only=True):
    """Burnt in. `from_s`: of the whole film, where this stretch begins."""

    source: str
    from_s: Seconds = 0.0


class ComposeArgs(Args, frozen=True, kw_only=True):
    #: One, or the two between which there is a transition as long as the stretch.
    layers: Annotated[list[Layer], Meta(min_length=1, max_length=2)]
    transition: str = "fade"
    frames: Annotated[int, Meta(ge=1, le=100_000_000)]
    #: Of sound at 48 kHz: what the film's pictures take up to its end, less what they take up to its
    #: beginning.
    samples: Annotated[int, Meta(ge=1)]
    overlays: list[Overlay] = []
    subtitles: Subtitles | None = None
    #: For text: a font file of yours.
    font: str | None = None
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=240)] = 30.0
    codec: Literal["h264", "vp9"] = "h264"
    #: All stretches of a film by the same: what two encoders made is not joined by copying.
    encoder: Literal["cpu", "nvenc"] = "cpu"
    #: The encoder's own scale, lower is better; None: what is hardly told from the source.
    crf: Annotated[int, Meta(ge=0, le=63)] | None = None


@task("media.compose", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: layers, transition, frames, samples, overlays, subtitles, font, width, height, fps, codec (h264,
    vp9), encoder (cpu, nvenc), crf.

    Writes .mkv: that codec with 48 kHz stereo FLAC. Result: {"frames", "duration_s", "width", "height",
    "layers"}.
    """
    from workers.media import common_form, ffmpeg
    from workers.media.common_form import FrameFormat

    given = parse(args, ComposeArgs)
    frame = FrameFormat(width=given.width, height=given.height, fps=given.fps)
    cores, names = threads(ctx, NEEDS), [shown(layer.source) for layer in given.layers]
    name = " → ".join(names)
    video, audio = joined(given, [layer_of(ctx, layer, given, frame, cores) for layer in given.layers])
    video = with_subtitles(ctx, video, given)
    for number, overlay in enumerate(given.overlays):
        video = laid_over(ctx, video, overlay, given, number)
    seconds = given.samples / common_form.SAMPLE_RATE
    options = {"frames:v": given.frames, "c:a": "flac", **written_as(ctx, given, frame, cores)}
    write = write_of(ctx, ".mkv")
    job = ffmpeg.sink([video.filter("format", "yuv420p"), audio], ctx.output(write), "matroska", **options)
    made = ffmpeg.run(job, ctx, seconds=seconds, note=f"composing {name}", name=name, threads=cores)
    if made.frames < given.frames:
        raise BadInput(f"{name} breaks off: {made.frames} of {given.frames} frames could be made of it")
    return {
        "frames": given.frames,
        "duration_s": round(given.frames / given.fps, 3),
        "width": given.width,
        "height": given.height,
        "layers": len(given.layers),
    }


def written_as(ctx: JobContext, given: ComposeArgs, frame: FrameFormat, cores: int) -> dict[str, Any]:
    """The encoder's options: the same for each stretch of a film. Raises `BadInput`, `JobError`."""
    from workers.media import codecs, common_form

    quality = FINE[given.codec] if given.crf is None else given.crf
    if given.encoder == "cpu" and given.codec == "h264":
        if quality > MOST_X264:
            raise BadInput(f"args.crf: x264's scale ends at {MOST_X264}, {quality} is beyond it")
        return common_form.h264(frame, quality, cores)
    encoder = codecs.choose(ctx, given.codec, given.encoder)
    return codecs.options(encoder, quality, cores) | common_form.bare(frame)


def layer_of(
    ctx: JobContext, layer: Layer, given: ComposeArgs, frame: FrameFormat, cores: int
) -> tuple[Any, Any]:
    from workers.media import common_form, film_window

    read = read_of(ctx, layer.source, 0, "layers")
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    if facts.ends_s and layer.start_s + given.frames / given.fps > facts.ends_s + 0.5:
        raise BadInput(
            f"args: {name} is {facts.ends_s:.1f} s long, there are no {given.frames / given.fps:g} s at "
            f"{layer.start_s:g} s"
        )
    seconds = given.samples / common_form.SAMPLE_RATE
    video, audio = film_window.window(path, name, facts, frame, layer.start_s, seconds, cores)
    return video.filter("trim", end_frame=given.frames), audio


def joined(given: ComposeArgs, layers: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """One picture and one sound: of the two of a seam, from all of the first to all of the second."""
    import ffmpeg as graph

    from workers.media import common_form

    if len(layers) == 1:
        return layers[0]
    (first_video, first_audio), (second_video, second_audio) = layers
    video, next_video = two_of(first_video, second_video, "split")
    audio, next_audio = two_of(first_audio, second_audio, "asplit")
    seconds = given.samples / common_form.SAMPLE_RATE
    both = graph.filter(
        [video, next_video],
        "xfade",
        transition=given.transition,
        # To the last picture: as long as the stretch, whatever a rate's rounding makes of its end.
        duration=f"{given.frames / given.fps:.6f}",
        offset=0,
    )
    out = audio.filter("afade", type="out", duration=seconds, curve="qsin")
    into = next_audio.filter("afade", type="in", duration=seconds, curve="qsin")
    mixed = graph.filter([out, into], "amix", inputs=2, normalize=0, duration="longest")
    return both, common_form.sound(mixed, seconds)


def two_of(stream: Any, other: Any, splitter: str) -> tuple[Any, Any]:
    """What is made in one way is one stream to the builder of the graph, to be used but once: the silence
    of two films without sound, or one film at one place."""
    if stream != other:
        return stream, other
    split = stream.filter_multi_output(splitter)
    return split[0], split[1]


def with_subtitles(ctx: JobContext, video: Any, given: ComposeArgs) -> Any:
    from workers.media import fonts, subtitles

    if given.subtitles is None:
        return video
    said, font = given.subtitles, fonts.of_text(ctx, given.font)
    read = read_of(ctx, said.source, 0, "subtitles")
    cues = subtitles.read(ctx.input(read), shown(read))
    # A file of our own: the filter would open whatever stands behind a name, and not every name can be told.
    file = ctx.scratch / "subtitles.ass"
    subtitles.to_burn(
        cues,
        file,
        is_styled=subtitles.is_styled(read),
        font=fonts.family(font),
        shape=given.width / given.height,
    )
    shifted = video.filter("setpts", f"PTS+{said.from_s:.6f}/TB")
    burnt = shifted.filter("subtitles", str(file), fontsdir=str(fonts.alone(ctx, font)))
    return burnt.filter("setpts", f"PTS-{said.from_s:.6f}/TB")


def laid_over(ctx: JobContext, video: Any, overlay: Overlay, given: ComposeArgs, number: int) -> Any:
    """Raises `BadInput` for one that is neither a picture nor a text."""
    if (overlay.source is None) == (overlay.text is None):
        raise BadInput("args.overlays: each is a picture (source) or a text, one of them")
    enabled = f"between(n,{overlay.first},{overlay.end - 1})"
    if overlay.text is not None:
        return _text(ctx, video, overlay, given, number, enabled)
    import ffmpeg as graph

    from workers.media import ffmpeg

    read = read_of(ctx, overlay.source, 0, "overlays")
    # A number in a picture's name would be one of a series: these readers take one file.
    source = ffmpeg.source(ctx.input(read), containers="png_pipe,jpeg_pipe,webp_pipe")
    wide = max(2, round(given.height * overlay.height / 2) * 2)
    picture = source.video.filter("scale", -2, wide).filter("format", "rgba")
    picture = picture.filter("colorchannelmixer", aa=overlay.opacity)
    place = {"x": f"(W-w)*{overlay.x}", "y": f"(H-h)*{overlay.y}"}
    return graph.filter([video, picture], "overlay", **place, enable=enabled, eof_action="repeat")


def _text(
    ctx: JobContext, video: Any, overlay: Overlay, given: ComposeArgs, number: int, enabled: str
) -> Any:
    from workers.media import fonts

    # In a file: ffmpeg reads signs of its own into what stands in an argument.
    file = ctx.scratch / f"text{number}.txt"
    file.write_text(overlay.text or "", encoding="utf-8")
    return video.filter(
        "drawtext",
        textfile=str(file),
        expansion="none",
        fontfile=str(fonts.of_text(ctx, given.font)),
        fontsize=max(4, round(given.height * overlay.height)),
        fontcolor=overlay.color,
        alpha=overlay.opacity,
        borderw=max(1, round(given.height * overlay.height / 24)),
        x=f"(w-text_w)*{overlay.x}",
        y=f"(h-text_h)*{overlay.y}",
        enable=enabled,
    )
