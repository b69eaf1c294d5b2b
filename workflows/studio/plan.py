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
from conductor.planning import input_files, input_of, job, rounded_up
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
#: What a person waits for comes first.
PRIORITIES = {"render": 10, "transcode": 7, "preview": 5, "quality": 4}
#: Bytes a pixel-second that a stretch may take on scratch, at the usual quality.
DENSITY = 0.12
EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mts", "m2ts", "mpg", "mpeg", "wmv")
CONTAINERS = {"h264": "mp4", "h265": "mp4", "vp9": "webm", "av1": "webm"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="render|transcode|preview")
    render = kinds.add_parser("render", help="a film out of a storyboard")
    render.add_argument(
        "storyboard", type=Path, help="a JSON file: scenes, transitions, overlays, subtitles, sound"
    )
    transcode = kinds.add_parser("transcode", help="every film of a folder, in one or several sizes")
    transcode.add_argument("folder", type=Path, help="with films")
    transcode.add_argument("--codec", choices=sorted(CONTAINERS), default="h264", help="default: %(default)s")
    transcode.add_argument(
        "--heights", default="1080,720,480", metavar="H,H", help="the ladder of sizes; none is enlarged"
    )
    transcode.add_argument(
        "--quality", type=int, metavar="N", help="the encoder's own scale; lower is better"
    )
    transcode.add_argument("--kbps", type=int, metavar="N", help="of the largest size; smaller ones get less")
    transcode.add_argument("--metric", choices=("ssim", "vmaf"), help="measure each against its source, too")
    transcode.add_argument(
        "--floor", type=float, default=0.0, metavar="X", help="what `verify` holds the mean to"
    )
    preview = kinds.add_parser("preview", help="a poster and a small clip of every film of a folder")
    preview.add_argument("folder", type=Path, help="with films")


def manifest_name(options: argparse.Namespace) -> str:
    place = options.storyboard.stem if options.kind == "render" else options.folder.resolve().name
    return f"{NAME}_{options.kind}_{place}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Render: a job a stretch, and one for the film. Transcode: a job a size, and one that measures it."""
    return {"render": render, "transcode": transcode, "preview": preview}[options.kind](options, settings)


def render(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Files are named as the storyboard sees them."""
    board, folder = read_storyboard(options.storyboard), options.storyboard.resolve().parent
    films = {scene.file: (folder / scene.file).resolve() for scene in board.scenes}
    ends = {name: end_of(path) for name, path in films.items() if needs_end(board, name)}
    lengths = [length_of(scene, ends.get(scene.file), board.fps) for scene in board.scenes]
    seams = [seam_of(board, scene) for scene in board.scenes[:-1]]
    cut = stretches(lengths, seams, max(1, round(LONGEST_S * board.fps)))
    parts = [compose(board, stretch, folder, needs_of("render", settings, ram_mib=1024)) for stretch in cut]
    yield from parts
    yield master(board, parts, folder, options.storyboard.stem)


def transcode(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    heights, suffix = heights_of(options.heights), CONTAINERS[options.codec]
    for film in films_of(options.folder, settings):
        for height in heights:
            args: dict[str, Any] = {"codec": options.codec, "max_height": height, "encoder": "auto"}
            if options.quality is not None:
                args["quality"] = options.quality
            if options.kbps is not None:
                # As many bits a pixel: a size of half the sides gets a quarter.
                args["bitrate_kbps"] = max(64, round(options.kbps * (height / heights[0]) ** 2))
            size = film.stat().st_size
            made = job(
                NAME,
                "media.transcode",
                args,
                inputs=input_of(film),
                writes={f"published:studio/{film.stem}-{height}-{{short}}.{suffix}": rounded_up(size)},
                needs=needs_of("transcode", settings, cpu=2, ram_mib=1024),
                priority=PRIORITIES["transcode"],
                size=float(size),
            )
            yield made
            if options.metric is not None:
                yield job(
                    NAME,
                    "media.quality",
                    {"metric": options.metric, "floor": options.floor},
                    reads=[made.writes[0].path],
                    inputs=input_of(film),
                    after=[made],
                    needs=needs_of("quality", settings, ram_mib=1024),
                    priority=PRIORITIES["quality"],
                    size=float(size),
                )


def preview(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    for film in films_of(options.folder, settings):
        place = f"published:studio/{film.stem}-{{short}}"
        yield job(
            NAME,
            "media.preview",
            {},
            inputs=input_of(film),
            writes={f"{place}.jpg": 1 << 20, f"{place}.webm": 4 << 20},
            needs=needs_of("preview", settings, ram_mib=512),
            priority=PRIORITIES["preview"],
        )


def films_of(folder: Path, settings: CodeSettings) -> list[Path]:
    """Raises `UsageError` where there is none."""
    found = list(input_files(settings.project / folder, EXTENSIONS, settings, skipped=[]))
    if not found:
        raise UsageError(f"{folder} has no film: {', '.join(EXTENSIONS)}")
    return found


def heights_of(text: str) -> list[int]:
    """Largest first."""
    try:
        heights = sorted({int(part) for part in text.split(",")}, reverse=True)
    except ValueError:
        raise UsageError(f"--heights {text}: numbers with commas between them, like 1080,720") from None
    if not all(32 <= height <= 8640 for height in heights):
        raise UsageError(f"--heights {text}: each between 32 and 8640")
    return heights


def needs_of(kind: str, settings: CodeSettings, *, ram_mib: int, cpu: float = 1) -> Needs:
    """One of those that may go on at once, where conductor.toml has `[counters.KIND]`."""
    return Needs(cpu=cpu, ram_mib=ram_mib, counters={kind: 1} if kind in settings.counters else {})


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


def compose(board: Storyboard, stretch: Stretch, folder: Path, needs: Needs) -> JobSpec:
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
        needs=needs,
        priority=PRIORITIES["render"],
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
        priority=PRIORITIES["render"],
        size=float(size),
    )


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
