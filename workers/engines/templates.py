"""Pictures that ffmpeg draws by itself: a ground, figures that move, a caption; and a still that moves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput
from workers.media import ffmpeg, fonts
from workers.media.common_form import FrameFormat
from workers.task_api.context import JobContext
from workers.task_api.toolkit import Args

#: ffmpeg's names of colours, or red, green and blue.
Color = Annotated[str, Meta(pattern=r"^(?:#[0-9A-Fa-f]{6}|[A-Za-z]{1,30})\Z")]
#: How a picture begins → what ffmpeg reads it with: by itself it takes a name that ends in .jpg for a row of
#: pictures with numbers.
STILLS = {b"\x89PNG\r\n\x1a\n": "png_pipe", b"\xff\xd8\xff": "jpeg_pipe"}
#: So much nearer a still is at its end: a picture that does not move is taken for one that hangs.
ZOOM = 0.12


class Figure(Args, frozen=True, kw_only=True):
    name: Annotated[str, Meta(max_length=40)] = ""
    color: Color = "orange"


def scene(
    ctx: JobContext,
    background: str,
    figures: Sequence[Figure],
    frame: FrameFormat,
    frames: int,
    font: str | None,
) -> Any:
    """A stream of so many pictures on a coloured ground. One source for all of it: of several that are drawn
    side by side ffmpeg may wait for one that waits for another."""
    import ffmpeg as graph

    seconds, w, h = frames / frame.fps, frame.width, frame.height
    size = f"r={frame.fps}:d={seconds:.6f}"
    # Light and dark beside the scene's own colour: a picture of one colour holds nothing.
    parts = [f"gradients=s={w}x{h}:{size}:n=3:c0={background}:c1=white:c2=gray:seed=1:speed=0.03[ground0]"]
    tall, wide = round(h * 0.34 / 2) * 2, round(h * 0.2 / 2) * 2
    for n, figure in enumerate(figures):
        side = round(wide * 0.2)
        eyes = ",".join(
            f"drawbox=x={round(wide * x)}:y={round(tall * 0.14)}:w={side}:h={side}:color=white:t=fill"
            for x in (0.22, 0.58)
        )
        x, y = _place(n, len(figures), "W", "H")
        parts.append(f"color=c={figure.color}:s={wide}x{tall}:{size},{eyes}[figure{n}]")
        parts.append(f"[ground{n}][figure{n}]overlay=x='{x}-w/2':y='{y}'[ground{n + 1}]")
    video = graph.input(f"{';'.join(parts)};[ground{len(figures)}]null", f="lavfi").video
    for n, figure in enumerate(figures):
        if figure.name and (font is not None or fonts.usual()):
            x, y = _place(n, len(figures), "w", "h")
            place = {"x": f"{x}-text_w/2", "y": f"{y}+{tall * 0.7:.1f}"}
            video = written(ctx, video, figure.name, font, wide * 0.22, f"name{n}", **place)
    return video


def _place(number: int, count: int, w: str, h: str) -> tuple[str, str]:
    """Where a figure is at the time t: its middle, and its top."""
    middle, phase = (number + 1) / (count + 1), number * 1.3
    return (
        f"{middle:.4f}*{w}+{w}*0.04*sin(1.7*t+{phase:.1f})",
        f"{h}*0.5-{h}*0.08*abs(sin(3*t+{phase:.1f}))",
    )


def form_of(path: Path) -> str | None:
    """None: it is no picture that is known here."""
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return "webp_pipe"
    return next((form for mark, form in STILLS.items() if head.startswith(mark)), None)


def still(path: Path, name: str, frame: FrameFormat, frames: int) -> Any:
    """One picture that comes slowly nearer. Raises `BadInput` for what is none."""
    w, h = frame.width, frame.height
    form = form_of(path)
    if form is None:
        raise BadInput(f"{name} is no picture: .png, .jpg and .webp are")
    picture = ffmpeg.source(path, f=form, containers=form).video
    picture = picture.filter("scale", w * 2, h * 2, force_original_aspect_ratio="increase")
    picture = picture.filter("crop", w * 2, h * 2).filter("format", "yuv420p")
    return picture.filter(
        "zoompan", z=f"1+{ZOOM}*on/{frames}", d=frames + 1, x="iw/2-iw/zoom/2", y="ih/2-ih/zoom/2",
        s=f"{w}x{h}", fps=frame.fps,
    )  # fmt: skip


def written(
    ctx: JobContext,
    video: Any,
    text: str,
    font: str | None,
    height: float,
    name: str,
    x: str = "(w-text_w)/2",
    y: str = "h*0.88-text_h/2",
) -> Any:
    """The text in the middle. In a file: ffmpeg reads signs of its own into what stands in an argument."""
    file = ctx.scratch / f"{name}.txt"
    file.write_text(text, encoding="utf-8")
    return video.filter(
        "drawtext", textfile=str(file), expansion="none", fontfile=str(fonts.of_text(ctx, font)),
        fontsize=max(6, round(height)), fontcolor="white", borderw=2, x=x, y=y,
    )  # fmt: skip
