"""A football match on a NAS → a goalkeeper's reel and highlights: copied, looked at, listened to, judged by
rules, by a person where they are not sure, cut and written back.

Each film is a part of the match (a half), with a chain of its own; the reels are made of what could be looked
at, and verify names what could not.
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
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from conductor.base.errors import JobError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Lane, Needs
from conductor.planning import input_files, input_of, job, named_model, note, rounded_up
from workflows.match.options import NAME, OTHER, labels_of, name_of, pitch_of, plain, size_of, truth_of
from workflows.match.options import add_arguments as add_arguments

EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mts", "m2ts", "ts", "mpg", "mpeg", "wmv")
#: Of looking at pictures on the gpu lane: an ONNX session with its CUDA context, and a batch of pictures.
GPU_NEEDS = Needs(cpu=1, ram_mib=1536, vram_mib=2048)


class RetryRow(NamedTuple):
    """What the system before this one did: so many retries, each after so many seconds."""

    times: int
    wait_s: float

    def of(self, *causes: str) -> dict[str, Any]:
        return {"retry": dict.fromkeys(causes, self.times), "retry_wait": dict.fromkeys(causes, self.wait_s)}


#: A film that is not there may be on a NAS that comes back.
INGEST = RetryRow(3, 60).of("bad_input", "task_error")
ANALYSIS = RetryRow(2, 300).of("task_error")
RENDER = RetryRow(3, 120).of("task_error")
NAS = RetryRow(5, 30).of("publish_failed")
#: Bytes: of a document, of the moments that a person is shown, and of one row of what was found.
DOCUMENT, MOMENTS, ROW_BYTES = 1 << 20, 64 << 20, 20
#: Boxes of one look, as a rule; and of a film whose length is not known, how long it is taken to be.
BOXES, LONG_S = 30, 3600.0


class ChosenDetector(NamedTuple):
    """What match.look is told of its model; nothing of the one that comes with it."""

    args: Mapping[str, Any] = MappingProxyType({})
    inputs: Mapping[str, str] = MappingProxyType({})


class Film(NamedTuple):
    """By its header; zeros where that says nothing."""

    path: Path
    width: int = 0
    height: int = 0
    fps: float = 0.0
    lasts_s: float = 0.0


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{name_of(options)}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Four jobs a film, one for the match, two for each reel, and one that writes the list of events."""
    films = [film_of(path) for path in films_of(options, settings)]
    lane = lane_of(options.lane, settings)
    pitch, detector = pitch_of(options.pitch), detector_of(options, settings)
    ingests: list[JobSpec] = []
    judged: list[JobSpec] = []
    for film in films:
        ingest, *others = chain_of(film, options, pitch, lane, detector)
        ingests.append(ingest)
        judged.append(others[-1])
        yield from (ingest, *others)
    choose = choose_of(judged, options, films[0])
    yield choose
    events = choose.writes[0].path
    yield written(events, f"{name_of(options)}-events-{{short}}.json", choose, DOCUMENT)
    for reel in ("goalkeeper", "highlights"):
        render = render_of(reel, choose, ingests, films, options)
        yield render
        target = f"{name_of(options)}-{reel}-{{short}}.mp4"
        yield written(render.writes[0].path, target, render, render.writes[0].bytes)


# ── the films ─────────────────────────────────────────────────────────────────────────────────────────────


def films_of(options: argparse.Namespace, settings: CodeSettings) -> list[Path]:
    """Raises `UsageError` where there is none."""
    found: list[Path] = []
    skipped: list[str] = []
    for given in options.films:
        place = (settings.project / given.expanduser()).absolute()
        if place.is_dir():
            found += input_files(place, EXTENSIONS, settings, skipped)
        elif place.is_file():
            found.append(place)
        else:
            raise UsageError(f"{given} does not exist")
    for sentence in skipped:
        note(sentence)
    if not found:
        raise UsageError(f"there is no film: looked for names that end in {', '.join(EXTENSIONS)}")
    return found


