"""A reel of the best seconds of every video in a folder: probe, analyse, cut, then assemble and publish.

Each video is a chain of its own; the reel is made of what could be cut, and verify names what could not. A
video that changes is planned anew, with all that depends on it and nothing else.
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
import re
from collections.abc import Iterator
from typing import Any

from conductor.base.errors import JobError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Lane, Needs
from conductor.planning import input_files, input_of, job, note, rounded_up

NAME = "highlights"
EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mts", "m2ts", "mpg", "mpeg", "wmv")
SAMPLES = "samples"
#: Samples a second the analysis looks at, and how wide it makes the pictures.
ANALYSE_FPS, ANALYSE_WIDTH = 4.0, 160
#: Of the analysis on the gpu lane: an ONNX session with its CUDA context.
GPU_NEEDS = Needs(cpu=1, ram_mib=1024, vram_mib=1024)
FPS = 30
#: Pixels × seconds, and bytes, that an ordinary core gets through in a second: by them a first run, of which
#: no receipt tells yet, has an ETA.
ANALYSE_SPEED, CUT_SPEED, ASSEMBLE_SPEED, PUBLISH_SPEED = 9e6, 2.1e6, 18e6, 400e6
#: However small it is.
LEAST_S = 0.1
JSON_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, help=f"folder with videos; left out: the project's {SAMPLES}"
    )
    parser.add_argument(
        "--inputs", type=Path, metavar="FOLDER", default=argparse.SUPPRESS, help="the same, as an option"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="how much of each video to show"
    )
    parser.add_argument(
        "--size", default="1280x720", metavar="WxH", help="of the reel's picture, even numbers"
    )
    parser.add_argument(
        "--lane",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="where videos are analysed; auto: gpu where conductor.toml lets that lane run on the CPU, too",
    )


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Three jobs a video and two for the reel, in an order in which no job waits for a later one."""
    size = size_of(options.size)
    if not 0.1 <= options.seconds <= 3600:
        raise UsageError(f"--seconds {options.seconds:g}: between 0.1 and 3600")
    lane = lane_of(options.lane, settings)
    cuts: list[JobSpec] = []
    for video in videos_of(options, settings):
        try:
            chain = chain_of(video, options.seconds, size, lane, picture_of(video))
        except UsageError as e:
            note(f"{e}; it is left out")
            continue
        cuts.append(chain[-1])
        yield from chain
    if not cuts:
        raise UsageError("not one of the videos can be read")
    yield from reel_of(cuts, options.seconds, size)


def videos_of(options: argparse.Namespace, settings: CodeSettings) -> list[Path]:
    """The videos, by name. Raises `UsageError` when there is none."""
    given: Path | None = getattr(options, "inputs", None) or options.folder
    folder = given or settings.project / SAMPLES
    if given is None and not folder.is_dir():
        raise UsageError(
            "name the folder with the videos, or make samples: python -m workflows.highlights.samples"
        )
    skipped: list[str] = []
    videos = list(input_files(folder, EXTENSIONS, settings, skipped))
    for sentence in skipped:
        note(sentence)
    if not videos:
        raise UsageError(
            f"there is no video in {folder}: looked for names that end in {', '.join(EXTENSIONS)}"
        )
    return videos


def picture_of(video: Path) -> tuple[int, float]:
    """(pixels, seconds) by the file's header; zeros, and a word, where it tells nothing: its probe will say
    it, too.

    One file of a thousand must not end the plan for the others, whatever a library raises on it."""
    from workers.media.probing import probe

    try:
        facts = probe(video, video.name, check="header")
    except (JobError, OSError) as e:
        note(f"{e}; it is planned, and will not be in the reel")
    except Exception as e:  # noqa: BLE001  whatever the library does with a file; it is named
        note(f"{video.name} cannot be looked into ({type(e).__name__}: {e}); it is planned all the same")
    else:
        return facts.width * facts.height, facts.ends_s
    return 0, 0.0


