"""Does a report still hold: each figure worked out again and compared, the text held against the figures, the
signature against the key. What differs is named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from conductor.base.errors import ConfigError
from conductor.base.signing import Signer
from conductor.base.text import many, printable
from conductor.model.spec import Value
from conductor.views.as_json import complete
from conductor.views.night.document import DeviceFigures, NightReport, OutputFigures, OutputRow, Sources
from conductor.views.night.make import with_words
from conductor.views.night.page import FIGURES, SEAL, encoded, render

MOST_FILE_BYTES = 64 << 20
#: So much of two values that differ is shown.
SHOWN = 120
#: Not worked out of the record: when it was made and by which version.
NOT_FIGURES = ("made_at", "version")

_BLOCK = r'<script type="application/json" id="{name}">(.*?)</script>'
_PICTURE = re.compile(r'src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"')

ANOTHER_ZONE = (
    "the clocks of this host do not stand as those where it was made: if that was in another zone, name it "
    "(TZ=Europe/Berlin conductor report --check FILE)"
)

#: A report of the same time, worked out again.
Again = Callable[[NightReport], NightReport]


class Checked(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`differences`: each with the name of the figure. `notes`: what could not be held against anything."""

    file: str
    since: float
    until: float
    figures: int
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.differences


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds."""

    page: str
    report: NightReport
    seal: str
    pictures: dict[str, bytes]


def read_file(file: Path) -> ReadFile:
    """Raises `ConfigError` for what is no report, or one of another version's."""
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise ConfigError(f"{file} is no report: it has more than {MOST_FILE_BYTES >> 20} MiB")
        page = file.read_bytes().decode()
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no report of Conductor: it is no UTF-8 text") from None
    try:
        report = msgspec.json.decode(_block(page, FIGURES, file), type=NightReport)
        seal = msgspec.json.decode(_block(page, SEAL, file), type=str)
    except msgspec.DecodeError as e:
        raise ConfigError(f"the figures in {file} cannot be read by this version of Conductor: {e}") from None
    return ReadFile(page=page, report=report, seal=seal, pictures=dict(_pictures(page)))


def _block(page: str, name: str, file: Path) -> str:
    found = re.findall(_BLOCK.format(name=name), page, re.DOTALL)
    if len(found) != 1:
        raise ConfigError(f"{file} is no report of Conductor: make one with `conductor report --html FILE`")
    return found[0]


def _pictures(page: str) -> Iterator[tuple[str, bytes]]:
    for text in _PICTURE.findall(page):
        try:
            picture = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue  # The text of the page differs then.
        yield hashlib.sha256(picture).hexdigest(), picture


def checked(file: Path, again: Again, signer: Signer | None) -> Checked:
    """Raises `ConfigError` as `read_file`."""
    read = read_file(file)
    theirs, ours = read.report, again(read.report)
    is_signed = bool(signer and read.seal and signer.is_report_sealed(encoded(theirs).encode(), read.seal))
    ours, gone = _as_far_as_recorded(theirs, ours)
    ours = replace(ours, outputs=_with_posters(theirs.outputs, ours.outputs))
    differences = [*_of_seal(read, signer, is_signed=is_signed), *_of_text(read)]
    differences += differing(theirs, _in_their_words(ours, theirs))
    notes = list(_of_version(theirs))
    if theirs.clock != ours.clock:
        notes.append(ANOTHER_ZONE)
    if read.seal and signer is None:
        notes.append(
            "it is signed, and no key is set here (redis.signing_key_env): its signature was not looked at"
        )
    if gone and is_signed:
        notes.append(f"{gone}; the signature vouches for them")
    elif gone:
        differences.append(gone)
    if theirs.sources.receipts < ours.sources.receipts:
        more = ours.sources.receipts - theirs.sources.receipts
        notes.append(f"the record has {more} receipts of that time more than when it was made")
    return Checked(
        file=str(file),
        since=theirs.since,
        until=theirs.until,
        figures=sum(1 for _ in flat(complete(theirs))),
        differences=tuple(differences),
        notes=tuple(notes),
    )


def _of_seal(read: ReadFile, signer: Signer | None, *, is_signed: bool) -> Iterator[str]:
    if signer is None or is_signed:
        return
    if not read.seal:
        yield "the signature: there is none, and this project signs its reports (redis.signing_key_env)"
    else:
        yield "the signature: it does not fit; the figures were changed, or it was signed with another key"


def _of_version(theirs: NightReport) -> Iterator[str]:
    from importlib.metadata import version

    if theirs.version != version("conductor-jobs"):
        yield f"it was made by version {theirs.version} of Conductor: other words are no other figures"


