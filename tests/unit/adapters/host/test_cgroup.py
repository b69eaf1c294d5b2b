"""The cgroup of a worker's child: entered before the child says that it is ready, left empty, and removed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host import cgroup
from conductor.views.doctor import installation
from tests.child_scene import ChildScene
from tests.strays import folders_of, getting_away, needs_cgroups, the_stray, wait_gone

BODIES = """
import subprocess
from workers import task

@task("body.start", lane="cpu")
def start(args, ctx):
    subprocess.run(args["argv"])
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildScene]:
    scene = ChildScene(tmp_path, BODIES)
    yield scene
    scene.close()
    assert folders_of(os.getpid()) == []


@needs_cgroups
def test_a_child_that_is_ready_lies_in_one_of_its_own_and_the_next_child_in_another(child: ChildScene):
    child.host.ensure(())
    (first,) = folders_of(os.getpid())
    assert (first / "cgroup.procs").read_text().split() == [str(child.host.pid)]

    child.host.kill()
    child.host.ensure(())

    (second,) = {*folders_of(os.getpid())} - {first}
    assert (second / "cgroup.procs").read_text().split() == [str(child.host.pid)]


@needs_cgroups
def test_the_end_of_a_child_ends_all_it_started_and_the_groups_below(child: ChildScene, tmp_path: Path):
    child.host.ensure(())
    child.give("body.start", {"argv": getting_away(tmp_path / "stray")})
    stray = the_stray(tmp_path / "stray")
    (folder,) = folders_of(os.getpid())
    # As a body may do that is a container's engine, say.
    (below := folder / "below").mkdir()
    (below / "cgroup.procs").write_text(str(stray))

    assert child.host.strike(child.host.pid)
    child.host.bury()

    wait_gone(stray)


@needs_cgroups
def test_what_was_not_empty_at_once_is_removed_at_the_workers_end(tmp_path: Path):
    one = cgroup.ChildCgroup()
    entry = one.make()
    (folder,) = folders_of(os.getpid())
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        os.write(entry, str(sleeper.pid).encode())
        os.close(entry)
        one.end()
        assert sleeper.wait() == -signal.SIGKILL

    one.close()

    assert not folder.exists()


@needs_cgroups
def test_a_sweep_leaves_alone_what_belongs_to_a_worker_that_lives(child: ChildScene):
    child.host.ensure(())
    cgroup.sweep()
    assert len(folders_of(os.getpid())) == 1
    assert child.run("body.start", {"argv": ["true"]}).cause is None


def test_where_there_is_none_a_child_starts_all_the_same(child: ChildScene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "own_folder", lambda: None)
    assert cgroup.ChildCgroup().make() == -1
    assert child.run("body.start", {"argv": ["true"]}).cause is None
    child.host.kill()


@pytest.mark.parametrize(
    ("files", "is_fit"),
    [
        ({"cgroup.type": "domain\n", "cgroup.kill": ""}, True),
        ({"cgroup.type": "domain invalid\n", "cgroup.kill": ""}, False),  # below a threaded one
        ({"cgroup.type": "domain\n"}, False),  # of a kernel before 5.14
    ],
)
def test_one_that_cannot_be_entered_or_ended_with_one_write_is_not_used(
    tmp_path: Path, files: dict[str, str], is_fit: bool
):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cgroup.is_fit(tmp_path) == is_fit


@pytest.mark.parametrize(
    ("own", "mount", "folder"),
    [
        ("/", "/ /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "/sys/fs/cgroup"),
        ("/user/a.scope", "/ /sys/fs/cgroup rw shared:4 - cgroup2 c rw", "/sys/fs/cgroup/user/a.scope"),
        ("/docker/ab/x", "/docker/ab /sys/fs/cgroup ro - cgroup2 cgroup2 rw", "/sys/fs/cgroup/x"),
        ("/elsewhere", "/docker/ab /sys/fs/cgroup ro - cgroup2 cgroup2 rw", None),
        ("/", "/ /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", None),
    ],
)
def test_its_own_folder_is_found_where_the_tree_or_a_part_of_it_is_mounted(
    own: str, mount: str, folder: str | None
):
    found = cgroup.folder_in([f"1:cpu:{own}", f"0::{own}"], [f"38 31 0:35 {mount}"])
    assert found == (folder and Path(folder))


def test_doctor_says_which_of_both_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "why_none", lambda: "")
    (finding,) = installation.strays()
    assert (finding.mark, finding.advice) == ("ok ", "") and "a cgroup of its own" in finding.words

    monkeypatch.setattr(cgroup, "why_none", lambda: "/sys/fs/cgroup cannot be written: Permission denied")
    (finding,) = installation.strays()
    assert finding.mark == "-- " and "Permission denied" in finding.words and "Delegate=yes" in finding.advice
