"""The journal of dispatches: durable, torn tails tolerated, several hosts, a project that moves."""

from __future__ import annotations

import fcntl
import gzip
import os
import time
from pathlib import Path
from typing import cast

import pytest

from conductor.adapters.files.rotation import rotate_file
from conductor.record.journal import Journal, Word, places, settled_by_operator


def a_manifest(folder: Path, text: str = "{}\n") -> Path:
    path = folder / "manifests" / "m.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_manifest_is_noted_once_and_again_when_it_changed_or_went_elsewhere(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    for _ in range(2):
        journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    assert len(journal.notes()) == 1
    journal.dispatched(a_manifest(tmp_path, "{}\n{}\n"), "night", 2, "g1")
    journal.dispatched(a_manifest(tmp_path), "day", 1, "g1")
    journal.dispatched(a_manifest(tmp_path), "day", 1, "g2")
    assert len(journal.notes()) == 4


def test_what_a_host_notes_whose_clock_is_hours_behind_is_noted_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, real = Journal(tmp_path / "receipts"), time.time
    journal.dispatched(a_manifest(tmp_path), "before", 1, "g1")
    began = real() + 3_600
    assert journal.notes_since(began) == []

    monkeypatch.setattr(time, "time", lambda: real() - 7_200)
    journal.place("paused", "gpu")
    os.utime(journal.file, (began + 1, began + 1))

    assert [note.what for note in journal.notes_since(began)][-1:] == ["paused"]


def test_behind_what_was_noted_since_all_comes_along_whatever_its_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, real, began = Journal(tmp_path / "receipts"), time.time, time.time() - 60
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    journal.place("paused", "gpu")
    monkeypatch.setattr(time, "time", lambda: real() - 7_200)
    other = Journal(tmp_path / "receipts")
    other.file = other.folder / "behind.journal"
    other.place("resumed", "gpu")
    os.utime(other.file, (real() - 7_200, real() - 7_200))  # A file server whose clock is as wrong.

    assert [note.what for note in journal.notes_since(began)] == ["dispatched", "paused", "resumed"]


