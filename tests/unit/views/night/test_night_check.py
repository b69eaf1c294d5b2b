"""Who changes a report is told of it: each figure, the text, a picture, the signature."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from builders import a_reservation
from report_scene import SINCE, ReportScene, a_tick, held

from conductor.base.errors import ConfigError
from conductor.base.signing import Signer
from conductor.model.limits import Order, PlaceRule
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.views.as_json import complete
from conductor.views.night.check import NOT_FIGURES, checked, flat
from conductor.views.night.document import NightReport
from conductor.views.night.page import encoded, render

KEY, OTHER = Signer("a key of this test"), Signer("another key of it")
#: These say what is asked, and how: with another answer to them it is another report.
QUESTION = ("since", "until", "is_deep", "is_played")
WORDS = {
    ".tone": ("plain", "good"),
    ".state": ("altered", "read"),
    ".rule.order": get_args(Order),
    ".rule.place": get_args(PlaceRule),
}
NASTY = "</script><script>alert(1)</script> \u202egpj.exe\x1b[31m & \"'"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> ReportScene:
    """A bit of everything."""
    night = ReportScene(tmp_path_factory.mktemp("night"))
    done, lost, dead, waits = night.jobs(4)
    (behind,) = night.jobs(1, after=(dead.id,))
    night.dispatch([done, lost, dead, waits, behind])
    night.failed(done, 0.0, usage=Usage(vram_mib=100))
    night.done(done, 60.0, attempt=2, asked=AdmittedNeeds(duration_s=50.0))
    night.done(lost, 120.0)
    night.file(lost.writes[0].path).unlink()
    night.failed(dead, 200.0, cause="bad_input", message=NASTY)
    night.note(SINCE + 1, what="foretold", backlog="night", jobs=5, instant=int(SINCE) + 600)
    hold, candidate = held("one", "vram")
    runs = a_reservation(done.id, class_id="one", vram_mib=100)
    night.record(
        a_tick(0, [hold], [candidate]),
        a_tick(30, [hold], [candidate], [runs]),
        a_tick(50, reservations=[runs]),
    )
    return night


@pytest.fixture(scope="module")
def report(night: ReportScene) -> NightReport:
    return night.report(is_played=True)


def write(folder: Path, report: NightReport, signer: Signer | None = None) -> Path:
    seal = "" if signer is None else signer.seal_report(encoded(report).encode())
    file = folder / "night.html"
    file.write_text(render(report, {}, seal))
    return file


def figures(report: NightReport) -> list[str]:
    return [name for name, _ in flat(complete(report)) if name not in (*NOT_FIGURES, *QUESTION, "v")]


def mutated(report: NightReport, name: str) -> NightReport:
    """With one figure changed, however it is typed."""
    fields = msgspec.to_builtins(complete(report))
    *way, last = steps(name)
    holder: Any = fields
    for step in way:
        holder = holder[step]
    holder[last] = another(name, holder[last])
    return msgspec.convert(fields, NightReport)


def steps(name: str) -> Iterator[str | int]:
    for part in name.split("."):
        word, *places = part.replace("]", "").split("[")
        yield word
        yield from map(int, places)


def another(name: str, value: Any) -> Any:
    for ending, words in WORDS.items():
        if name.endswith(ending):
            return next(word for word in words if word != value)
    if value is None:
        return 1
    return (
        not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value}x"
    )


def test_what_was_just_made_holds(night: ReportScene, report: NightReport, tmp_path: Path) -> None:
    found = night.check(write(tmp_path, report))
    assert (found.differences, found.notes) == ((), ()) and found.figures > 150


def test_each_figure_that_is_changed_is_named(
    night: ReportScene, report: NightReport, tmp_path: Path
) -> None:
    """Also by somebody who draws the page anew, so that its text goes with it."""
    missed: list[str] = []
    for name in figures(report):
        changed = mutated(report, name)
        if name.endswith(".poster"):
            continue
        found = checked(write(tmp_path, changed), lambda theirs: report, None)
        word = "the recording" if name == "sources.ticks" else name
        if not any(each.startswith(f"{word}: ") for each in found.differences):
            missed.append(name)
    assert missed == []


def test_a_text_that_is_changed_is_shown_against_its_figures(
    night: ReportScene, report: NightReport, tmp_path: Path
) -> None:
    file = write(tmp_path, report)
    page = file.read_text()
    file.write_text(page.replace("2 of 5 jobs done", "5 of 5 jobs done", 1))
    (heading,) = night.check(file).differences
    assert heading.startswith("the text: it shows «Waiting for you:") and "5 of 5 jobs done" in heading

    file.write_text(page.replace("</main>", "<p>All is well.</p></main>"))
    assert night.check(file).differences == ("the text: «All is well.» is not in its figures",)

    file.write_text(page.replace("<main>", "<main hidden>"))
    assert night.check(file).differences == ("the text: its markup is not what Conductor draws",)


def test_a_figure_that_is_changed_in_the_file_alone_is_named_with_its_text(
    night: ReportScene, report: NightReport, tmp_path: Path
) -> None:
    file = write(tmp_path, report)
    file.write_text(file.read_text().replace('"dead":1,', '"dead":0,', 1))
    found = night.check(file).differences
    assert "jobs.dead: 0 in the file, 1 by the record" in found


def test_the_signature_is_of_this_key_and_of_these_figures(
    night: ReportScene, report: NightReport, tmp_path: Path
) -> None:
    assert night.check(write(tmp_path, report, KEY), KEY).differences == ()
    assert "it does not fit" in night.check(write(tmp_path, report, OTHER), KEY).differences[0]
    assert "there is none" in night.check(write(tmp_path, report), KEY).differences[0]

    # Neither when it was made nor by which version can be worked out again: only the signature tells.
    sealed = KEY.seal_report(encoded(report).encode())
    file = tmp_path / "night.html"
    file.write_text(render(msgspec.structs.replace(report, made_at=1.0), {}, sealed))
    assert len(night.check(file, KEY).differences) == 1
    notes = night.check(file).notes
    assert len(notes) == 1 and "no key is set here" in notes[0]


def test_a_picture_that_is_another_is_named(night: ReportScene, report: NightReport, tmp_path: Path) -> None:
    import hashlib

    picture, false = b"\xff\xd8 a picture", b"\xff\xd8 another one"
    name = hashlib.sha256(picture).hexdigest()
    rows = list(report.outputs.rows)
    at = next(n for n, row in enumerate(rows) if row.state == "read")
    rows[at] = msgspec.structs.replace(rows[at], poster=name)
    outputs = msgspec.structs.replace(report.outputs, rows=tuple(rows))
    with_picture = msgspec.structs.replace(report, outputs=outputs)
    file = tmp_path / "night.html"
    file.write_text(render(with_picture, {name: picture}, ""))
    assert night.check(file).differences == ()

    page = file.read_text()
    file.write_text(page.replace(base64.b64encode(picture).decode(), base64.b64encode(false).decode()))
    assert "it is not the one that was made" in night.check(file).differences[0]


def test_a_recording_that_is_gone_is_said_and_a_signature_vouches_for_it(
    night: ReportScene, report: NightReport, tmp_path: Path
) -> None:
    folder = night.place.ticks
    away = folder.rename(folder.with_name("away"))
    try:
        (said,) = night.check(write(tmp_path, report)).differences
        found = night.check(write(tmp_path, report, KEY), KEY)
    finally:
        away.rename(folder)
    assert said.startswith("the recording: 3 ticks of that time are gone")
    assert found.differences == () and "the signature vouches for them" in found.notes[0]


def test_what_came_to_the_record_since_is_said(
    report: NightReport, night: ReportScene, tmp_path: Path
) -> None:
    file = write(tmp_path, report)
    (late,) = night.jobs(1)
    lines = night.log.file.read_bytes()
    night.done(late, 300.0)
    try:
        found = night.check(file)
    finally:
        night.log.file.write_bytes(lines)
    assert "jobs.done: 2 in the file, 3 by the record" in found.differences
    assert "the record has 1 receipts of that time more" in found.notes[0]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"<p>a page</p>", b'<script type="application/json" id="figures">{}']
)
def test_what_is_no_report_is_said_in_a_sentence(night: ReportScene, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.html"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is no report of Conductor"):
        night.check(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        night.check(tmp_path / "none.html")


def test_what_strangers_wrote_is_text_and_nothing_else(report: NightReport) -> None:
    page = render(report, {}, "")
    assert page.count("<script") == page.count("</script>") == 2, "the figures and the seal"
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert not {"\u202e", "\x1b", "\u2028"} & set(page)
    assert "http:" not in page and "https:" not in page.replace(NASTY, "")
