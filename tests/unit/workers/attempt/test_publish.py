"""Publishing: whole or not at all, once, and in words when it cannot be done."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import JobError, NoSpace, PublishFailed
from conductor.base.files import cross_device_move, paths
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings, absolute
from conductor.model.media import CountedMedia, MediaFact
from conductor.model.receipt import Usage
from conductor.model.spec import JobSpec, Output
from conductor.node.cleanup.old_files import remove_empty
from tests.builders import a_spec
from workers.attempt import atomic_link, outputs, publish, saved_outputs
from workers.attempt.saved_outputs import SavedResult
from workers.task_api.context import JobContext, attempt_folder, file_mark, staged

A, B = "published:deep/a.txt", "published:b.txt"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    roots = {"scratch": Root(path=tmp_path / "scratch"), "published": Root(path=tmp_path / "published")}
    return absolute(Settings(project=tmp_path, roots=roots))


def stage(settings: Settings, spec: JobSpec, attempt: int = 1, text: str = "hello", token: str = "") -> None:
    ctx = JobContext(spec, settings.for_code, attempt=attempt, token=token)
    for output in spec.writes:
        ctx.output(output.path).write_text(text)


def put(settings: Settings, spec: JobSpec, attempt: int = 1, result: str = "") -> SavedResult:
    """What the worker does when a body has returned."""
    computed = saved_outputs.computed(settings.layout, spec, str(attempt), {"of": result or attempt}, Usage())
    return outputs.put_in_place(settings.layout, spec, computed)


def a_job(n: int = 0, *paths: str) -> JobSpec:
    return a_spec(n, writes=tuple(Output(path=path) for path in paths or (A, B)))


def no_links(monkeypatch: pytest.MonkeyPatch, *, nor_renames: bool = False) -> None:
    def refuse(*args: object, **kwargs: object) -> bool:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    if nor_renames:
        monkeypatch.setattr(atomic_link, "_rename_no_replace", refuse)


def between_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of disks: nothing goes from one folder to another."""
    link, rename = os.link, os.rename

    def refusing(real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object, **more: int) -> None:
            folders = {os.fstat(more[end]).st_ino for end in ("src_dir_fd", "dst_dir_fd") if more.get(end)}
            if len(folders) > 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            real(*args, **more)

        return call

    monkeypatch.setattr(os, "link", refusing(link))
    monkeypatch.setattr(os, "rename", refusing(rename))