def film_of(path: Path) -> Film:
    """A word where the header tells nothing: its ingest will say it, too."""
    from workers.media.probing import probe

    try:
        facts = probe(path, path.name, check="header")
    except (JobError, OSError) as e:
        note(f"{e}; it is planned, and will not be in the reels")
        return Film(path)
    return Film(path, facts.width // 2 * 2, facts.height // 2 * 2, facts.fps, facts.ends_s)


def checksum_beside(path: Path) -> str | None:
    """Of a file like sha256sum writes it, beside the film; None where there is none. Raises `UsageError`."""
    beside = path.with_name(f"{path.name}.sha256")
    try:
        said = beside.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    if not said or not re.fullmatch("[0-9a-fA-F]{64}", said[0]):
        raise UsageError(f"{beside} holds no checksum: write one with sha256sum, or remove it")
    return said[0].lower()


# ── the jobs ──────────────────────────────────────────────────────────────────────────────────────────────


def chain_of(
    film: Film, options: argparse.Namespace, pitch: tuple[float, ...], lane: Lane, detector: ChosenDetector
) -> tuple[JobSpec, JobSpec, JobSpec, JobSpec]:
    """ingest → look and listen → events."""
    size = film.path.stat().st_size
    seconds = film.lasts_s or LONG_S
    pixels = float(film.width * film.height) * film.lasts_s
    name = plain(film.path.stem) + film.path.suffix.lower()
    checksum = checksum_beside(film.path)
    ingest = job(
        NAME,
        "match.ingest",
        {} if checksum is None else {"sha256": checksum},
        inputs=input_of(film.path),
        writes={place(name): rounded_up(size)},
        **INGEST,
        size=float(size),
    )
    source = ingest.writes[0].path
    look = job(
        NAME,
        "match.look",
        {"source": source, "fps": options.looks, **detector.args},
        inputs=detector.inputs,
        reads=[source],
        writes={place("found.f32"): rounded_up(seconds * options.looks * BOXES * ROW_BYTES)},
        after=[ingest],
        lane=lane,
        needs=GPU_NEEDS if lane == "gpu" else None,
        **ANALYSIS,
        size=pixels,
    )
    listen = job(
        NAME,
        "match.listen",
        {},
        reads=[source],
        writes={place("heard.json"): DOCUMENT},
        after=[ingest],
        **ANALYSIS,
        size=seconds,
    )
    found, heard = look.writes[0].path, listen.writes[0].path
    events = job(
        NAME,
        "match.events",
        {
            "source": source,
            "found": found,
            "heard": heard,
            "pitch": pitch,
            "sure": options.sure,
            "least": options.least,
            "unsure": options.unsure,
        },
        reads=[source, found, heard],
        writes={
            place("events.json"): DOCUMENT,
            place("moments.mp4"): MOMENTS,
            place("sheet.jpg"): MOMENTS // 8,
        },
        after=[look, listen],
        **ANALYSIS,
        size=seconds,
    )
    return ingest, look, listen, events


def choose_of(judged: list[JobSpec], options: argparse.Namespace, first: Film) -> JobSpec:
    goal = options.keeper
    parts: list[dict[str, Any]] = []
    for spec in judged:
        parts.append({"events": spec.writes[0].path, "job": spec.id, "goal": goal})
        goal = goal if options.same_ends else OTHER[goal]
    reels = {
        "fps": options.reel_fps or (first.fps if 1 <= first.fps <= 240 else 25.0),
        "before_s": options.before,
        "after_s": options.after,
        "longest_s": options.longest,
    }
    args: dict[str, Any] = {"parts": parts, "reels": reels}
    if options.truth is not None:
        args["truth"] = truth_of(options.truth)
    return job(
        NAME,
        "match.choose",
        args,
        reads=[spec.writes[0].path for spec in judged],
        writes={place("match.json"): DOCUMENT},
        after_ended=judged,
    )


def render_of(
    reel: str, choose: JobSpec, ingests: list[JobSpec], films: list[Film], options: argparse.Namespace
) -> JobSpec:
    known = next(((film.width, film.height) for film in films if film.width), (1280, 720))
    width, height = size_of(options.size) if options.size else known
    sources = [ingest.writes[0].path for ingest in ingests]
    match = choose.writes[0].path
    return job(
        NAME,
        "match.render",
        {"match": match, "reel": reel, "films": sources, "width": width, "height": height},
        reads=[match, *sources],
        writes={place(f"{reel}.mp4"): rounded_up(options.longest * width * height * 30 * 0.2 / 8)},
        after=[choose],
        after_ended=ingests,
        **RENDER,
        size=float(width * height) * options.longest,
        expect={"max_duration_s": options.longest},
    )


def written(source: str, target: str, after: JobSpec, size: int) -> JobSpec:
    """To the NAS: copied, read back, and kept on scratch until that is done."""
    return job(
        NAME,
        "files.publish",
        {"source": source},
        reads=[source],
        writes={f"published:{NAME}/{target}": size},
        after=[after],
        **NAS,
        size=float(size),
    )


# ── what options say ──────────────────────────────────────────────────────────────────────────────────────


def detector_of(options: argparse.Namespace, settings: CodeSettings) -> ChosenDetector:
    """Raises `ConfigError` for a model that is not there or not the one it has to be."""
    if options.model is None:
        return ChosenDetector()
    model = named_model(options.model, settings)
    return ChosenDetector({"model": str(model.path), "labels": labels_of(options.labels)}, model.inputs)


def lane_of(choice: str, settings: CodeSettings) -> Lane:
    if choice == "auto":
        return "gpu" if settings.lanes.gpu.on_cpu else "cpu"
    return "gpu" if choice == "gpu" else "cpu"


def place(name: str) -> str:
    return f"scratch:{NAME}/{{id}}/{name}"


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
