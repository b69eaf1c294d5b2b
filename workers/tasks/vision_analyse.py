"""vision.analyse: an ONNX model over a clip's frames → what moves when, where scenes change, what to show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from msgspec import Meta, to_builtins

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, leave_if_told, media_facts, parse, read_of, shown, threads, write_of
from workers.vision.onnx_session import Provider

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts
    from workers.vision.analysis import Analysis, Score
    from workers.vision.onnx_session import Scorer

NEEDS = Needs(cpu=1, ram_mib=512)


class AnalyseArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    #: Samples a second, and how wide the frames are made for it (a model of fixed size decides for itself).
    fps: Annotated[float, Meta(gt=0, le=60)] = 4.0
    width: Annotated[int, Meta(ge=32, le=1920)] = 160
    #: An .onnx file among the reads; without one the project's own measures motion and scene change.
    model: str | None = None
    #: Which of the model's outputs holds the scores; default: by name.
    output: str | None = None
    provider: Provider = "auto"
    batch: Annotated[int, Meta(ge=1, le=512)] = 32
    #: Length of the windows it proposes.
    seconds: Annotated[float, Meta(gt=0, le=3600)] = 4.0
    #: A best window of a lower score is shown to a person before anything goes on with it. None: never.
    review_below: float | None = None


@task("vision.analyse", lane="cpu", needs=NEEDS, warm="onnx:{model}", timeout_s=3600 * 4, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), fps, width, model, output, provider (auto, cuda, cpu), batch,
    seconds, review_below.

    Writes an analysis as JSON (`workers.vision.analysis.Analysis`) to its first write.
    Result: {"provider", "model", "frames", "scenes", "best"}; `provider` is the one that really ran.
    """
    from workers.vision import analysis, onnx_session

    given = parse(args, AnalyseArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    onnx = warm_session(ctx, given)
    scorer, size = scorer_of(onnx, given)
    scores = scored(ctx, path, name, given, scorer, size, facts)
    check_whole(name, facts.picture_s or 0.0, (len(scores) + 1) / given.fps)
    duration_s = facts.ends_s or len(scores) / given.fps
    seconds, scenes = analysis.by_second(scores, given.fps), analysis.scenes_of(scores, given.fps)
    found = analysis.Analysis(
        v=analysis.ANALYSIS_VERSION,
        source=name,
        duration_s=duration_s,
        sample_fps=given.fps,
        model=shown(given.model) if given.model else "built in",
        provider=onnx_session.provider_of(onnx),
        seconds=seconds,
        scenes=scenes,
        windows=analysis.best_windows(seconds, scenes, duration_s, given.seconds),
    )
    ctx.output(write_of(ctx)).write_bytes(orjson.dumps(to_builtins(found), option=orjson.OPT_APPEND_NEWLINE))
    if given.review_below is not None:
        ask_where_unsure(ctx, read, found, given.review_below)
    best = to_builtins(found.windows[0]) if found.windows else None
    return {
        "provider": found.provider,
        "model": found.model,
        "frames": len(scores),
        "scenes": len(scenes),
        "best": best,
    }


def ask_where_unsure(ctx: JobContext, read: str, found: Analysis, below: float) -> None:
    """A person sees the best window where its score is low, or that there is none."""
    best = found.windows[0] if found.windows else None
    if best is not None and best.score >= below:
        return
    words = f"no window of {found.source} was found"
    if best is not None:
        words = f"is this worth a cut? The best of {found.source} has a score of {best.score:.3f} only"
    item: dict[str, Any] = {"words": words, "clip": read}
    if best is not None:
        item |= {"at_s": best.start_s, "ends_s": best.start_s + best.duration_s}
    ctx.needs_review([item])


def check_whole(name: str, declared_s: float, found_s: float) -> None:
    """Readers end well on a file that breaks off: its length is what tells. Raises `BadInput`."""
    from conductor.verify.media_count import SLACK_S, SLACK_SHARE

    if declared_s - found_s > max(SLACK_S, declared_s * SLACK_SHARE):
        raise BadInput(f"{name} is cut off: it breaks off at {found_s:.1f} s of {declared_s:.1f} s")


def warm_session(ctx: JobContext, given: AnalyseArgs) -> Any:
    """The session is kept for the next job of this worker: loading a model costs more than running it."""
    from workers.vision.onnx_session import open_session

    model = ctx.input(read_of(ctx, given.model, 0, "model")) if given.model else None
    cores = threads(ctx, NEEDS)
    stamp = f"{model}:{model.stat().st_mtime_ns}" if model else "built in"
    key = f"onnx:{stamp}:{given.provider}:{','.join(ctx.devices)}:{cores}"
    return ctx.warm(key, lambda: open_session(model, given.provider, bool(ctx.devices), cores))


def scorer_of(onnx: Any, given: AnalyseArgs) -> tuple[Scorer, tuple[int, int]]:
    """What turns frames into scores, and the (width, height) it wants them in."""
    from workers.vision import onnx_session

    height = max(32, round(given.width * 9 / 16 / 2) * 2)
    if given.model is None:
        return onnx_session.MotionScorer(onnx), (given.width, height)
    image = onnx_session.image_input(onnx)
    return onnx_session.DetectionScorer(onnx, image, given.output), (
        image.width or given.width,
        image.height or height,
    )


def scored(
    ctx: JobContext,
    path: Path,
    name: str,
    given: AnalyseArgs,
    scorer: Scorer,
    size: tuple[int, int],
    facts: MediaFacts,
) -> list[Score]:
    """Every sampled frame's score. ffmpeg waits while the model works: at most a batch of frames is held."""
    import numpy as np

    from workers.media import common_form, ffmpeg

    width, height = size
    duration_s = facts.picture_s or facts.ends_s
    frame_bytes, pending, scores = width * height * 3, bytearray(), list[Any]()

    def flush(limit: int) -> None:
        count = min(limit, len(pending) // frame_bytes)
        if count:
            frames = np.frombuffer(bytes(pending[: count * frame_bytes]), np.uint8).reshape(
                count, height, width, 3
            )
            del pending[: count * frame_bytes]
            scores.extend(scorer(frames))
            ctx.progress(len(scores) / max(1.0, duration_s * given.fps), f"looking at {name}")
            leave_if_told(ctx)

    def take(chunk: bytes) -> None:
        pending.extend(chunk)
        while len(pending) >= given.batch * frame_bytes:
            flush(given.batch)

    cores = threads(ctx, NEEDS)
    video = common_form.progressive(ffmpeg.stream(ffmpeg.source(path, threads=cores), facts.film), facts)
    video = common_form.timed(video, given.fps).filter("scale", width, height, flags="area")
    job = ffmpeg.raw_frames(common_form.shown(video, facts), "rgb24")
    ffmpeg.run(job, ctx, seconds=duration_s, note="", name=name, threads=cores, on_stdout=take)
    while len(pending) >= frame_bytes:
        flush(given.batch)
    if not scores:
        raise BadInput(f"{name} cannot be decoded: not one frame came out of it")
    return scores