def _of_text(read: ReadFile) -> Iterator[str]:
    """What a person sees is what the figures give, to the last byte."""
    named = {row.poster for row in read.report.outputs.rows if row.poster}
    for name in sorted(named - read.pictures.keys()):
        row = next(row for row in read.report.outputs.rows if row.poster == name)
        yield f"the picture of {printable(row.path)}: it is not the one that was made"
    drawn = render(read.report, read.pictures, read.seal)
    if drawn == read.page:
        return
    shown, given = _words(read.page), _words(drawn)
    for there, here in zip(shown, given, strict=False):
        if there != here:
            yield f"the text: it shows «{_short(there)}», its figures give «{_short(here)}»"
            return
    if len(shown) != len(given):
        longer = shown if len(shown) > len(given) else given
        extra = longer[min(len(shown), len(given))]
        is_more = len(shown) > len(given)
        yield f"the text: «{_short(extra)}» {'is not in its figures' if is_more else 'is not shown'}"
        return
    yield "the text: its markup is not what Conductor draws"


def _words(page: str) -> list[str]:
    """What is shown, piece by piece."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    pieces = (" ".join(unescape(piece).split()) for piece in re.split(r"<[^>]*>", page))
    return [piece for piece in pieces if piece]


def _in_their_words(ours: NightReport, theirs: NightReport) -> NightReport:
    """In the clock times of the file: how clocks stood is one difference, and not one of every sentence."""
    return replace(with_words(replace(ours, clock=theirs.clock)), clock=ours.clock)


# ── figure by figure ──────────────────────────────────────────────────────────────────────────────────────


def differing(theirs: NightReport, ours: NightReport) -> Iterator[str]:
    there, here = dict(flat(complete(theirs))), dict(flat(complete(ours)))
    for name in dict.fromkeys((*there, *here)):
        if name in NOT_FIGURES:
            continue
        if name not in here:
            yield f"{name}: {_short(there[name])} in the file, nothing by the record"
        elif name not in there:
            yield f"{name}: nothing in the file, {_short(here[name])} by the record"
        elif there[name] != here[name]:
            yield f"{name}: {_short(there[name])} in the file, {_short(here[name])} by the record"


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """«jobs.done» → 212, «gates[0].held_s» → 4320.0."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for key, item in fields.items():
            yield from flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[Any]", value)):
            yield from flat(item, f"{name}[{at}]")
    else:
        yield name, value


def _short(value: object) -> str:
    words = printable(str(value))
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 1]}…"


# ── what is no longer there ───────────────────────────────────────────────────────────────────────────────


def _as_far_as_recorded(theirs: NightReport, ours: NightReport) -> tuple[NightReport, str]:
    """Ticks are kept within a bound: what was worked out of those that are gone cannot be held against
    anything."""
    if ours.sources.ticks >= theirs.sources.ticks:
        return ours, ""
    there, here = theirs.sources, ours.sources
    open_jobs = ours.jobs.running + ours.jobs.waiting
    running = min(theirs.jobs.running, open_jobs)
    sources = Sources(
        receipts=here.receipts,
        manifests=here.manifests,
        notes=here.notes,
        ticks=there.ticks,
        skipped_ticks=there.skipped_ticks,
        recorded_from=there.recorded_from,
        recorded_until=there.recorded_until,
    )
    vram = {(row.node, row.device): row for row in theirs.devices}
    filled = replace(
        ours,
        jobs=replace(ours.jobs, running=running, waiting=open_jobs - running),
        gates=theirs.gates,
        waiting=theirs.waiting,
        devices=tuple(_with_vram(row, vram.get((row.node, row.device))) for row in ours.devices),
        what_if=theirs.what_if,
        sources=sources,
    )
    lost = there.ticks - here.ticks
    words = "so gates, VRAM, what waited and what one thing more would have bought cannot be worked out again"
    return filled, f"the recording: {lost} ticks of that time are gone, {words}"


def _with_vram(row: DeviceFigures, told: DeviceFigures | None) -> DeviceFigures:
    if told is None:
        return row
    return replace(
        row,
        total_mib=told.total_mib,
        mean_promised_mib=told.mean_promised_mib,
        mean_used_mib=told.mean_used_mib,
    )


def _with_posters(theirs: OutputFigures, ours: OutputFigures) -> OutputFigures:
    """Which files have a picture is no figure; that it is the one that was made is looked at elsewhere."""
    known = {(row.path, row.job_id): row.poster for row in theirs.rows}

    def with_poster(row: OutputRow) -> OutputRow:
        return replace(row, poster=known.get((row.path, row.job_id), ""))

    return replace(ours, rows=tuple(with_poster(row) for row in ours.rows))


# ── in words ──────────────────────────────────────────────────────────────────────────────────────────────


def check_lines(found: Checked) -> list[str]:
    notes = [f"note: {note}" for note in found.notes]
    if found.is_good:
        return [f"{found.file}: {many(found.figures, 'figure')}, each as the record gives it", *notes]
    head = f"{found.file}: {many(len(found.differences), 'difference')} from what the record gives"
    return [head, *(f"  {each}" for each in found.differences), *notes]
