"""What a node removes, and what it never does."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from ledger_scenes import NODE

from conductor.base.files.output_mark import ATTRIBUTE
from conductor.base.settings.settings import Settings
from conductor.model.chains import RemovableFile
from conductor.node.cleanup.file_removal import finish
from conductor.record import removal_notes

JOB = "made-it-0000000"


class Named:
    """A ledger that names some files, and hears which are dealt with."""

    def __init__(self, *facts: RemovableFile) -> None:
        self.facts = list(facts)
        self.files = self

    def begin_removal(self, node: str, most: int = 1000) -> tuple[RemovableFile, ...]:
        return tuple(self.facts)

    def gone(self, node: str, paths: list[str]) -> None:
        self.facts = [fact for fact in self.facts if fact.path not in paths]


def a_file(settings: Settings, path: str, text: str = "0123456789", maker: str | None = JOB) -> Path:
    root, _, relative = path.partition(":")
    file = settings.roots[root].path / relative
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    if maker is not None:
        try:
            os.setxattr(file, ATTRIBUTE, f"{maker} 2 {'0' * 64}".encode())
        except OSError:
            pytest.skip("this file system keeps no marks")
    return file


def fact(path: str, size: int = 10) -> RemovableFile:
    return RemovableFile(path=path, job_id=JOB, attempt=2, bytes=size)


def remove(settings: Settings, *facts: RemovableFile) -> int:
    ledger = Named(*facts)
    count = finish(settings.layout, ledger, NODE, 7.0)  # type: ignore[arg-type]
    assert ledger.facts == []
    return count


def test_it_removes_what_a_job_made_and_its_own_folder_and_notes_it_first(project: Settings) -> None:
    path = f"scratch:w/{JOB}/x"
    file = a_file(project, path)

    assert remove(project, fact(path)) == 1

    assert not file.parent.exists()
    assert file.parent.parent.is_dir()
    assert removal_notes.gone(project.receipts_dir) == {(path, JOB, 2)}
    assert remove(project, fact(path)) == 0, "what is not there is done"


@pytest.mark.parametrize(
    ("path", "size", "maker"),
    [
        (f"scratch:w/{JOB}/x", 11, JOB),
        (f"scratch:w/{JOB}/x", 10, "somebody-else-000"),
        ("scratch:w/x", 10, None),
        (f"published:w/{JOB}/x", 10, JOB),
        (f"scratch:.tmp/{JOB}.1/x", 10, JOB),
    ],
    ids=[
        "another size",
        "another maker",
        "no proof of its maker",
        "a root that is not ephemeral",
        "not a file of a job",
    ],
)
def test_it_leaves_what_is_not_what_was_published(
    project: Settings, path: str, size: int, maker: str | None
) -> None:
    file = a_file(project, path, maker=maker)

    assert remove(project, fact(path, size)) == 0

    assert file.exists()
    assert removal_notes.gone(project.receipts_dir) == frozenset()


def test_it_follows_no_link_out_of_the_root(project: Settings, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "x").write_text("0123456789")
    base = project.roots["scratch"].path
    base.mkdir(parents=True, exist_ok=True)
    (base / JOB).symlink_to(precious)

    assert remove(project, fact(f"scratch:{JOB}/x")) == 0

    assert (precious / "x").exists()


def test_nothing_is_removed_where_the_user_says_so(project: Settings) -> None:
    path = f"scratch:w/{JOB}/x"
    file = a_file(project, path)
    kept = msgspec.structs.replace(project.roots["scratch"], is_ephemeral=False)
    settings = msgspec.structs.replace(project, roots={**project.roots, "scratch": kept})

    assert remove(settings, fact(path)) == 0

    assert file.exists()


def test_a_cut_note_says_nothing_and_harms_no_later_one(tmp_path: Path) -> None:
    one = removal_notes.RemovalNotes(at=1.0, path="scratch:a", job_id=JOB, attempt=1, bytes=1)
    removal_notes.note(tmp_path, "n", [one])
    file = tmp_path / "n.removed"
    file.write_bytes(file.read_bytes() + b'{"at":2.0,"path":"scr')
    removal_notes.note(
        tmp_path, "n", [removal_notes.RemovalNotes(at=3.0, path="scratch:b", job_id=JOB, attempt=1, bytes=1)]
    )

    assert [note.path for note in removal_notes.read(tmp_path)] == ["scratch:a", "scratch:b"]