def test_how_a_ledger_stands_to_what_was_dispatched(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    assert journal.ledger_match(None).sentence is None
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    assert journal.ledger_match("g1").sentence is None
    for other in (None, "g2"):
        ledger_match = journal.ledger_match(other)
        assert ledger_match.is_lost and ledger_match.lives == 1
        assert ledger_match.sentence is not None and "conductor rebuild" in ledger_match.sentence


def test_a_project_can_be_moved_as_a_whole(tmp_path: Path) -> None:
    old = tmp_path / "old"
    Journal(old / "receipts").dispatched(a_manifest(old), "night", 1, "g1")
    new = old.rename(tmp_path / "new")
    (source,) = Journal(new / "receipts").ledger_match("g1").sources
    assert source.manifest == new / "manifests" / "m.jsonl" and source.content() == source.kept


def test_a_cut_line_says_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    with journal.file.open("ab") as file:
        file.write(b'{"at":1,"what":"retr')
    assert len(journal.notes()) == 1
    journal.operator("retried", {"abcdefgh": 2})
    assert [note.what for note in journal.notes()] == ["dispatched", "retried"]


def test_several_hosts_write_and_all_is_read_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    other = Journal(tmp_path / "receipts")
    other.file = other.folder / "elsewhere.journal"
    other.dispatched(a_manifest(tmp_path), "night", 1, "g2")
    assert [note.generation for note in journal.notes()] == ["g1", "g2"]
    assert journal.ledger_match("g2").sentence is None


def test_without_a_dispatch_from_here_the_operators_word_needs_no_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.operator("cancelled", {"abcdefgh": 0})
    assert not journal.folder.exists()


def test_the_operators_last_word_holds(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    journal.operator("cancelled", {"aaaaaaaa": 0, "bbbbbbbb": 1})
    journal.operator("retried", {"bbbbbbbb": 1})
    assert settled_by_operator(journal.notes()) == ({"bbbbbbbb": 1}, {"aaaaaaaa": 0})


def test_the_last_word_on_a_place_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    words: tuple[tuple[Word, str], ...] = (
        *(("paused", "gpu"), ("resumed", "gpu"), ("paused", "io")),
        *(("draining", ""), ("fed", "studio1")),
    )
    for what, place in words:
        journal.place(what, place)

    assert places(journal.notes()) == ({"io"}, {""})
    assert journal.ledger_match(None).sentence is None, "a pause is no dispatch: nothing is missing"


def test_no_clock_says_which_word_was_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host an hour ahead pauses and cancels, one that is days behind takes it back."""
    manifest = a_manifest(tmp_path)
    hosts = {name: Journal(tmp_path / "receipts") for name in ("ahead", "behind")}
    for name, journal in hosts.items():
        journal.file = journal.folder / f"{name}.journal"
    ahead, behind = time.time() + 3600, time.time() - 500_000
    for name, clock, what in (("ahead", ahead, "paused"), ("behind", behind, "resumed")):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        hosts[name].dispatched(manifest, "night", 1, f"of {name}")
        hosts[name].operator("cancelled" if what == "paused" else "retried", {"aaaaaaaa": 1})
        hosts[name].place(cast("Word", what), "gpu")

    notes = Journal(tmp_path / "receipts").notes()

    assert [note.n for note in notes] == [1, 2, 3, 4, 5, 6]
    assert places(notes) == (frozenset(), frozenset())
    assert settled_by_operator(notes) == ({"aaaaaaaa": 1}, {})
    assert len(hosts["ahead"].ledger_match("of behind").present) == 1


def test_each_content_that_was_dispatched_is_kept_and_the_same_one_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    texts = ("{}\n", "{}\n{}\n", "{}\n")
    for text in texts:
        journal.dispatched(a_manifest(tmp_path, text), "night", 1, "g1")
    first, second = journal.ledger_match("g1").sources
    assert (
        first.kept is not None
        and second.kept is not None
        and first.kept.parent == journal.folder / "manifests"
    )
    assert [
        gzip.decompress(source.kept.read_bytes()).decode() for source in (first, second) if source.kept
    ] == [
        "{}\n",
        "{}\n{}\n",
    ]
    assert first.order > second.order, "it was dispatched again, last"
    first.kept.write_bytes(b"damaged")
    journal.dispatched(a_manifest(tmp_path), "night", 1, "g1")
    assert first.content() == first.kept


def test_a_journal_that_is_put_elsewhere_under_our_hands_gets_the_note_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.place("paused", "gpu")
    flock = fcntl.flock

    def moved(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        flock(fd, how)
        journal.file.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(fcntl, "flock", moved)
    journal.place("resumed", "gpu")
    assert [note.what for note in journal.notes()] == ["resumed"]


def test_a_note_is_written_without_reading_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = Journal(tmp_path / "receipts"), Journal(tmp_path / "receipts")
    other.file = other.folder / "other-host.journal"
    journal.place("paused", "gpu")
    other.acted("retry", "anna", "state:dead", 7)
    journal.operator("retried", {f"job-{i:08}": 1 for i in range(5000)})

    def refuse(self: Journal) -> list[object]:
        raise AssertionError("all notes were read, for one number")

    with monkeypatch.context() as no_reading:
        no_reading.setattr(Journal, "notes", refuse)
        journal.place("resumed", "gpu")
        other.place("draining", "")

    assert [note.n for note in journal.notes()] == [1, 2, 3, 4, 5]


def test_behind_a_line_that_was_cut_the_numbers_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    for _ in range(2):
        journal.place("paused", "gpu")
    with journal.file.open("ab") as file:
        file.write(b'{"at":1,"n":99,"what":"retr')
    journal.place("resumed", "gpu")
    assert [note.n for note in journal.notes()] == [1, 2, 3]


def test_where_all_notes_of_a_file_lie_in_archives_their_numbers_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "receipts")
    for _ in range(3):
        journal.place("paused", "gpu")
    rotate_file(journal.file, lambda line: True, "20261130T020000Z")
    journal.place("resumed", "gpu")
    assert [note.n for note in journal.notes()] == [1, 2, 3, 4]
