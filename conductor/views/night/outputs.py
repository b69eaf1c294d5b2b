"""The files of a night: is it what was made. Read whole, now or beside the run, or only looked at; and a
picture of the first products."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat
from pathlib import Path, PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.host.film_frame import frame_of, still_of
from conductor.base.errors import BadInput
from conductor.base.files.layout import Layout
from conductor.base.files.paths import resolve, split
from conductor.model.media import MediaFact
from conductor.model.receipt import OutputFact
from conductor.model.spec import JobSpec
from conductor.record import removal_notes
from conductor.verify.claims import NO_CLAIM, Claim, claims
from conductor.verify.file_facts import NOT_THERE, Noted, opened
from conductor.verify.media_facts import DEMUXERS, is_media, is_stream
from conductor.verify.output_facts import output_facts
from conductor.verify.picture_facts import is_picture
from conductor.verify.read_back import notes_of
from conductor.verify.verify import output_faults
from conductor.views.night.document import OutputFigures, OutputRow, OutputState
from conductor.views.night.record import NightRecord

#: So many files are listed.
MOST_ROWS = 200
MOST_POSTERS, POSTER_WIDTH = 24, 320
#: For one picture, for all of them together, and how far into a film.
POSTER_S, ALL_POSTERS_S, INTO_S = 10.0, 60.0, 3.0
#: Files that are looked at side by side.
WINDOW = 64
#: What ffmpeg takes a still picture for.
STILLS = {"jpg": "jpeg_pipe", "jpeg": "jpeg_pipe", "png": "png_pipe"}

OnLooked = Callable[[int, int], None]


class Made(Struct, frozen=True, kw_only=True):
    """One published file, as its receipt has it. `attempt`: the accepted one."""

    fact: OutputFact
    job_id: str
    task: str
    attempt: int
    ended_at: float
    expect: Mapping[str, object]
    claim: Claim
    #: What was counted in it before it was published.
    media: MediaFact | None


def outputs_of(
    record: NightRecord,
    receipts_dir: Path,
    layout: Layout,
    on_looked: OnLooked = lambda done, count: None,
    *,
    is_deep: bool,
) -> OutputFigures:
    """All that jobs of the night published. `is_deep`: read whole, as `conductor verify` does."""
    made = sorted(_made(record), key=lambda each: (each.ended_at, each.fact.path, each.job_id))
    roots = layout.ephemeral_roots()
    gone = removal_notes.gone(receipts_dir) if roots else frozenset[tuple[str, str, int]]()
    gone = frozenset(each for each in gone if split(each[0])[0] in roots)
    rows = list(_looked(made, layout, gone, on_looked, is_deep=is_deep))
    count = Counter(row.state for row in rows)
    read_on = {path for line in record.lines.values() if line.spec for path in line.spec.reads}
    return OutputFigures(
        files=len(rows),
        bytes=sum(row.bytes for row in rows),
        read=count["read"],
        present=count["present"],
        removed=count["removed"],
        altered=count["altered"],
        missing=count["missing"],
        rows=_listed(rows, read_on),
    )


def _made(record: NightRecord) -> Iterator[Made]:
    for job_id, receipt in record.done():
        spec = record.lines[job_id].spec
        said = claims(spec, receipt.result) if spec is not None else {}
        for fact in receipt.outputs:
            yield Made(
                fact=fact,
                job_id=job_id,
                task=receipt.task,
                attempt=receipt.attempt,
                ended_at=receipt.ended_at,
                expect=_expected(spec),
                claim=said.get(fact.path, NO_CLAIM),
                media=receipt.media.get(fact.path),
            )


def _expected(spec: JobSpec | None) -> Mapping[str, object]:
    return {} if spec is None else spec.expect


def _listed(rows: Iterable[OutputRow], read_on: Set[str]) -> tuple[OutputRow, ...]:
    """What is wrong first, then what no other job read on: the products."""
    wrong: list[OutputRow] = []
    products: list[OutputRow] = []
    for row in rows:
        if row.state in ("altered", "missing"):
            wrong.append(row)
        elif row.state != "removed" and row.path not in read_on:
            products.append(row)
    return (*wrong, *products)[:MOST_ROWS]


# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────


def _looked(
    made: list[Made], layout: Layout, gone: Set[tuple[str, str, int]], on_looked: OnLooked, *, is_deep: bool
) -> Iterator[OutputRow]:
    look = partial(_read, noted=notes_of(layout.state_dir).known) if is_deep else _glanced
    files = iter(made)
    done = 0
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while window := list(islice(files, WINDOW)):
            for each, (state, fault) in zip(window, pool.map(look, window, repeat(layout)), strict=True):
                if state == "missing" and (each.fact.path, each.job_id, each.attempt) in gone:
                    state, fault = "removed", ""
                done += 1
                yield OutputRow(
                    path=each.fact.path,
                    job_id=each.job_id,
                    task=each.task,
                    bytes=each.fact.bytes,
                    sha256=each.fact.sha256,
                    state=state,
                    fault=fault,
                )
            on_looked(done, len(made))


def _read(made: Made, layout: Layout, noted: Noted) -> tuple[OutputState, str]:
    seen = output_facts(layout, made.fact.path, made.fact, made.media, made.claim, noted)
    faults = [words for _, words in output_faults(made.fact, seen, made.expect, made.claim)]
    return _state(faults[0] if faults else "", "read")


def _glanced(made: Made, layout: Layout) -> tuple[OutputState, str]:
    try:
        with opened(resolve(layout, made.fact.path, for_writing=False)) as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return "missing", NOT_THERE
    except BadInput as e:
        return "altered", str(e)
    except OSError as e:
        return "altered", f"cannot be read: {e.strerror}"
    wanted = made.fact.bytes
    return _state("" if size == wanted else f"has {size} bytes, {wanted} were published", "present")


def _state(fault: str, good: OutputState) -> tuple[OutputState, str]:
    if not fault:
        return good, ""
    return ("missing" if fault == NOT_THERE else "altered"), fault


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────


def with_posters(figures: OutputFigures, layout: Layout) -> tuple[OutputFigures, dict[str, bytes]]:
    """The figures with the names of pictures, and these by name. Of what is whole only; bounded in number,
    size and time: which files have one is no figure."""
    until = time.monotonic() + ALL_POSTERS_S
    rows: list[OutputRow] = []
    pictures: dict[str, bytes] = {}
    for row in figures.rows:
        is_wanted = row.state in ("read", "present") and len(pictures) < MOST_POSTERS
        left_s = until - time.monotonic()
        picture = _poster(row.path, layout, min(POSTER_S, left_s)) if is_wanted and left_s > 0 else b""
        if picture:
            name = hashlib.sha256(picture).hexdigest()
            pictures[name] = picture
            row = replace(row, poster=name)
        rows.append(row)
    return replace(figures, rows=tuple(rows)), pictures


def _poster(path: str, layout: Layout, limit_s: float) -> bytes:
    ending = PurePosixPath(path).suffix.lower().removeprefix(".")
    try:
        file = resolve(layout, path, for_writing=False)
        if is_picture(path):
            return still_of(file, STILLS[ending], POSTER_WIDTH, limit_s)
        if is_media(path) and is_stream(file):
            return frame_of(file, DEMUXERS[ending], INTO_S, POSTER_WIDTH, limit_s)
    except (BadInput, OSError):
        pass
    return b""
