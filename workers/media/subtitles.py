"""Subtitles: SRT, WebVTT, ASS and SSA are read here, and written for a filter or a container to take."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.errors import BadInput

if TYPE_CHECKING:
    from pysubs2 import SSAFile

#: Suffix → pysubs2's name of the form.
FORMS = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}
#: A film of a day has two.
MOST_BYTES = 32 << 20
#: Subtitles without a style of their own are as large as players show them: on a picture of this height.
_HEIGHT, _SIZE, _MARGIN = 288, 16, 10
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


def is_styled(path: str | Path) -> bool:
    """Whether it says itself how it looks and where it stands."""
    return Path(path).suffix.lower() in (".ass", ".ssa")


def read(path: Path, name: str) -> SSAFile:
    """Its cues, those that are never shown left out. Raises `BadInput`."""
    import pysubs2
    from pysubs2.exceptions import Pysubs2Error

    form = FORMS.get(Path(name).suffix.lower())
    if form is None:
        raise BadInput(f"{name} is none of the subtitles that are read here: {', '.join(FORMS)}")
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{name} is larger than {MOST_BYTES >> 20} MiB: those are no subtitles")
    try:
        found = pysubs2.SSAFile.from_string(_text(path.read_bytes()), format_=form)
    except (Pysubs2Error, ValueError, IndexError, KeyError) as e:
        raise BadInput(f"{name} cannot be read as subtitles: {e}") from None
    found.events = [cue for cue in found.events if not cue.is_comment and cue.end > max(0, cue.start)]
    if not found.events:
        raise BadInput(f"{name} holds no subtitle: is it really a {form.upper()} file, and whole?")
    return found


def _text(content: bytes) -> str:
    """Of a file that does not say in which letters it is written, old programs meant those of Windows."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def is_shown(cues: SSAFile, from_s: float, until_s: float) -> bool:
    """Whether one of them is to be seen between the two."""
    return any(cue.start < until_s * 1000 and cue.end > from_s * 1000 for cue in cues.events)


def cut_at(cues: SSAFile, seconds: float, name: str) -> None:
    """A track must not be longer than its film. Raises `BadInput` where nothing is left."""
    end = round(seconds * 1000)
    cues.events = [cue for cue in cues.events if cue.start < end]
    if not cues.events:
        raise BadInput(f"{name}: its first subtitle comes after the film's end at {seconds:.1f} s")
    for cue in cues.events:
        cue.end = min(cue.end, end)


def to_burn(cues: SSAFile, target: Path, *, is_styled: bool, font: str | None, shape: float) -> None:
    """As libass draws them. `font`: the family's name; `shape`: width by height of the picture."""
    if not is_styled:
        cues.info |= {"PlayResX": str(round(_HEIGHT * shape)), "PlayResY": str(_HEIGHT)}
        for style in cues.styles.values():
            style.fontsize, style.outline, style.shadow = _SIZE, 1, 0
            style.marginl = style.marginr = style.marginv = _MARGIN
            style.fontname = font or style.fontname
    target.write_text(cues.to_string("ass"), encoding="utf-8")


def as_track(cues: SSAFile, target: Path) -> None:
    """`target`: ends in .ass where the container keeps styles, else in .srt."""
    target.write_text(cues.to_string(target.suffix[1:]), encoding="utf-8")
