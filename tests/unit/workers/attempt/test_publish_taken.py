"""What stands at an output's name: our own earlier body's, or nobody's business to certify."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import NameTaken, PublishFailed
from conductor.base.files.output_mark import ATTRIBUTE
from conductor.base.settings.settings import Settings
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from tests.unit.adapters.files.test_receipt_log import a_receipt
from tests.unit.workers.attempt.test_publish import A, B, a_job, put, settings, stage, way
from workers.attempt import existing_outputs, publish, saved_outputs
from workers.attempt.saved_outputs import SavedResult

__all__ = ["settings", "way"]


class KilledPublisher(BaseException):
    """As by SIGKILL: nothing is tidied up."""


@pytest.fixture(params=["marks", "no marks"])
def marks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems with and without attributes."""
    if request.param == "no marks":

        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(os, "setxattr", refuse)
        monkeypatch.setattr(os, "getxattr", refuse)
    return request.param


def final(settings: Settings, path: str) -> Path:
    root, _, relative = path.partition(":")
    return settings.roots[root].path / relative


def a_stranger(settings: Settings, path: str, text: str = "OLD") -> Path:
    file = final(settings, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def killed_before(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, spec: JobSpec, attempt: int, nth: int
) -> None:
    """The attempt publishes, and dies before the nth of its files has its name."""
    with monkeypatch.context() as patch:
        placed: list[str] = []

        def place(name: str, *where: object, really: Callable[..., bool] = publish.place) -> bool:
            if len(placed) == nth:
                raise KilledPublisher
            placed.append(name)
            return really(name, *where)

        patch.setattr(publish, "place", place)
        if nth < len(spec.writes):
            with pytest.raises(KilledPublisher):
                put(settings, spec, attempt)
        else:
            put(settings, spec, attempt)


def noted(settings: Settings, spec: JobSpec, done: SavedResult, **changes: object) -> Receipt:
    receipt = replace(
        a_receipt(), job_id=spec.id, attempt=int(done.body), outputs=done.outputs, result=done.result
    )
    receipt = replace(receipt, **changes)
    log = FileReceiptLog(settings.receipts_dir, "n-w")
    log.append(receipt)
    log.close()
    return receipt


# ── not ours ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_lay_there_is_not_our_output(settings: Settings, way: str, marks: str):
    spec = a_job(0, B)
    stage(settings, spec, text="NEW")
    file = a_stranger(settings, B)

    with pytest.raises(
        NameTaken, match=r"'published:b\.txt' is taken: a file .* no job known here made it .*retry"
    ) as e:
        put(settings, spec)
    assert e.value.is_lasting and e.value.cause == "publish_failed" and spec.id in str(e.value)
    assert file.read_text() == "OLD"


def test_what_was_computed_is_published_once_the_file_was_moved_away(settings: Settings, way: str):
    spec = a_job()
    stage(settings, spec, text="NEW")
    file = a_stranger(settings, B)
    with pytest.raises(NameTaken):
        put(settings, spec)

    earlier = saved_outputs.find(settings.layout, spec, below=2)
    file.rename(file.with_name("mine.txt"))

    assert earlier is not None and earlier.result == {"of": 1}
    saved_outputs.clean_before(settings.layout, spec, 2)
    from workers.attempt import outputs

    assert outputs.put_in_place(settings.layout, spec, earlier).body == "1"
    assert final(settings, A).read_text() == file.read_text() == "NEW"


OTHERS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda file: file.mkdir(),
    "a symbolic link": lambda file: file.symlink_to("/etc/hostname"),
    "a named pipe": lambda file: os.mkfifo(file),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("is_before", [True, False])
def test_what_is_no_file_is_not_our_output_either(settings: Settings, way: str, kind: str, is_before: bool):
    spec = a_job(0, B)
    final(settings, B).parent.mkdir()
    if is_before:
        OTHERS[kind](final(settings, B))
    stage(settings, spec)
    if not is_before:
        OTHERS[kind](final(settings, B))

    with pytest.raises(NameTaken, match=kind):
        put(settings, spec)
    assert final(settings, B).is_symlink() or not final(settings, B).is_file()


def test_a_link_to_the_very_content_is_no_output(settings: Settings, way: str):
    spec = a_job(0, B)
    stage(settings, spec)
    (settings.project / "elsewhere").write_text("hello")
    final(settings, B).symlink_to(settings.project / "elsewhere")

    with pytest.raises(NameTaken, match="a symbolic link"):
        put(settings, spec)


def test_another_jobs_file_is_named_as_its_own(settings: Settings, way: str, marks: str):
    one, two = a_job(1, B), a_job(2, B)
    stage(settings, one, text="one")
    done = put(settings, one)
    noted(settings, one, done)
    stage(settings, two, text="two")

    with pytest.raises(NameTaken, match=f"job {one.id} made it, as its receipt says"):
        put(settings, two)
    final(settings, B).write_text("changed")
    with pytest.raises(
        NameTaken, match=rf"job {one.id} (made it, and it was changed|published another content)"
    ):
        put(settings, two)


def test_a_mark_alone_makes_nothing_ours(settings: Settings):
    spec = a_job(0, B)
    stage(settings, spec, text="NEW")
    file = a_stranger(settings, B)
    try:
        os.setxattr(file, ATTRIBUTE, f"{spec.id} 1 {hashlib.sha256(b'OLD').hexdigest()}".encode())
    except OSError:
        pytest.skip("this file system keeps no marks")

    with pytest.raises(NameTaken, match="attempt 1 of this job made it, and no receipt says so"):
        put(settings, spec, 1)


def test_an_own_file_that_was_changed_in_place_is_not_ours(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    spec = a_job()
    stage(settings, spec, 1, "first")
    killed_before(monkeypatch, settings, spec, 1, 2)
    final(settings, A).unlink()
    a_stranger(settings, A, "changed")
    publish.clean(settings.layout, spec, ("1",))
    stage(settings, spec, 2, "second")

    with pytest.raises(NameTaken, match="no job known here made it"):
        put(settings, spec, 2)


# ── ours ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_with_the_very_content_is_as_good(settings: Settings, way: str, marks: str):
    """Its mark was lost by a copy; or another job made the same."""
    spec = a_job(0, B)
    stage(settings, spec)
    a_stranger(settings, B, "hello")

    assert put(settings, spec).body == "1"


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_publication_that_was_broken_off_is_ended_with_files_and_result_of_one_body(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, way: str, marks: str, nth: int
):
    spec = a_job()
    stage(settings, spec, 1, "first")
    killed_before(monkeypatch, settings, spec, 1, nth)

    earlier = saved_outputs.find(settings.layout, spec, below=2)
    assert earlier is not None, "the next attempt runs no body"
    saved_outputs.clean_before(settings.layout, spec, 2)
    from workers.attempt import outputs

    done = outputs.put_in_place(settings.layout, spec, earlier)
    assert (done.body, done.result) == ("1", {"of": 1})
    assert {final(settings, path).read_text() for path in (A, B)} == {"first"}


@pytest.mark.parametrize("nth", [1, 2])
def test_a_late_body_ends_what_an_earlier_one_began_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, way: str, marks: str, nth: int
):
    """The second ran already when the first, thought dead, began to publish and was killed: nothing is
    mixed.
    """
    spec = a_job()
    stage(settings, spec, 1, "first")
    stage(settings, spec, 2, "second!")
    killed_before(monkeypatch, settings, spec, 1, nth)

    done = put(settings, spec, 2)

    assert (done.body, done.result) == ("1", {"of": 1})
    assert {final(settings, path).read_text() for path in (A, B)} == {"first"}
    assert {fact.sha256 for fact in done.outputs} == {hashlib.sha256(b"first").hexdigest()}


def test_a_late_first_body_replaces_nothing(settings: Settings, way: str, marks: str):
    """It was stopped before it published; the second one is through."""
    spec = a_job()
    stage(settings, spec, 1, "first")
    stage(settings, spec, 2, "second!")
    noted(settings, spec, put(settings, spec, 2))
    publish.clean(settings.layout, spec, ("2",))

    late = put(settings, spec, 1)

    assert (late.body, late.result) == ("2", {"of": 2})
    assert {final(settings, path).read_text() for path in (A, B)} == {"second!"}


def test_what_a_receipt_of_ours_names_is_ours_without_mark_and_note(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, marks: str
):
    spec = a_job()
    stage(settings, spec, 1, "first")
    noted(settings, spec, put(settings, spec, 1))
    publish.clean(settings.layout, spec, ("1",))
    stage(settings, spec, 2, "second!")

    done = put(settings, spec, 2)

    assert (done.body, done.result) == ("1", {"of": 1})


def test_what_was_sent_back_to_be_done_again_makes_room(settings: Settings, way: str, marks: str):
    spec = a_job()
    stage(settings, spec, 1, "first")
    receipt = noted(settings, spec, done := put(settings, spec, 1))
    noted(settings, spec, done, outcome="superseded")
    stage(settings, spec, 2, "second!")

    assert saved_outputs.find(settings.layout, spec, below=2) is None, "it is void with its receipt"
    assert put(settings, spec, 2).body == "2"
    assert {final(settings, path).read_text() for path in (A, B)} == {"second!"}
    aside = settings.roots["published"].path / ".tmp/aside" / f"{spec.id}.{receipt.body}"
    assert (aside / "b.txt").read_text() == "first"


def test_a_note_that_cannot_be_written_publishes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object) -> None:
        raise OSError(30, "Read-only file system")

    spec = a_job()
    stage(settings, spec)
    monkeypatch.setattr(saved_outputs, "_write", refuse)

    with pytest.raises(PublishFailed, match="Read-only"):
        put(settings, spec)
    assert not final(settings, B).exists()


def test_whose_it_is_is_asked_only_when_something_stands_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(existing_outputs, "receipts_naming", fail)
    monkeypatch.setattr(saved_outputs, "receipts_of", fail)
    spec = a_job()
    stage(settings, spec)
    put(settings, spec)
