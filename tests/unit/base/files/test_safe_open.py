"""Folders by descriptor: a name that is swapped for a link between the look and the use leads nowhere."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from conductor.base.errors import BadInput, JobError
from conductor.base.files import paths, safe_open
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.receipt import Usage
from conductor.model.spec import Output
from tests.builders import a_spec
from workers.attempt import outputs, publish, saved_outputs
from workers.task_api.context import JobContext

TRIES = 300
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / CONFIG_NAME).write_text('[redis]\nurl = "redis://:a-password@h"\n')
    return load(folder)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Where nothing may ever appear."""
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@contextmanager
def swapping(folder: Path, outside: Path) -> Generator[None]:
    """`folder` is a folder and a link to `outside`, in turns, as fast as a thread can; it is never
    missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link, is_over = folder.with_name("link"), threading.Event()
    link.symlink_to(outside)
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if sys.platform != "linux" or exchange is None:
        pytest.skip("needs renameat2")
    here, there = os.fsencode(folder), os.fsencode(link)

    def swap() -> None:
        while not is_over.is_set():
            exchange(AT_FDCWD, here, AT_FDCWD, there, RENAME_EXCHANGE)

    thread, interval = threading.Thread(target=swap), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval)


def naively(base: Path, settings: Settings, n: int) -> None:
    """What was done before: look component by component, then use the name."""
    target = paths.resolve(settings.layout, f"published:a/{n}.txt", for_writing=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("x")


def by_descriptor(base: Path, settings: Settings, n: int) -> None:
    with safe_open.create(base, ("a", f"{n}.txt")) as file:
        file.write(b"x")


def race(write: Callable[[Path, Settings, int], None], settings: Settings, outside: Path, tries: int) -> int:
    base = settings.roots["published"].path
    with swapping(base / "a", outside):
        for n in range(tries):
            with suppress(OSError, BadInput):
                write(base, settings, n)
            if any(outside.iterdir()):
                break
    return len(list(outside.iterdir()))


def test_a_look_before_the_use_is_led_out_by_a_swap(settings: Settings, outside: Path):
    """The control: the race is real."""
    assert race(naively, settings, outside, 100 * TRIES) > 0


def test_a_file_made_by_descriptor_is_never_led_out(settings: Settings, outside: Path):
    assert race(by_descriptor, settings, outside, TRIES) == 0


def test_publishing_is_never_led_out(settings: Settings, outside: Path):
    base = settings.roots["published"].path
    done = 0
    with swapping(base / "a", outside):
        for n in range(TRIES):
            spec = a_spec(n, writes=(Output(path=f"published:a/deep/{n}.txt"),))
            file = base / ".tmp" / f"{spec.id}.1" / "out" / "a" / "deep"
            file.mkdir(parents=True, exist_ok=True)
            (file / f"{n}.txt").write_text("x")
            with suppress(JobError):
                outputs.put_in_place(
                    settings.layout, spec, saved_outputs.computed(settings.layout, spec, "1", {}, Usage())
                )
                done += 1
    assert list(outside.iterdir()) == [] and done > 0


def test_cleaning_up_never_removes_what_a_link_leads_to(settings: Settings, outside: Path):
    spec = a_spec(writes=(Output(path="published:x.txt"),))
    theirs = outside / f"{spec.id}.1"
    theirs.mkdir()
    base = settings.roots["published"].path
    base.mkdir(parents=True)
    (base / ".tmp").symlink_to(outside)

    publish.clean(settings.layout, spec, (1,))

    assert theirs.exists()


def test_what_is_staged_is_not_taken_through_a_link(settings: Settings, outside: Path):
    spec = a_spec(writes=(Output(path="published:a/x.txt"),))
    JobContext(spec, settings.for_code).output("published:a/x.txt").write_text("mine")
    out = settings.roots["published"].path / ".tmp" / f"{spec.id}.1" / "out"
    (outside / "x.txt").write_text("secret of somebody else")
    (out / "a").rename(out / "b")
    (out / "a").symlink_to(outside)

    with pytest.raises(BadInput, match="symbolic link"):
        outputs.put_in_place(
            settings.layout, spec, saved_outputs.computed(settings.layout, spec, "1", {}, Usage())
        )


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_component_that_is_no_folder_is_named(settings: Settings, outside: Path, kind: str):
    base = settings.roots["published"].path
    base.mkdir(parents=True)
    if kind == "link":
        (base / "a").symlink_to(outside)
    else:
        (base / "a").touch()
    with (
        pytest.raises(BadInput, match=r"published/a is a symbolic link or no folder"),
        safe_open.below(base, ("a", "b")),
    ):
        pass


def test_a_root_that_is_a_link_itself_is_the_users_wish(tmp_path: Path, outside: Path):
    (tmp_path / "root").symlink_to(outside)
    with safe_open.create(tmp_path / "root", ("a", "x")) as file:
        file.write(b"1")
    assert (outside / "a/x").read_bytes() == b"1"


@pytest.mark.parametrize(
    "name", ["line\nbreak", "%03d.txt", "quote\"'", "-rf", "tab\t", "ünïcode", "a" * 255]
)
def test_odd_names_are_names(settings: Settings, name: str):
    spec = a_spec(id="j" * 24, writes=(Output(path=f"published:{name}/{name}"),))
    ctx = JobContext(spec, settings.for_code)
    with ctx.create(f"published:{name}/{name}") as file:
        file.write(b"x")

    computed = saved_outputs.computed(settings.layout, spec, "1", {}, Usage())
    (fact,) = outputs.put_in_place(settings.layout, spec, computed).outputs

    assert (settings.roots["published"].path / name / name).read_bytes() == b"x" and fact.bytes == 1
    with ctx.read(f"published:{name}/{name}") as file:
        assert file.read() == b"x"
    publish.clean(settings.layout, spec, (1,))
    assert list((settings.roots["published"].path / ".tmp").iterdir()) == []


def test_reading_is_never_led_out(settings: Settings, outside: Path):
    (outside / "x.txt").write_text("secret")
    base = settings.roots["published"].path
    (base / "a").mkdir(parents=True)
    (base / "a/x.txt").write_text("mine")
    read: set[str] = set()
    with swapping(base / "a", outside):
        for _ in range(TRIES):
            with (
                suppress(OSError, BadInput),
                paths.open_to_read(settings.layout, "published:a/x.txt") as file,
            ):
                read.add(file.read().decode())
    assert read == {"mine"}


@pytest.mark.parametrize("path", ["conductor.toml", ".conductor/valkey/appendonly.aof", "link.txt"])
def test_no_job_reads_the_configuration_or_the_state(settings: Settings, path: str):
    """`inputs` is the project's folder by default, and conductor.toml may hold a password."""
    (settings.project / ".conductor/valkey").mkdir(parents=True)
    (settings.project / ".conductor/valkey/appendonly.aof").touch()
    os.link(settings.project / CONFIG_NAME, settings.project / "hard.txt")
    (settings.project / "link.txt").symlink_to(CONFIG_NAME)
    with pytest.raises(BadInput, match="Conductor's own"):
        paths.resolve(settings.layout, str(settings.project / path), for_writing=False)


def test_scratch_lies_in_the_state_folder_and_is_read(settings: Settings):
    file = settings.roots["scratch"].path / "x.txt"
    file.parent.mkdir(parents=True)
    file.touch()
    assert paths.resolve(settings.layout, str(file), for_writing=False) == file
