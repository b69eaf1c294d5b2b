"""What shows a film to a person in a hurry: pictures at intervals, a contact sheet, pictures that move."""

from __future__ import annotations

import io
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, UsageError
from conductor.model.spec import JobSpec
from conductor.verify import picture_facts
from workers.tasks import media_preview, media_stills
from workflows.studio import plan as studio

COLOURS = ("red", "lime", "blue", "white")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four colours of a second each, 160 × 90."""
    inputs = [w for c in COLOURS for w in ("-f", "lavfi", "-i", f"color={c}:s=160x90:r=25:d=1")]
    graph = "".join(f"[{n}:v]" for n in range(4)) + "concat=n=4[v]"
    clip = tmp_path_factory.mktemp("film") / "film.mkv"
    return media.made(clip, *inputs, "-filter_complex", graph, "-map", "[v]", "-c:v", "libx264", "-g", "10")


@pytest.fixture
def bench(tmp_path: Path, film: Path) -> Bench:
    found = Bench(tmp_path)
    (found.inputs / "film.mkv").write_bytes(film.read_bytes())
    return found


def colour(picture: Any) -> str:
    """Of its middle."""
    red, green, blue = picture[picture.shape[0] // 2, picture.shape[1] // 2] > 128
    return {(1, 0, 0): "red", (0, 1, 0): "lime", (0, 0, 1): "blue", (1, 1, 1): "white"}[
        (int(red), int(green), int(blue))
    ]


def decoded(path: Path) -> np.ndarray:
    return media.frames(path)[0]


def planned(bench: Bench, *argv: str) -> list[JobSpec]:
    parser = ArgumentParser()
    studio.add_arguments(parser)
    options = parser.parse_args(["preview", str(bench.inputs), *argv])
    return list(studio.plan(options, bench.settings.for_code))


def run(bench: Bench, spec: JobSpec) -> tuple[dict[str, Any], list[Path]]:
    body = {"media.preview": media_preview.run, "media.stills": media_stills.run}[spec.task]
    writes = [output.path for output in spec.writes]
    result = bench.run(body, spec.args, reads=spec.reads, writes=writes, task=spec.task)
    return result, [bench.made(write) for write in writes]


def test_pictures_at_intervals_are_those_of_their_instants_and_the_sheet_shows_all(bench: Bench):
    (spec,) = planned(bench, "--make", "sheet", "--every", "1", "--width", "80")

    result, (*stills, sheet) = run(bench, spec)

    assert result["at_s"] == [0, 1, 2, 3]
    assert [colour(decoded(still)) for still in stills] == list(COLOURS)
    whole = decoded(sheet)
    height, width = (side // 2 for side in whole.shape[:2])
    quarters = [whole[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    assert [colour(each) for each in quarters] == list(COLOURS)
    assert width >= 80


def test_pictures_that_move_move_from_their_first_to_their_last(bench: Bench):
    (spec,) = planned(bench, "--make", "gif,webp", "--width", "80")
    spec.args.update(at=0.0, seconds=4.0, fps=5)

    _, (gif, webp) = run(bench, spec)

    pictures = media.frames(gif)
    assert [colour(picture) for picture in pictures[2::5]] == list(COLOURS)
    with av.open(str(gif)) as moving:
        assert float(moving.duration or 0) / 1e6 == pytest.approx(4, abs=0.1)
    assert webp.read_bytes().count(b"ANMF") >= len(COLOURS)
    for path in (gif, webp):
        whole = path.read_bytes()
        assert picture_facts.look(io.BytesIO(whole))[:2] == (80, 46), path
        for share in (0.1, 0.5, 0.99):
            half = picture_facts.look(io.BytesIO(whole[: int(len(whole) * share)]))
            assert half.fault is not None and "breaks off" in half.fault, (path, share)


def test_a_film_that_ends_before_its_last_picture_is_refused(bench: Bench):
    with pytest.raises(BadInput, match=r"film\.mkv is 4\.0 s long: it has no picture at 6 s"):
        writes = [f"scratch:{n}.jpg" for n in range(4)]
        bench.run(media_stills.run, {"every_s": 2}, reads=[bench.inputs / "film.mkv"], writes=writes)


def test_a_damaged_film_keeps_its_job_which_says_what_is_wrong(bench: Bench, film: Path):
    media.cut_off(bench.inputs / "half.mkv", film)
    (bench.inputs / "zero.mp4").touch()

    jobs = planned(bench, "--make", "poster,sheet", "--every", "2")

    assert [
        (Path(job.reads[0]).name, job.task, len(job.writes)) for job in jobs if "zero" in job.reads[0]
    ] == [
        ("zero.mp4", "media.preview", 1),
        ("zero.mp4", "media.stills", 1),
    ]
    with pytest.raises(BadInput, match=r"zero\.mp4 is empty"):
        run(bench, next(job for job in jobs if "zero" in job.reads[0]))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--make", "poster,movie"), "'movie' is none of poster, clip, gif, webp, sheet"),
        (("--width", "31"), "an even number between 32 and 1920"),
        (("--every", "0"), "a number of seconds above 0"),
        (("--every", "0.001"), "at most 400 pictures"),
        (("--frames", "2", "--every", "1"), "--frames and --every: one of them"),
    ],
)
def test_what_cannot_be_is_refused_by_its_option(bench: Bench, argv: tuple[str, ...], words: str):
    with pytest.raises(UsageError, match=words):
        planned(bench, *argv)
