"""Figures of a night out of its recorded ticks, and of its files, against those that were counted by hand."""

from __future__ import annotations

import os
from pathlib import Path

import media
import pytest
from builders import a_device, a_reservation
from report_scene import SINCE, ReportScene, a_tick, held

from conductor.adapters.host.film_frame import frame_of
from conductor.model.spec import Output
from conductor.record import removal_notes
from conductor.verify.media_facts import DEMUXERS
from conductor.views.night.outputs import with_posters


@pytest.fixture
def night(tmp_path: Path) -> ReportScene:
    return ReportScene(tmp_path)


# ── what was recorded ─────────────────────────────────────────────────────────────────────────────────────


def test_without_a_recording_it_is_said_plainly(night: ReportScene) -> None:
    report = night.report(is_played=True)

    assert report.gates == () and report.sources.ticks == 0
    assert "Nothing was recorded" in report.what_if.because
    assert "Nothing was recorded" in report.answers[3].words


def test_a_gate_counts_while_it_is_closed_to_anybody_and_a_gap_to_nobody(night: ReportScene) -> None:
    one, first = held("one", "vram", waiting=4)
    two, second = held("two", "vram", "scratch", waiting=2)
    night.record(
        a_tick(-5, [one], [first]),
        a_tick(0, [one], [first]),
        a_tick(10, [one, two], [first, second]),
        a_tick(30),
        a_tick(40, [two], [second]),
        a_tick(4000, [one], [first]),
    )

    report = night.report()
    gates = {row.gate: row for row in report.gates}

    # 0–10: one; 10–30: both; 30–40: nobody; after 40 nobody ticked for longer than a gap may be.
    assert (gates["vram"].held_s, gates["vram"].job_s) == (30.0, 10 * 4 + 20 * 6)
    assert (gates["scratch"].held_s, gates["scratch"].job_s) == (20.0, 40.0)
    assert (report.sources.ticks, report.sources.recorded_from) == (5, SINCE)
    assert [(row.jobs, row.gates) for row in report.waiting] == [(4, ("vram",))]


def test_what_devices_promised_and_used_is_averaged_over_the_time_it_was_seen(night: ReportScene) -> None:
    (spec,) = night.jobs(1)
    night.dispatch([spec])
    night.done(spec, 0.0, node="node1")
    holding = a_reservation(vram_mib=10_000)
    used, more = (a_device(vram_used_mib=mib) for mib in (6000, 9000))
    night.record(
        a_tick(0, reservations=[holding], devices=(used,)),
        a_tick(30, reservations=[holding], devices=(more,)),
        a_tick(40),
        a_tick(50),
    )

    (row,) = night.report().devices

    assert row.total_mib == 24_576
    assert row.mean_promised_mib == round(10_000 * 40 / 50, 1)
    assert row.mean_used_mib == round((6000 * 30 + 9000 * 10) / 50, 1)


def test_who_was_under_way_at_the_last_tick_runs(night: ReportScene) -> None:
    specs = night.jobs(2)
    night.dispatch(specs)
    night.record(a_tick(0, reservations=[a_reservation(specs[0].id)]))

    jobs = night.report().jobs
    assert (jobs.running, jobs.waiting) == (1, 1)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_held_against_their_receipts(night: ReportScene) -> None:
    specs = night.jobs(4)
    night.dispatch(specs)
    for n, spec in enumerate(specs):
        night.done(spec, 100.0 * n)
    paths = [spec.writes[0].path for spec in specs]
    night.file(paths[1]).write_bytes(b"[]")
    night.file(paths[2]).unlink()

    read, glanced = night.report().outputs, night.report(is_deep=False).outputs

    assert (read.read, read.altered, read.missing) == (2, 1, 1)
    assert [row.path for row in read.rows[:2]] == paths[1:3]
    assert (glanced.present, glanced.missing) == (3, 1), "of the same size: only a look inside tells"


def test_what_a_later_job_read_is_no_product_and_what_was_removed_is_none_that_is_lost(
    night: ReportScene,
) -> None:
    (first,) = night.jobs(1, writes=(Output(path="scratch:t/middle.json"),))
    (second,) = night.jobs(1, after=(first.id,), reads=("scratch:t/middle.json",))
    night.dispatch([first, second])
    night.done(first, 1.0)
    night.done(second, 100.0)
    night.file("scratch:t/middle.json").unlink()
    note = removal_notes.RemovalNotes(
        at=1.0, path="scratch:t/middle.json", job_id=first.id, attempt=1, bytes=2
    )
    removal_notes.note(night.receipts_dir, "studio1", [note])

    found = night.report().outputs

    assert (found.files, found.read, found.removed, found.missing) == (2, 1, 1, 0)
    assert [row.path for row in found.rows] == [second.writes[0].path]


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_made_of_what_holds_one_and_nothing_else_is_opened(night: ReportScene) -> None:
    film, hostile, still = (
        night.jobs(1, writes=(Output(path=f"published:n/{name}"),))[0]
        for name in ("film.mp4", "playlist.mp4", "100%d.png")
    )
    night.dispatch([film, hostile, still])
    media.clip(night.folder / "film.mp4", seconds=0.6)
    picture = frame_of(night.folder / "film.mp4", DEMUXERS["mp4"], 0.0, 64, 20.0)
    assert picture.startswith(b"\xff\xd8") and len(picture) < 20_000
    night.done(film, 0.0, content=(night.folder / "film.mp4").read_bytes())
    night.done(hostile, 10.0, content=b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    made = media.made(
        night.folder / "made.png",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x64:d=1",
        "-frames:v",
        "1",
        "-c:v",
        "png",
    )
    night.done(still, 20.0, content=made.read_bytes())

    figures, pictures = with_posters(night.report(is_deep=False).outputs, night.settings.layout)

    assert {row.path: bool(row.poster) for row in figures.rows} == {
        "published:n/film.mp4": True,
        "published:n/playlist.mp4": False,
        "published:n/100%d.png": True,
    }
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures.values()) and len(pictures) == 2


def test_a_file_that_hangs_its_decoder_costs_its_limit(night: ReportScene) -> None:
    """Nobody writes into the FIFO."""
    fifo = night.folder / "film.mp4"
    os.mkfifo(fifo)
    assert frame_of(fifo, DEMUXERS["mp4"], 0.0, 64, 0.3) == b""
