"""The jobs of a storyboard: one a stretch, and one that joins them.

A stretch ends where something begins or ends to lie over it, so that what is changed there later is made
anew, and nothing beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import JobError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec
from conductor.planning import input_of, job, rounded_up
from workers.media import probing, subtitles
from workflows.studio.kinds import PRIORITIES, needs_of
from workflows.studio.storyboard import (
    Storyboard,
    StoryOverlay,
    StoryScene,
    Stretch,
    samples_of,
    stretches,
)

if TYPE_CHECKING:
    from pysubs2 import SSAFile

NAME = "studio"
#: The longest stretch of one scene: so much work a crash costs, and so much can go on side by side.
LONGEST_S = 20.0
#: No stretch is ended for an overlay's sake that would be shorter: a job has its price, too.
SHORTEST_S = 1.0
#: Bytes a pixel-second that a stretch may take on scratch, at the usual quality.
DENSITY = 0.12
#: What an encoder of the card takes beside the pictures that it looks at.
NVENC_MIB = 1024


def render_jobs(board: Storyboard, folder: Path, name: str, settings: CodeSettings) -> Iterator[JobSpec]:
    """`folder`: from which files are named; `name`: of the film. Raises `UsageError`."""
    ends = {each: end_of(placed(folder, each)) for each in needing_end(board)}
    lengths = [length_of(scene, ends.get(scene.file), board.fps) for scene in board.scenes]
    seams = [seam_of(board, scene) for scene in board.scenes[:-1]]
    longest, shortest = (max(1, round(seconds * board.fps)) for seconds in (LONGEST_S, SHORTEST_S))
    cut = list(stretches(lengths, seams, longest, shortest, edges(board)))
    check_overlays(board, cut[-1].end)
    cues = cues_of(board, folder)
    parts = [compose(board, stretch, folder, cues, settings) for stretch in cut]
    # A scene that is shown twice is made once.
    yield from {part.id: part for part in parts}.values()
    yield master(board, parts, folder, name, settings)


def placed(folder: Path, file: str) -> Path:
    return (folder / file).resolve()


def needing_end(board: Storyboard) -> set[str]:
    return {scene.file for scene in board.scenes if scene.out_s is None}


def end_of(path: Path) -> float:
    """Seconds. Raises `UsageError` where the film cannot be read."""
    if not path.is_file():
        raise UsageError(f"{path} is not there: a scene names it")
    try:
        return probing.film(path, path.name).ends_s
    except JobError as e:
        raise UsageError(f"{path} cannot be a scene: {e}") from None


def length_of(scene: StoryScene, end_s: float | None, fps: float) -> int:
    """In pictures of the film that is made."""
    out_s = end_s if scene.out_s is None else scene.out_s
    assert out_s is not None
    if out_s <= scene.in_s:
        raise UsageError(f"the scene of {scene.file}: out_s {out_s:g} is not after in_s {scene.in_s:g}")
    return max(1, round((out_s - scene.in_s) * fps))


def seam_of(board: Storyboard, scene: StoryScene) -> int:
    chosen = scene.transition or board.transition
    return 0 if chosen.name == "none" else round(chosen.seconds * board.fps)


def window_of(overlay: StoryOverlay, fps: float) -> tuple[int, int]:
    """Its first picture, and the first without it."""
    first = round(overlay.at_s * fps)
    return first, first + max(1, round(overlay.seconds * fps))


def edges(board: Storyboard) -> set[int]:
    """Where something begins or ends to lie over the film."""
    return {edge for overlay in board.overlays for edge in window_of(overlay, board.fps)}


def check_overlays(board: Storyboard, frames: int) -> None:
    """One that nobody would ever see is a slip."""
    for number, overlay in enumerate(board.overlays, start=1):
        if window_of(overlay, board.fps)[0] >= frames:
            raise UsageError(
                f"overlay {number} begins at {overlay.at_s:g} s, and the film ends at "
                f"{frames / board.fps:g} s"
            )


def cues_of(board: Storyboard, folder: Path) -> SSAFile | None:
    """Read here, so that what is no subtitles is said before the film is made. Raises `UsageError`."""
    if board.subtitles is None:
        return None
    path = placed(folder, board.subtitles.file)
    if not path.is_file():
        raise UsageError(f"the subtitles {path} are not there")
    try:
        return subtitles.read(path, path.name)
    except JobError as e:
        raise UsageError(str(e)) from None


def compose(
    board: Storyboard, stretch: Stretch, folder: Path, cues: SSAFile | None, settings: CodeSettings
) -> JobSpec:
    scenes = [board.scenes[part.scene] for part in stretch.parts]
    layers = [
        {
            "source": str(placed(folder, scene.file)),
            "start_s": round(scene.in_s + part.skipped / board.fps, 6),
        }
        for scene, part in zip(scenes, stretch.parts, strict=True)
    ]
    over = [each for overlay in board.overlays if (each := shown_in(board, overlay, stretch, folder))]
    args: dict[str, Any] = {
        "layers": layers,
        "frames": stretch.frames,
        "samples": samples_of(stretch, board.fps),
        "codec": board.codec,
        **{name: getattr(board, name) for name in ("width", "height", "fps", "crf", "encoder")},
    }
    files = [str(layer["source"]) for layer in layers]
    files += [str(each["source"]) for each in over if "source" in each]
    if len(layers) == 2:
        args["transition"] = (scenes[0].transition or board.transition).name
    if over:
        args["overlays"] = over
    if is_burnt(board, stretch, cues) and board.subtitles is not None:
        source = str(placed(folder, board.subtitles.file))
        args["subtitles"] = {"source": source, "from_s": round(stretch.first / board.fps, 6)}
        files.append(source)
    if board.font is not None and ("subtitles" in args or any("text" in each for each in over)):
        args["font"] = str(placed(folder, board.font))
        files.append(args["font"])
    is_nvenc = board.encoder == "nvenc"
    seconds = stretch.frames / board.fps
    size = board.width * board.height * seconds
    return job(
        NAME,
        "media.compose",
        args,
        inputs=inputs_of(files),
        writes={"scratch:studio/{id}.mkv": rounded_up(size * DENSITY + seconds * 200_000)},
        needs=needs_of("render", settings, ram_mib=1024, vram_mib=NVENC_MIB if is_nvenc else 0),
        lane="gpu" if is_nvenc else None,
        priority=PRIORITIES["render"],
        duration_s=max(1.0, round(size / 20e6, 1)),
        size=size,
    )


def inputs_of(files: Sequence[str]) -> dict[str, str]:
    return {path: mark for file in dict.fromkeys(files) for path, mark in input_of(Path(file)).items()}


def is_burnt(board: Storyboard, stretch: Stretch, cues: SSAFile | None) -> bool:
    """Whether a subtitle is seen in this stretch."""
    if cues is None or board.subtitles is None or not board.subtitles.burnt_in:
        return False
    return subtitles.is_shown(cues, stretch.first / board.fps, stretch.end / board.fps)


def shown_in(
    board: Storyboard, overlay: StoryOverlay, stretch: Stretch, folder: Path
) -> dict[str, Any] | None:
    """As `media.compose` takes it; None where it is not seen in this stretch."""
    first, end = window_of(overlay, board.fps)
    if end <= stretch.first or first >= stretch.end:
        return None
    said: dict[str, Any] = {
        "first": max(0, first - stretch.first),
        "end": min(end, stretch.end) - stretch.first,
        **{name: getattr(overlay, name) for name in ("x", "y", "opacity", "height", "color")},
    }
    if overlay.file is not None:
        said["source"] = str(placed(folder, overlay.file))
    if overlay.text is not None:
        said["text"] = overlay.text
    return said


def master(
    board: Storyboard, parts: list[JobSpec], folder: Path, name: str, settings: CodeSettings
) -> JobSpec:
    args: dict[str, Any] = {
        "stretches": [part.writes[0].path for part in parts],
        "loudness": board.loudness,
    }
    files: list[str] = []
    if board.subtitles is not None and not board.subtitles.burnt_in:
        args |= {
            "subtitles": str(placed(folder, board.subtitles.file)),
            "language": board.subtitles.language,
        }
        files.append(args["subtitles"])
    if board.music is not None:
        source = str(placed(folder, board.music.file))
        args["music"] = {
            "source": source,
            **{name: getattr(board.music, name) for name in ("from_s", "level_db", "fade_s")},
        }
        files.append(source)
    size = sum(part.writes[0].bytes for part in parts)
    return job(
        NAME,
        "media.master",
        args,
        reads=list(dict.fromkeys(args["stretches"])),
        inputs=inputs_of(files),
        writes={f"published:studio/{name}-{{short}}.{board.container}": rounded_up(size)},
        after=parts,
        needs=needs_of("render", settings, ram_mib=512),
        priority=PRIORITIES["render"],
        size=float(size),
    )
