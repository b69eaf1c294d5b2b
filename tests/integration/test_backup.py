"""Backup and restore: one file with the record in it, nothing else, and nothing that leads out of the
project.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import conductor
from rebuild_scene import RebuildScene

from conductor.adapters.host.processes import remove_pid, write_pid
from conductor.base.errors import UsageError
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.node.single_instance import pid_path
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.recovery import backup_archive as archive
from conductor.recovery.backup import BESIDE, backup, restore


@pytest.fixture
def place(project: Settings, ledger: Ledger, redis_url: str) -> RebuildScene:
    return RebuildScene(ledger, project.project, redis_url)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(tmp_path_factory.mktemp("elsewhere"))


def names(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def an_archive(file: Path, *members: tarfile.TarInfo | str) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            content = b"{}\n" if info.isreg() else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def test_a_project_comes_back_in_another_folder_and_is_rebuilt_there(
    place: RebuildScene, project: Settings
) -> None:
    done, dead, fresh = (a_spec(n) for n in range(3))
    place.dispatch(done, dead, backlog="night")
    manifest.write(project.project / "own.jsonl", [fresh])
    assert conductor("dispatch", "own.jsonl", "--target", "backlog:day", cwd=project.project).code == 0
    place.receipt(done)
    place.receipt(dead, "failed", cause="bad_input", message="no")
    before = place.sets()
    file = project.project / "deep" / "b.tar.gz"

    saved = conductor("backup", str(file), "--json", cwd=project.project)

    assert saved.code == 0, saved.err
    assert (saved.json["manifests"], saved.json["kept"], saved.json["receipts"]) == (2, 2, 3), (
        "with the project's mark"
    )
    assert file.stat().st_mode & 0o077 == 0, "it may hold a password"
    place.flush()
    folder = project.project.parent / "new"
    folder.mkdir()
    (folder / "conductor.toml").write_text((project.project / "conductor.toml").read_text() + "# mine\n")
    back = conductor("restore", str(file), "--settings", cwd=folder)
    assert back.code == 0 and "conductor rebuild" in back.err and BESIDE in back.err
    assert (folder / "conductor.toml").read_text().endswith("# mine\n")
    rebuilt = conductor("rebuild", cwd=folder)
    assert rebuilt.code == 0, rebuilt.err
    assert {**before, "waiting": {fresh.id}, "dead": {dead.id}, "done": {done.id}} == place.sets()


def test_outputs_and_logs_are_not_in_it(place: RebuildScene, project: Settings) -> None:
    place.dispatch(a_spec(1))
    place.receipt(a_spec(1))
    (project.roots["published"].path / "film.mp4").write_bytes(b"x")
    (project.receipts_dir / "link.jsonl").symlink_to("/etc/passwd")
    backup(project.layout, project.project / "b.tar.gz")
    assert {name.split("/")[0] for name in names(project.project / "b.tar.gz")} == {
        "conductor.toml",
        "manifests",
        "receipts",
    }
    assert "receipts/link.jsonl" not in names(project.project / "b.tar.gz")


def test_what_is_appended_meanwhile_does_not_break_it(
    place: RebuildScene, project: Settings, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.receipt(a_spec(1))
    add = tarfile.TarFile.addfile

    def add_late(self: tarfile.TarFile, *args: object) -> None:
        place.receipt(a_spec(2))
        add(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "addfile", add_late)
    backup(project.layout, project.project / "b.tar.gz")
    monkeypatch.undo()
    restore(elsewhere.layout, project.project / "b.tar.gz")
    assert (elsewhere.receipts_dir / "w.jsonl").read_bytes().count(b"\n") >= 1


def test_neither_overwrites_without_being_told(place: RebuildScene, project: Settings) -> None:
    place.receipt(a_spec(1))
    file = project.project / "b.tar.gz"
    backup(project.layout, file)
    with pytest.raises(UsageError, match="there already"):
        backup(project.layout, file)
    with pytest.raises(UsageError, match="has receipts already"):
        restore(project.layout, file)
    backup(project.layout, file, is_forced=True)
    (project.receipts_dir / "w.jsonl").write_bytes(b"")
    restore(project.layout, file, is_forced=True)
    assert (project.receipts_dir / "w.jsonl").read_bytes() != b""


def test_nothing_is_put_back_beside_work(place: RebuildScene, project: Settings) -> None:
    place.receipt(a_spec(1))
    file, of_node = project.project / "b.tar.gz", pid_path(project.layout, "here")
    backup(project.layout, file)
    of_node.parent.mkdir(parents=True, exist_ok=True)
    write_pid(of_node)
    (project.receipts_dir / "w.jsonl").write_bytes(b"later")
    with pytest.raises(UsageError, match=r"is at work here .*`conductor down` first"):
        restore(project.layout, file, is_forced=True)
    assert (project.receipts_dir / "w.jsonl").read_bytes() == b"later"
    remove_pid(of_node)
    restore(project.layout, file, is_forced=True)


def a_link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("receipts/w.jsonl")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../out.jsonl",
        "/etc/out.jsonl",
        "receipts/../../out.jsonl",
        "receipts/deep/w.jsonl",
        "receipts/w.py",
        "evil.py",
        "project/tasks.py",
        "project/.git/m.jsonl",
        "project/.git/hooks/pre-commit",
        "manifests/run.sh",
        "receipts",
        a_link(tarfile.SYMTYPE, "/etc/passwd"),
        a_link(tarfile.LNKTYPE, "conductor.toml"),
        a_link(tarfile.CHRTYPE, ""),
    ],
    ids=lambda member: member if isinstance(member, str) else f"type {member.type.decode()}",
)
def test_what_no_backup_holds_is_refused_before_anything_is_written(
    elsewhere: Settings, tmp_path: Path, member: tarfile.TarInfo | str
) -> None:
    file = an_archive(tmp_path / "evil.tar.gz", "manifests/good.jsonl", member)
    with pytest.raises(UsageError):
        restore(elsewhere.layout, file)
    assert list(elsewhere.project.rglob("*")) == []


def test_settings_are_taken_only_when_asked(project: Settings, elsewhere: Settings) -> None:
    """They say what code runs, and where: `task_modules`, `shell_programs`, roots."""
    file = project.project / "b.tar.gz"
    backup(project.layout, file)
    assert "--settings" in restore(elsewhere.layout, file).notes[0]
    assert not any(elsewhere.project.glob("conductor.toml*"))

    restore(elsewhere.layout, file, with_settings=True)
    taken = elsewhere.project / "conductor.toml"
    assert taken.read_bytes() == (project.project / "conductor.toml").read_bytes()
    assert stat.S_IMODE(taken.stat().st_mode) == 0o600


def test_what_is_restored_has_the_rights_that_the_umask_gives(project: Settings, elsewhere: Settings) -> None:
    file = an_archive(project.project / "b.tar.gz", "receipts/w.jsonl")
    before = os.umask(0o077)
    try:
        restore(elsewhere.layout, file)
    finally:
        os.umask(before)
    assert stat.S_IMODE((elsewhere.receipts_dir / "w.jsonl").stat().st_mode) == 0o600


def a_bomb(file: Path, kind: bytes, name: str, size: int) -> Path:
    """A member that says it is `size` bytes of zeros, and is; packed to a thousandth."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
        out.write(bytes(1024))
    return file


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (tarfile.REGTYPE, "receipts/w.jsonl"),
        (tarfile.GNUTYPE_LONGNAME, "././@LongLink"),
        (tarfile.XHDTYPE, "x"),
        (tarfile.XGLTYPE, "x"),
        (tarfile.GNUTYPE_SPARSE, "receipts/w.jsonl"),
    ],
)
def test_a_small_file_that_unpacks_to_a_large_one_is_refused_unread(
    elsewhere: Settings, tmp_path: Path, kind: bytes, name: str
) -> None:
    file = a_bomb(tmp_path / "b.tar.gz", kind, name, 256 << 20)
    assert file.stat().st_size < 2 << 20
    tracemalloc.start()
    with pytest.raises(UsageError):
        restore(elsewhere.layout, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20 and not any(elsewhere.project.rglob("*"))


def test_more_files_than_a_project_has_are_refused(
    elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    file = an_archive(tmp_path / "b.tar.gz", *(f"manifests/{n}.jsonl" for n in range(4)))
    with pytest.raises(UsageError, match="more than a backup"):
        restore(elsewhere.layout, file)
    assert not any(elsewhere.project.rglob("*"))


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_begun(
    elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.recovery.backup.free_bytes", lambda _: 2)
    with pytest.raises(UsageError, match="has room for 2 B"):
        restore(elsewhere.layout, an_archive(tmp_path / "b.tar.gz", "manifests/a.jsonl"))
    assert not any(elsewhere.project.rglob("*"))


def test_a_name_that_is_in_it_twice_is_refused(elsewhere: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        restore(
            elsewhere.layout, an_archive(tmp_path / "b.tar.gz", "manifests/a.jsonl", "manifests/./a.jsonl")
        )


def test_a_folder_that_is_a_link_leads_nowhere(elsewhere: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    elsewhere.manifests_dir.mkdir()
    (elsewhere.manifests_dir / "x").symlink_to(outside)
    with pytest.raises(UsageError, match="leads out"):
        restore(elsewhere.layout, an_archive(tmp_path / "b.tar.gz", "manifests/x/m.jsonl"))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: b"not an archive"], ids=["cut", "garbage"]
)
def test_a_broken_file_is_refused_whole(
    place: RebuildScene, project: Settings, elsewhere: Settings, spoil: Callable[[bytes], bytes]
) -> None:
    place.receipt(a_spec(1))
    file = project.project / "b.tar.gz"
    backup(project.layout, file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UsageError):
        restore(elsewhere.layout, file)
    assert list(elsewhere.project.rglob("*")) == []


def test_a_backup_that_cannot_be_finished_leaves_nothing(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(Exception, match="No space left"):
        backup(project.layout, project.project / "b.tar.gz")
    assert list(project.project.glob("*b.tar.gz*")) == []


def test_passwords_in_settings_do_not_go_into_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from conductor.base import secrets

    monkeypatch.setattr(secrets, "_known", set[str]())
    project = tmp_path / "project"
    project.mkdir()
    url = "redis://worker:pass%2Fword-of-redis@127.0.0.1:1/0"
    (project / CONFIG_NAME).write_text(f'# Not pass/word-of-redis\n[redis]\nurl = "{url}"\n')
    moved = backup(load(project).layout, tmp_path / "x.tar.gz")

    with tarfile.open(tmp_path / "x.tar.gz") as archive:
        member = archive.extractfile(CONFIG_NAME)
        assert member is not None
        said = member.read().decode()
    assert said == '# Not ***\n[redis]\nurl = "redis://worker:***@127.0.0.1:1/0"\n'
    assert any("put them in again" in note for note in moved.notes)
