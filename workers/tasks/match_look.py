"""match.look: a detector over the pictures of a match → where ball, keepers and players are, look by look.

What was found is kept as it is found: an attempt that is killed goes on where it was. Where memory runs out
the detector is given half as many pictures at once, before the job asks for more of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.match.detector import KINDS, ROW, Labels
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, leave_if_told, media_facts, parse, read_of, shown, threads, write_of
from workers.vision.onnx_session import Provider

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.match.detector import Detector
    from workers.media.probing import MediaFacts
    from workers.task_api.batch_size import BatchSize
    from workers.task_api.checkpoint import Checkpoint
    from workers.vision.onnx_session import Frames

NEEDS = Needs(cpu=1, ram_mib=768)
#: Seconds of film between two checkpoints.
KEPT_EVERY_S = 30.0
#: Sides of pictures that a trained detector takes, if it takes any: it halves them five times.
MODEL_STEP = 32


class LookArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    #: Looks a second.
    fps: Annotated[float, Meta(ge=1, le=60)] = 10.0
    #: How wide the pictures are made for a detector that takes any size.
    width: Annotated[int, Meta(ge=64, le=1920, multiple_of=32)] = 320
    #: An .onnx file among the reads; without one the detector that knows drawn matches.
    model: str | None = None
    labels: Labels = Labels()
    provider: Provider = "auto"
    #: Pictures that the detector is given at once, at most.
    batch: Annotated[int, Meta(ge=1, le=256)] = 16


@task(
    "match.look",
    lane="cpu",
    needs=NEEDS,
    warm="onnx:match:{model}",
    timeout_s=3600 * 6,
    stall_s=300,
    retry={"task_error": 2, "worker_lost": 10},
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), fps, width, model, labels, provider, batch.

    Writes a `.f32` file: rows of time (s), kind (ball, keeper, player), x, y (shares of the picture), score.
    Result: {"provider", "batch", "looks", "ball_share", "resumed_from_s"}.
    """
    from workers.media import picture_times
    from workers.tasks.vision_analyse import check_whole
    from workers.vision import onnx_session

    given = parse(args, LookArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    session = opened_session(ctx, given)
    times = picture_times.seen_at(picture_times.picture_times(path, name, facts), given.fps)
    found = FoundSoFar(ctx.checkpoint(), round(KEPT_EVERY_S * given.fps), times)
    resumed = found.looks
    eyes = eyes_of(ctx, given, session, facts)
    look(ctx, path, name, given, facts, eyes, found)
    check_whole(name, facts.picture_s or 0.0, found.looks / given.fps)
    with ctx.create(write_of(ctx, ".f32")) as file:
        file.write(found.data())
    return {
        "provider": onnx_session.provider_of(session),
        "batch": eyes.batch.size,
        "looks": found.looks,
        "ball_share": round(found.with_ball / found.looks, 3) if found.looks else 0.0,
        "resumed_from_s": round(resumed / given.fps, 3),
    }


class DetectorSetup(NamedTuple):
    detector: Detector
    batch: BatchSize
    #: In pixels, as the detector takes them.
    width: int
    height: int


class FoundSoFar:
    """What was found so far: whole parts lie in the checkpoint already."""

    def __init__(self, kept: Checkpoint, looks_a_part: int, times: Iterator[float]) -> None:
        """`times`: of the picture that each look sees."""
        self._kept = kept
        self._looks_a_part = looks_a_part
        self._parts: list[bytes] = []
        self._rows: list[NDArray[np.float32]] = []
        while (part := kept.load(self._name)) is not None:
            self._parts.append(part)
        self.looks = len(self._parts) * looks_a_part
        self._times = islice(times, self.looks, None)
        self._last_s = -1.0
        self.with_ball = 0
        for part in self._parts:
            self._count(part)

    @property
    def _name(self) -> str:
        return f"part-{len(self._parts):06}"

    def add(self, boxes: NDArray[np.float32]) -> None:
        """Of the next look. One that found nothing has a row without a score, and one that saw the same
        picture as the one before has none."""
        import numpy as np

        at_s = next(self._times)
        if not len(boxes):
            boxes = np.zeros((1, ROW - 1), np.float32)
        if at_s != self._last_s:
            self._rows.append(np.insert(boxes, 0, at_s, axis=1).astype("<f4"))
        self.looks, self._last_s = self.looks + 1, at_s
        if self.looks % self._looks_a_part == 0:
            part = self._taken()
            self._kept.save(part, self._name)
            self._parts.append(part)

    def data(self) -> bytes:
        self._parts.append(self._taken())
        return b"".join(self._parts)

    def _taken(self) -> bytes:
        part = b"".join(rows.tobytes() for rows in self._rows)
        self._rows.clear()
        self._count(part)
        return part

    def _count(self, part: bytes) -> None:
        import numpy as np

        rows = np.frombuffer(part, "<f4").reshape(-1, ROW)
        is_ball = (rows[:, 1] == KINDS.index("ball")) & (rows[:, 4] > 0)
        self.with_ball += len(np.unique(rows[is_ball, 0]))


def opened_session(ctx: JobContext, given: LookArgs) -> Any:
    """Kept for the next jobs of this worker."""
    from workers.match import blob_model
    from workers.vision.onnx_session import open_session

    cores = threads(ctx, NEEDS)
    model = None if given.model is None else ctx.input(read_of(ctx, given.model, 0, "model"))
    key = f"onnx:match:{stamp_of(model)}:{given.provider}:{','.join(ctx.devices)}:{cores}"
    return ctx.warm(
        key, lambda: open_session(model or blob_model.build(), given.provider, bool(ctx.devices), cores)
    )


def stamp_of(model: Path | None) -> str:
    return "stand-in" if model is None else f"{model}:{model.stat().st_mtime_ns}"


def eyes_of(ctx: JobContext, given: LookArgs, session: Any, facts: MediaFacts) -> DetectorSetup:
    from workers.match.blob_model import CELL
    from workers.match.detector import Detector
    from workers.task_api.batch_size import BatchSize
    from workers.vision.onnx_session import image_input, provider_of

    image = image_input(session)
    wide, high = facts.shown_size
    width = image.width or given.width
    step = CELL if given.model is None else MODEL_STEP
    height = image.height or max(step, round(width * high / wide / step) * step)
    model = None if given.model is None else ctx.input(given.model)
    key = f"match.look {stamp_of(model)} {provider_of(session)} {width}x{height}"
    batch = BatchSize(image.batch or given.batch, key, ctx.settings.state_dir)
    return DetectorSetup(Detector(session, image, given.labels), batch, width, height)


def look(
    ctx: JobContext,
    path: Path,
    name: str,
    given: LookArgs,
    facts: MediaFacts,
    eyes: DetectorSetup,
    found: FoundSoFar,
) -> None:
    """From where an earlier attempt came to, to the end."""
    from workers.match.overlapped import OverlappedBatches
    from workers.media import common_form, ffmpeg, seeking

    width, height = eyes.width, eyes.height
    seconds = facts.picture_s or facts.ends_s
    from_s = found.looks / given.fps
    if from_s and from_s >= seconds:
        return
    read_s = seeking.start_before(path, name, facts, from_s) if from_s else 0.0
    cores = threads(ctx, NEEDS)

    def seen(frames: Frames) -> list[NDArray[np.float32]]:
        return [boxes for part in eyes.batch.map(frames, eyes.detector, bool(ctx.devices)) for boxes in part]

    def take(answers: Sequence[NDArray[np.float32]]) -> None:
        for boxes in answers:
            found.add(boxes)
        ctx.progress(found.looks / max(1.0, seconds * given.fps), f"looking at {name}")
        leave_if_told(ctx)

    source = ffmpeg.begun_at(path, read_s, threads=cores, **unsmoothed(facts, width))
    video = common_form.progressive(ffmpeg.stream(source, facts.film), facts)
    video = common_form.timed(video, given.fps, from_s - read_s).filter("scale", width, height, flags="area")
    job = ffmpeg.raw_frames(common_form.shown(video, facts), "rgb24")
    with OverlappedBatches(height, width, seen, take) as batches:
        ffmpeg.run(
            job,
            ctx,
            seconds=seconds,
            note="",
            name=name,
            threads=cores,
            on_stdout=lambda chunk: batches.feed(chunk, eyes.batch.size),
        )
        batches.end()
    if not found.looks:
        raise BadInput(f"{name} cannot be decoded: not one picture came out of it")


def unsmoothed(facts: MediaFacts, width: int) -> dict[str, str]:
    """Pictures that no other one is built on keep the edges of their blocks where the picture is made so much
    smaller that nobody sees them: a seventh of the decoder's work."""
    return {"skip_loop_filter": "noref"} if facts.shown_size[0] >= 2 * width else {}
