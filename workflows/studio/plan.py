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

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec
from conductor.planning import input_files, input_of, job, rounded_up
from workflows.studio import captions_plan, preview_plan
from workflows.studio.kinds import PRIORITIES, needs_of
from workflows.studio.render_plan import NAME, NVENC_MIB, render_jobs
from workflows.studio.storyboard import read_storyboard

EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mts", "m2ts", "mpg", "mpeg", "wmv")
CONTAINERS = {"h264": "mp4", "h265": "mp4", "vp9": "webm", "av1": "webm"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="render|transcode|captions|preview")
    render = kinds.add_parser("render", help="a film out of a storyboard")
    render.add_argument(
        "storyboard", type=Path, help="a JSON file: scenes, transitions, overlays, subtitles, sound"
    )
    transcode = kinds.add_parser("transcode", help="every film of a folder, in one or several sizes")
    transcode.add_argument("folder", type=Path, help="with films")
    transcode.add_argument("--codec", choices=sorted(CONTAINERS), default="h264", help="default: %(default)s")
    transcode.add_argument(
        "--container", choices=("mp4", "webm", "mkv"), help="default: webm for vp9 and av1, else mp4"
    )
    transcode.add_argument(
        "--encoder",
        choices=("cpu", "auto", "nvenc"),
        default="cpu",
        help="auto: each job holds a device and encodes on it, or on the cpu where that cannot; nvenc: on "
        "nothing else; default: %(default)s",
    )
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
    captions = kinds.add_parser("captions", help="what is said in every film of a folder, as SRT and WebVTT")
    captions_plan.add_options(captions)
    preview = kinds.add_parser("preview", help="small pictures and clips of every film of a folder")
    preview_plan.add_options(preview)


def manifest_name(options: argparse.Namespace) -> str:
    place = options.storyboard.stem if options.kind == "render" else options.folder.resolve().name
    return f"{NAME}_{options.kind}_{place}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Render: a job a stretch, and one for the film. Transcode: a job a size, and one that measures it."""
    kinds = {"render": render, "transcode": transcode, "captions": captions, "preview": preview}
    return kinds[options.kind](options, settings)


def render(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Files are named as the storyboard sees them."""
    file = options.storyboard
    return render_jobs(read_storyboard(file), file.resolve().parent, file.stem, settings)


def transcode(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    heights, suffix = heights_of(options.heights), container_of(options)
    holds_device = options.encoder != "cpu"
    for film in films_of(options.folder, settings):
        for height in heights:
            args: dict[str, Any] = {"codec": options.codec, "max_height": height, "encoder": options.encoder}
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
                needs=needs_of(
                    "transcode", settings, cpu=2, ram_mib=1024, vram_mib=NVENC_MIB if holds_device else 0
                ),
                lane="gpu" if holds_device else None,
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


def captions(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    return captions_plan.caption_jobs(NAME, films_of(options.folder, settings), options, settings)


def preview(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    return preview_plan.preview_jobs(films_of(options.folder, settings), options, settings)


def films_of(folder: Path, settings: CodeSettings) -> list[Path]:
    """Raises `UsageError` where there is none."""
    found = list(input_files(settings.project / folder, EXTENSIONS, settings, skipped=[]))
    if not found:
        raise UsageError(f"{folder} has no film: {', '.join(EXTENSIONS)}")
    return found


def container_of(options: argparse.Namespace) -> str:
    chosen = options.container or CONTAINERS[options.codec]
    if chosen == "webm" and options.codec not in ("vp9", "av1"):
        raise UsageError(f"--container webm holds vp9 or av1, not {options.codec}: take mp4 or mkv")
    if options.encoder == "nvenc" and options.codec == "vp9":
        raise UsageError("--encoder nvenc: no card encodes vp9; take h264, h265 or av1")
    return chosen


def heights_of(text: str) -> list[int]:
    """Largest first."""
    try:
        heights = sorted({int(part) for part in text.split(",")}, reverse=True)
    except ValueError:
        raise UsageError(f"--heights {text}: numbers with commas between them, like 1080,720") from None
    if not all(32 <= height <= 8640 for height in heights):
        raise UsageError(f"--heights {text}: each between 32 and 8640")
    return heights


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
