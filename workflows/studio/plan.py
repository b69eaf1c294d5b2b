"""A film out of scenes: cut, transitions, pictures and text over it, subtitles, and sound of one loudness.

Each stretch of the film is a job of its own, encoded once and straight from its source; the last job joins
them by copying. What is made again after a change is the stretch that changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
from collections.abc import Iterator
from typing import Any

from conductor.base.errors import JobError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs
from conductor.planning import input_of, job, rounded_up
from workers.media import probing
from workflows.studio.storyboard import (
    Storyboard,
    StoryOverlay,
    StoryScene,
    Stretch,
    read_storyboard,
    samples_of,
    stretches,
)

NAME = "studio"
#: The longest stretch of one scene: so much work a crash costs, and so much can go on side by side.
LONGEST_S = 20.0
#: Renders come before everything else of a studio.
PRIORITY = 10
#: Bytes a pixel-second that a stretch may take on scratch, at the usual quality.
DENSITY = 0.12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "storyboard", type=Path, help="a JSON file: scenes, transitions, overlays, subtitles, sound"
    )


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{options.storyboard.stem}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """A job a stretch, and one for the film. Files are named as the storyboard sees them."""
    board, folder = read_storyboard(options.storyboard), options.storyboard.resolve().parent
    films = {scene.file: (folder / scene.file).resolve() for scene in board.scenes}
    ends = {name: end_of(path) for name, path in films.items() if needs_end(board, name)}
    lengths = [length_of(scene, ends.get(scene.file), board.fps) for scene in board.scenes]
    seams = [seam_of(board, scene) for scene in board.scenes[:-1]]
    parts = [
        compose(board, stretch, folder)
        for stretch in stretches(lengths, seams, max(1, round(LONGEST_S * board.fps)))
    ]
    yield from parts
    yield master(board, parts, folder, options.storyboard.stem)


def needs_end(board: Storyboard, name: str) -> bool:
    return any(scene.file == name and scene.out_s is None for scene in board.scenes)


def end_of(path: Path) -> float:
    """Seconds. Raises `UsageError` where the film cannot be read."""
    try:
        return probing.film(path, path.name).ends_s
    except JobError as e:
        raise UsageError(f"{path} cannot be read: {e}; give its scene an out_s, or another file") from None


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


def compose(board: Storyboard, stretch: Stretch, folder: Path) -> JobSpec:
    scenes = [board.scenes[part.scene] for part in stretch.parts]
    layers = [
        {
            "source": str((folder / scene.file).resolve()),
            "start_s": round(scene.in_s + part.skipped / board.fps, 6),
        }
        for scene, part in zip(scenes, stretch.parts, strict=True)
    ]
    over = [each for overlay in board.overlays if (each := shown_in(board, overlay, stretch, folder))]
    args: dict[str, Any] = {
        "layers": layers,
        "frames": stretch.frames,
        "samples": samples_of(stretch, board.fps),
        **{name: getattr(board, name) for name in ("width", "height", "fps", "crf")},
    }
    files = [str(layer["source"]) for layer in layers]
    files += [str(each["source"]) for each in over if "source" in each]
    if len(layers) == 2:
        args["transition"] = (scenes[0].transition or board.transition).name
    if over:
        args["overlays"] = over
    if board.subtitles is not None and board.subtitles.burnt_in:
        subtitles = str((folder / board.subtitles.file).resolve())
        args["subtitles"] = {"source": subtitles, "from_s": round(stretch.first / board.fps, 6)}
        files.append(subtitles)
    if board.font is not None and (over or "subtitles" in args):
        args["font"] = str((folder / board.font).resolve())
        files.append(args["font"])
    seconds = stretch.frames / board.fps
    size = board.width * board.height * seconds
    return job(
        NAME,
        "media.compose",
        args,
        inputs={path: mark for file in dict.fromkeys(files) for path, mark in input_of(Path(file)).items()},
        writes={"scratch:studio/{id}.mkv": rounded_up(size * DENSITY + seconds * 200_000)},
        needs=Needs(cpu=1, ram_mib=1024),
        priority=PRIORITY,
        duration_s=max(1.0, round(size / 20e6, 1)),
        size=size,
    )


def shown_in(
    board: Storyboard, overlay: StoryOverlay, stretch: Stretch, folder: Path
) -> dict[str, Any] | None:
    """As `media.compose` takes it; None where it is not seen in this stretch."""
    first = round(overlay.at_s * board.fps)
    end = first + max(1, round(overlay.seconds * board.fps))
    if end <= stretch.first or first >= stretch.end:
        return None
    said: dict[str, Any] = {
        "first": max(0, first - stretch.first),
        "end": min(end, stretch.end) - stretch.first,
        **{name: getattr(overlay, name) for name in ("x", "y", "opacity", "height", "color")},
    }
    if overlay.file is not None:
        said["source"] = str((folder / overlay.file).resolve())
    if overlay.text is not None:
        said["text"] = overlay.text
    return said


def master(board: Storyboard, parts: list[JobSpec], folder: Path, name: str) -> JobSpec:
    args: dict[str, Any] = {
        "stretches": [part.writes[0].path for part in parts],
        "loudness": board.loudness,
    }
    inputs: dict[str, str] = {}
    if board.subtitles is not None and not board.subtitles.burnt_in:
        file = (folder / board.subtitles.file).resolve()
        args |= {"subtitles": str(file), "language": board.subtitles.language}
        inputs = input_of(file)
    size = sum(part.writes[0].bytes for part in parts)
    return job(
        NAME,
        "media.master",
        args,
        reads=args["stretches"],
        inputs=inputs,
        writes={f"published:studio/{name}-{{short}}.{board.container}": rounded_up(size)},
        after=parts,
        needs=Needs(cpu=1, ram_mib=512),
        priority=PRIORITY,
        size=float(size),
    )


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