def chain_of(
    video: Path, seconds: float, size: tuple[int, int], lane: Lane, picture: tuple[int, float] = (0, 0.0)
) -> tuple[JobSpec, JobSpec, JobSpec]:
    """probe → analyse → cut of one video. How large a job is: in pixels × seconds of what it decodes and
    encodes.
    """
    pixels, lasts_s = picture
    cut_s = min(seconds, lasts_s)
    source, width_height = str(video), {"width": size[0], "height": size[1], "fps": FPS}
    inputs = input_of(video)
    probe = job(
        NAME,
        "media.probe",
        {"source": source},
        inputs=inputs,
        writes={path("probe.json"): JSON_BYTES},
        duration_s=LEAST_S,
        size=pixels * lasts_s,
    )
    analyse = job(
        NAME,
        "vision.analyse",
        {"source": source, "fps": ANALYSE_FPS, "width": ANALYSE_WIDTH, "seconds": seconds},
        inputs=inputs,
        writes={path("analysis.json"): JSON_BYTES},
        after=(probe,),
        lane=lane,
        needs=GPU_NEEDS if lane == "gpu" else None,
        duration_s=seconds_of(pixels * lasts_s, ANALYSE_SPEED),
        size=pixels * lasts_s,
    )
    analysis = analyse.writes[0].path
    cut = job(
        NAME,
        "media.cut",
        {"source": source, "analysis": analysis, "seconds": seconds, **width_height},
        inputs=inputs,
        reads=(analysis,),
        writes={path("cut.mp4"): cut_bytes(seconds, size)},
        after=(analyse,),
        duration_s=seconds_of((pixels + size[0] * size[1]) * cut_s, CUT_SPEED),
        size=(pixels + size[0] * size[1]) * cut_s,
        expect={"max_duration_s": seconds},
    )
    return probe, analyse, cut


def reel_of(cuts: list[JobSpec], seconds: float, size: tuple[int, int]) -> tuple[JobSpec, JobSpec]:
    """assemble → publish. The reel waits until every cut has ended, one way or the other."""
    segments = [cut.writes[0].path for cut in cuts]
    total_bytes = rounded_up(len(cuts) * cut_bytes(seconds, size))
    shown = size[0] * size[1] * seconds * len(cuts)
    expect: dict[str, Any] = {"max_duration_s": seconds * len(cuts), "tolerance_s": 0.5 + 0.1 * len(cuts)}
    assemble = job(
        NAME,
        "media.assemble",
        {"segments": segments, "allow_missing": True},
        reads=segments,
        writes={path("reel.mp4"): total_bytes},
        after_ended=cuts,
        duration_s=seconds_of(shown, ASSEMBLE_SPEED),
        size=shown,
        expect=expect,
    )
    reel = assemble.writes[0].path
    publish = job(
        NAME,
        "files.publish",
        {"source": reel},
        reads=(reel,),
        writes={"published:highlights-{short}.mp4": total_bytes},
        after=(assemble,),
        duration_s=seconds_of(total_bytes, PUBLISH_SPEED),
        size=total_bytes,
        expect=expect,
    )
    return assemble, publish


def seconds_of(size: float, speed: float) -> float:
    return max(LEAST_S, round(size / speed, 1))


def path(name: str) -> str:
    return f"scratch:{NAME}/{{id}}/{name}"


def cut_bytes(seconds: float, size: tuple[int, int]) -> int:
    """What a cut takes at most, as a rule: 0.3 bits a pixel of picture, and its sound without loss."""
    return rounded_up(seconds * (size[0] * size[1] * FPS * 0.3 / 8 + 192_000))


def size_of(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (32 <= width <= 7680 and 32 <= height <= 4320 and width % 2 == 0 and height % 2 == 0):
        raise UsageError(f"--size {text}: write WIDTHxHEIGHT in even numbers, as in 1280x720")
    return width, height


def lane_of(choice: str, settings: CodeSettings) -> Lane:
    if choice == "auto":
        return "gpu" if settings.lanes.gpu.on_cpu else "cpu"
    return "gpu" if choice == "gpu" else "cpu"


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
