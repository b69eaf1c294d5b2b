"""Whose a file is, and what is taken from where somebody else could have put it: nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from strangers import STRANGER, give_away, needs_root

from conductor.base.errors import ConfigError
from conductor.base.project import ownership
from conductor.base.project.ownership import SAFE_FOLDERS, refuse_foreign


@pytest.fixture(autouse=True)
def no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SAFE_FOLDERS, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "project"
    folder.mkdir(parents=True)
    file = folder / "conductor.toml"
    file.touch(0o644)
    return file


def is_refused(place: Path, is_alone: bool = True) -> bool:
    try:
        refuse_foreign(place, is_alone=is_alone)
    except ConfigError:
        return True
    return False


def test_what_is_ours_alone_is_taken_and_what_is_not_there_is_nobodys(file: Path) -> None:
    refuse_foreign(file)
    refuse_foreign(file.parent)
    refuse_foreign(file.with_name("none.toml"))


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("mode", [0o666, 0o777, 0o002 | 0o755])
def test_what_everybody_can_write_or_replace_is_refused(file: Path, which: int, mode: int) -> None:
    place = (file, file.parent, file.parent.parent)[which]
    place.chmod(mode)
    with pytest.raises(ConfigError, match=r"can be written by everybody .*chmod go-w") as caught:
        refuse_foreign(file)
    assert str(place) in str(caught.value) and f"{SAFE_FOLDERS}={file.parent}" in str(caught.value)


def test_in_a_folder_like_tmp_ours_is_ours_and_what_lies_beside_it_may_be_anybodys(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert not is_refused(file, is_alone=False) and is_refused(file, is_alone=True)
    assert is_refused(file.parent, is_alone=True)
    file.chmod(0o1666)
    assert is_refused(file, is_alone=False)

    file.chmod(0o644)
    file.parent.chmod(0o755)
    file.parent.parent.chmod(0o1777)
    assert not is_refused(file)


@needs_root
@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_belongs_to_somebody_else_is_refused_with_the_remedy(file: Path, which: int) -> None:
    give_away((file, file.parent, file.parent.parent)[which])
    with pytest.raises(
        ConfigError, match=rf"belongs to uid {STRANGER}, .*{SAFE_FOLDERS}={file.parent} or a line in"
    ):
        refuse_foreign(file)


@needs_root
def test_a_link_counts_by_where_it_lies_and_by_where_it_leads(file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs" / "conductor.toml"
    theirs.parent.mkdir()
    theirs.touch()
    link = file.with_name("link.toml")
    link.symlink_to(theirs)
    assert not is_refused(link)
    give_away(theirs)
    assert is_refused(link)
    give_away(theirs, uid=0)
    give_away(link)
    assert is_refused(link)


@needs_root
def test_a_group_that_is_one_persons_own_is_no_other(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o664)
    assert not is_refused(file)  # root's own group
    os.chown(file, 0, STRANGER)
    with pytest.raises(ConfigError, match=f"written by the group {STRANGER}"):
        refuse_foreign(file)
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    os.chown(file, STRANGER, STRANGER)
    assert not is_refused(file)  # a container without names: the user and its group have one number


@needs_root
def test_root_by_sudo_takes_what_its_caller_owns_and_nobody_elses(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(file)
    for said in ("", "0", "-1", "x", str(STRANGER + 1)):
        monkeypatch.setenv("SUDO_UID", said)
        assert is_refused(file), said
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert not is_refused(file)


def test_a_listed_folder_is_trusted_with_all_below_it_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o666)
    for entry in (str(file.parent), str(file.parent.parent) + "/", "/nowhere:" + str(file.parent), "*", "/"):
        monkeypatch.setenv(SAFE_FOLDERS, entry)
        assert not is_refused(file), entry
    monkeypatch.chdir(file.parent)
    for entry in (str(file.parent)[:-1], "", ":", ".", "..", "~", str(file.parent / "x")):
        monkeypatch.setenv(SAFE_FOLDERS, entry)
        assert is_refused(file), entry


def test_the_users_own_list_counts_and_one_that_others_can_write_is_none(file: Path, tmp_path: Path) -> None:
    file.chmod(0o666)
    kept = tmp_path / "config" / "conductor" / "safe_folders"
    kept.parent.mkdir(parents=True)
    kept.write_text(f"# mine\n\n  {file.parent}  \n")
    assert not is_refused(file)
    kept.chmod(0o666)
    with pytest.raises(ConfigError, match=str(kept)):
        refuse_foreign(file)


def test_without_a_home_there_is_no_list_and_no_crash(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: (_ for _ in ()).throw(RuntimeError("no home"))))
    file.chmod(0o666)
    with pytest.raises(
        ConfigError, match=r"conductor.toml; otherwise make it yours|; otherwise make it yours"
    ):
        refuse_foreign(file)


@needs_root
def test_within_a_user_namespace_the_folders_of_root_belong_to_nobody(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("_OVERFLOW", f"{STRANGER}\n"), ("_UID_MAP", "         0       1000          1\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(ownership, name, tmp_path / name)
    give_away(file.parent.parent)
    assert not is_refused(file)
    give_away(file.parent)
    assert is_refused(file)
    give_away(file.parent, uid=0)
    (tmp_path / "_UID_MAP").write_text("         0          0 4294967295\n")
    assert is_refused(file)