WAYS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "link": lambda patch: None,
    "rename": lambda patch: no_links(patch),
    "claim": lambda patch: no_links(patch, nor_renames=True),
    "copy": between_disks,
}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every kind of file system."""
    WAYS[request.param](monkeypatch)
    return request.param


def test_outputs_appear_with_size_and_hash(settings: Settings, way: str):
    spec = a_job()
    stage(settings, spec)

    facts = put(settings, spec).outputs

    assert [(fact.path, fact.bytes, fact.sha256) for fact in facts] == [
        (path, 5, hashlib.sha256(b"hello").hexdigest()) for path in (A, B)
    ]
    assert (settings.project / "published/deep/a.txt").read_text() == "hello"


def test_a_missing_output_is_named_and_nothing_is_published(settings: Settings):
    spec = a_job()
    JobContext(spec, settings.for_code).output(A).write_text("half")

    with pytest.raises(JobError, match=r"published:b\.txt"):
        put(settings, spec)
    assert not (settings.project / "published/deep").exists()


def test_undeclared_files_stay_behind_and_are_cleaned(settings: Settings):
    spec = a_job()
    stage(settings, spec)
    (JobContext(spec, settings.for_code).output(A).parent / "more.txt").write_text("undeclared")

    put(settings, spec)
    publish.clean(settings.layout, spec, ("1",))

    assert not (settings.project / "published/deep/more.txt").exists()
    assert list(settings.project.glob("*/.tmp/*")) == []


def test_a_link_or_a_folder_is_no_output(settings: Settings):
    spec = a_job(0, B)
    staged = JobContext(spec, settings.for_code).output(B)
    staged.symlink_to("/etc/hostname")
    with pytest.raises(JobError, match="not a regular file"):
        put(settings, spec)
    staged.unlink()
    staged.mkdir()
    with pytest.raises(JobError, match="not a regular file"):
        put(settings, spec)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EROFS, PublishFailed),
        (errno.EACCES, PublishFailed),
        (errno.ESTALE, PublishFailed),
        (errno.EIO, PublishFailed),
        (errno.ENOENT, PublishFailed),
    ],
)
def test_a_disk_that_refuses_has_a_cause(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int, error: type[JobError]
):
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    spec = a_job()
    stage(settings, spec)
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(error, match="deep/a"):
        put(settings, spec)


def test_a_copy_that_was_killed_leaves_nothing_and_one_that_fails_neither(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    between_disks(monkeypatch)
    spec = a_job(0, B)
    stage(settings, spec)
    folder = settings.project / "published"
    (folder / f".{spec.id}.0badcafe.part").write_text("hel")
    (folder / ".another.0badcafe.part").write_text("another job's")
    real = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(NoSpace, match=r"b\.txt"):
        patch.setattr(cross_device_move.os, "write", full)
        put(settings, spec)
    assert {each.name for each in folder.iterdir() if each.is_file()} == {".another.0badcafe.part"}
    assert os.write is real
    put(settings, spec)
    assert (folder / "b.txt").read_text() == "hello"
    assert {each.name for each in folder.iterdir() if each.is_file()} == {".another.0badcafe.part", "b.txt"}


def test_a_copy_that_is_another_content_is_not_published(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    between_disks(monkeypatch)
    spec = a_job(0, B)
    stage(settings, spec)
    facts = publish.whole(settings.layout, spec, "1")
    stage(settings, spec, text="changed since")
    with pytest.raises(PublishFailed, match="not what its body had written"):
        publish.put(settings.layout, spec, "1", facts)
    assert not (settings.project / "published/b.txt").exists()


def test_a_root_that_is_not_mounted_gets_nothing(settings: Settings):
    marked = Root(path=settings.project / "published", marker=".conductor-mount")
    nas = msgspec.structs.replace(settings, roots={**settings.roots, "published": marked})
    spec = a_job()

    with pytest.raises(PublishFailed, match=r"not mounted: \.conductor-mount is missing"):
        stage(nas, spec)
    marked.path.mkdir()
    (marked.path / ".conductor-mount").touch()
    stage(nas, spec)
    (marked.path / ".conductor-mount").unlink()
    with pytest.raises(PublishFailed, match="not mounted"):
        put(nas, spec)


def test_an_output_that_was_not_declared_is_refused(settings: Settings):
    with pytest.raises(JobError, match="not among the job's `writes`"):
        JobContext(a_job(), settings.for_code).output("published:other.txt")


def test_a_full_disk_under_the_receipts_is_an_error_not_a_receipt(tmp_path: Path):
    from tests.unit.adapters.files.test_receipt_log import a_receipt

    log = FileReceiptLog(tmp_path, "n-w")
    log.file.symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space"):
        log.append(a_receipt())


def test_two_bodies_of_one_number_share_no_file_and_each_cleans_its_own(settings: Settings) -> None:
    spec = a_job(0, A)
    stage(settings, spec, text="mine", token="0000000a")
    stage(settings, spec, text="another's", token="0000000b")

    assert publish.bodies(settings.layout, spec) == {"1.0000000a", "1.0000000b"}
    outputs.put_in_place(
        settings.layout, spec, saved_outputs.computed(settings.layout, spec, "1.0000000a", {}, Usage())
    )
    publish.clean(settings.layout, spec, ("1.0000000a",))

    assert (settings.roots["published"].path / "deep/a.txt").read_text() == "mine"
    assert publish.bodies(settings.layout, spec) == {"1.0000000b"}


def test_what_a_child_counted_is_kept_of_files_that_nobody_wrote_to_since(settings: Settings) -> None:
    """A process that the body left behind may write on until it is ended."""
    spec = a_job(0, A, B)
    stage(settings, spec, text="as counted")
    folder = attempt_folder(settings.layout, "published", spec.id, "1")
    fact = MediaFact(pictures=50, tags={"title": "a film"})
    media = {
        path: CountedMedia(fact=fact, mark=file_mark(staged(folder, paths.split(path)[1])) or "")
        for path in (A, B)
    }
    staged(folder, paths.split(B)[1]).write_text("written to since")

    done = saved_outputs.computed(settings.layout, spec, "1", {}, Usage(), None, media)

    assert done.media == {A: fact}
    assert outputs.put_in_place(settings.layout, spec, done).media == {A: fact}


def test_what_earlier_attempts_left_is_removed_whatever_their_tokens(settings: Settings) -> None:
    spec = a_job(0, A)
    for attempt, token in ((1, "0000000a"), (1, "0000000b"), (2, "0000000c"), (11, "0000000d")):
        stage(settings, spec, attempt, token=token)

    saved_outputs.clean_before(settings.layout, spec, 2)

    assert publish.bodies(settings.layout, spec) == {"2.0000000c", "11.0000000d"}


def test_an_old_empty_folder_that_is_cleaned_away_at_that_moment_is_made_again(settings: Settings, way: str):
    """`conductor clean` removes empty folders as fast as it can, and every output finds its place."""
    root, is_over = settings.roots["published"].path, threading.Event()
    (root / "a").mkdir(parents=True)

    def cleans() -> None:
        while not is_over.is_set():
            removed.append(remove_empty(root, math.inf, is_dry_run=False))

    removed: list[int] = []
    thread = threading.Thread(target=cleans)
    thread.start()
    try:
        for n in range(60):
            spec = a_job(n, f"published:a/old/empty{n}/a.txt")
            stage(settings, spec)
            (fact,) = put(settings, spec).outputs
            assert (root / f"a/old/empty{n}/a.txt").stat().st_size == fact.bytes
    finally:
        is_over.set()
        thread.join(20)
    assert not thread.is_alive()
