"""Published files are read back beside the run: what was noted is taken by `verify` as long as nobody wrote
to the file, and what is not as it was published is said at once. A real child reads real files.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from verify_scene import VerifyScene, only

from conductor.adapters.host import background_reader, change_times, host_probe
from conductor.adapters.host.background_reader import BackgroundReader
from conductor.adapters.host.change_times import is_stamping
from conductor.base.files.fingerprint import state_of
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.spec import JobSpec
from conductor.verify import file_facts, read_back
from conductor.verify.read_back import FILE, SETTLE_S, ReadBack, notes_of
from conductor.verify.read_back_progress import read_progress
from conductor.views.now import now_of
from conductor.views.status import Status
from conductor.views.status_text import lines

#: JSON, since its suffix says so.
CONTENT = b'{"a": 1}'
OTHER = b'{"a": 2}'


class ReadBackScene(VerifyScene):
    """With a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.now = 0.0
        self.is_stamping = True
        self.read_back = self.reading()

    def reading(self) -> ReadBack:
        return ReadBack(self.settings.layout, None, lambda: self.now, lambda device: self.is_stamping)

    def made(self, n: int = 0, **changes: Any) -> tuple[JobSpec, Path, Receipt]:
        spec = self.job(n)
        receipt = self.done(spec, CONTENT, ended_at=time.time(), **changes)
        return spec, self.file(spec.writes[0].path), receipt

    def turn(self, seconds: float = SETTLE_S) -> None:
        """Look for news; and once more when they have settled."""
        self.read_back.turn()
        self.now += seconds
        self.read_back.turn()

    def noted(self) -> int:
        """Outputs that a verify need not read."""
        return self.verify(noted=notes_of(self.settings.state_dir).known).read_back


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadBackScene]:
    monkeypatch.setattr(file_facts, "NOTED_BYTES", 1)
    monkeypatch.setattr(read_back, "NOTED_BYTES", 1)
    made = ReadBackScene(tmp_path)
    with made.read_back:
        yield made
    made.log.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events."""
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(read_back, "emit_event", lambda name, *words, **fields: heard.append({name: fields}))
    return heard


def altered(file: Path) -> None:
    """In its place, of the same size, with its time put back."""
    before = file.stat()
    file.write_bytes(OTHER)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_read_back_is_not_read_again_and_the_report_says_so(
    scene: ReadBackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.made(0)
    scene.turn()
    scene.made(1)

    report = scene.verify(noted=notes_of(scene.settings.state_dir).known)

    assert report.is_good and (report.outputs, report.read_back, report.bytes) == (2, 1, 2 * len(CONTENT))
    assert "2 outputs checked (16 B), 1 of them read back before and not written to since" in report.to_text()
    assert scene.verify().read_back == 0, "as `verify --again` asks"


def test_a_file_is_not_read_twice_by_those_who_follow(scene: ReadBackScene) -> None:
    _, file, _ = scene.made()
    scene.turn()
    (file.parent / "another name").hardlink_to(file)  # Another time of change: now its note says nothing.
    scene.now, scene.read_back = 0.0, scene.reading()
    with scene.read_back:
        scene.turn(0.0)
        assert scene.noted() == 0
        scene.turn()
        assert scene.noted() == 1


@pytest.mark.parametrize("is_first_read", [True, False])
def test_a_file_that_is_altered_with_its_time_put_back_is_found(
    scene: ReadBackScene, told: list[dict[str, Any]], *, is_first_read: bool
) -> None:
    spec, file, _ = scene.made()
    if is_first_read:
        scene.turn()
    altered(file)
    scene.turn()

    assert only(scene.verify(noted=notes_of(scene.settings.state_dir).known)).kind == "altered"
    said = {"file": spec.writes[0].path, "about": "diagnostics.echo · out.json"}
    said |= {"job_id": spec.id, "task": spec.task}
    assert told == ([] if is_first_read else [{"output.altered": said}]), "by the first who reads it"


def test_who_asks_meanwhile_is_told_how_far_it_is(scene: ReadBackScene) -> None:
    state_dir = scene.settings.state_dir
    assert read_progress(state_dir) is None
    _, file, _ = scene.made(0)
    scene.made(1)
    scene.read_back.turn()
    begun = read_progress(state_dir)
    assert begun is not None and (begun.files, begun.left) == (0, 2)

    altered(file)
    scene.now += SETTLE_S
    scene.read_back.turn()
    scene.now += SETTLE_S
    scene.read_back.turn()

    found = read_progress(state_dir)
    assert found is not None and (found.files, found.left, found.altered) == (1, 0, 1)
    words = "1 published file read back, as published; 1 not as published: `conductor verify` names them"
    status = Status(now=0.0, read_back=found)
    assert words in lines(status) and now_of(status).proved == words

    (state_dir / "read_back.json").write_bytes(b"{half")
    assert read_progress(state_dir) is None


def test_a_file_is_read_only_when_it_has_stood_in_one_state(scene: ReadBackScene) -> None:
    _, file, _ = scene.made()
    scene.turn(SETTLE_S / 2)
    assert scene.noted() == 0, "a write within one tick of its clock would not show"
    os.utime(file)
    scene.turn(SETTLE_S / 2)
    assert scene.noted() == 0, "it was in another state meanwhile"
    scene.turn()
    assert scene.noted() == 1


def test_what_a_note_says_that_is_not_wanted_proves_nothing(scene: ReadBackScene) -> None:
    _, file, _ = scene.made()
    notes_of(scene.settings.state_dir).note(file, state_of(file), hashlib.sha256(OTHER).hexdigest())
    assert scene.verify(noted=notes_of(scene.settings.state_dir).known).is_good
    altered(file)
    notes_of(scene.settings.state_dir).note(file, state_of(file), hashlib.sha256(OTHER).hexdigest())
    assert only(scene.verify(noted=notes_of(scene.settings.state_dir).known)).kind == "altered"


def test_notes_end_with_the_boot_and_can_be_deleted(
    scene: ReadBackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.made()
    scene.turn()
    assert scene.noted() == 1
    monkeypatch.setattr(host_probe, "boot_id", lambda: "another boot")
    assert scene.noted() == 0
    monkeypatch.undo()
    (scene.settings.state_dir / FILE).unlink()
    assert scene.noted() == 0


def test_nothing_is_noted_where_times_of_change_can_be_set(
    scene: ReadBackScene, told: list[dict[str, Any]]
) -> None:
    scene.made()
    scene.is_stamping = False
    scene.turn()
    assert (scene.noted(), told) == (0, [])


def test_a_job_that_is_made_again_is_held_against_its_later_receipt(
    scene: ReadBackScene, told: list[dict[str, Any]]
) -> None:
    """What stands there while it is made again is no fault either."""
    spec, file, receipt = scene.made()
    scene.read_back.turn()
    scene.receipt(spec, 1, outcome="superseded", token=receipt.token, ended_at=time.time())
    file.write_bytes(OTHER)
    for _ in range(2):
        scene.turn()
    assert (scene.noted(), told) == (0, [])
    digest = hashlib.sha256(OTHER).hexdigest()
    outputs = (OutputFact(path=spec.writes[0].path, bytes=len(OTHER), sha256=digest),)
    scene.receipt(spec, 2, outcome="ok", outputs=outputs, ended_at=time.time())
    scene.turn()
    assert (scene.noted(), told) == (1, [])


def test_what_is_removed_when_all_had_read_it_is_no_news(
    scene: ReadBackScene, told: list[dict[str, Any]]
) -> None:
    _, first, _ = scene.made(0)
    _, second, _ = scene.made(1)
    first.unlink()
    scene.read_back.turn()
    second.unlink()
    scene.turn()
    assert told == []


def test_what_was_read_is_told_when_the_work_is_over_or_now_and_then(
    scene: ReadBackScene, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "PATIENCE_S", 1000.0)  # The turns are taken here.
    scene.read_back.tick(has_work=True)
    for n in range(3):
        scene.made(n)
        scene.turn()
        scene.read_back.say()
    assert told == [], "while there is work it waits"
    scene.now += read_back.WORD_S
    scene.read_back.say()
    scene.made(3)
    scene.turn()
    scene.read_back.tick(has_work=False)
    for _ in range(2):
        scene.read_back.say()
    assert told == [{"output.read_back": {"files": 3}}, {"output.read_back": {"files": 1}}]


def test_what_is_long_done_is_left_to_verify(scene: ReadBackScene) -> None:
    scene.done(scene.job(), CONTENT, ended_at=time.time() - read_back.TAIL_S - 60)
    scene.turn()
    assert scene.noted() == 0


def test_the_thread_begins_with_work_and_has_seen_the_last_of_it(
    scene: ReadBackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()
    for name in ("PATIENCE_S", "LOOK_S", "SETTLE_S"):
        monkeypatch.setattr(read_back, name, 0.001)
    monkeypatch.setattr(read_back.HashTable, "note", lambda *_: seen.set())
    scene.made()
    with ReadBack(scene.settings.layout) as beside:
        beside.tick(has_work=False)
        assert not [t for t in threading.enumerate() if t.name == "read-back"]
        beside.tick(has_work=True)
        assert seen.wait(30)


# ── the child ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that takes longer to read than anybody waits; on disk it takes nothing."""
    file = tmp_path / "endless"
    with file.open("wb") as opened:
        opened.truncate(1 << 42)
    return file


def test_who_waits_for_a_long_file_is_let_go(endless: Path) -> None:
    reader = BackgroundReader()
    state = reader.state(endless)
    assert state == state_of(endless)
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(reader.sha256(endless, state)))
    waiting.start()
    reader.stop()
    waiting.join(30)
    assert found == [None] and reader.state(endless) is None
    reader.rest()


def test_a_child_whose_parent_was_killed_does_not_read_on(endless: Path) -> None:
    with subprocess.Popen(
        background_reader.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode({"path": str(endless), "state": state_of(endless)}) + b"\n")
        child.stdin.close()
        try:
            assert child.wait(30) == 0
        finally:
            child.kill()


def test_a_child_that_was_killed_is_followed_by_another(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(CONTENT)
    reader = BackgroundReader()
    assert (state := reader.state(file)) is not None
    reader.rest()
    assert reader.sha256(file, state) == hashlib.sha256(CONTENT).hexdigest()
    file.write_bytes(OTHER)
    assert reader.sha256(file, state) is None, "of another state nothing is said"
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    assert [reader.state(tmp_path / name) for name in ("none", "link", "pipe", ".")] == [None] * 4
    reader.rest()


# ── file systems ──────────────────────────────────────────────────────────────────────────────────────────

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:41 / /mnt/nas rw,relatime shared:9 - nfs4 nas:/films rw,vers=4.2,hard
41 22 0:42 / /mnt/loose rw,relatime shared:9 - nfs4 nas:/films rw,vers=4.2,hard,nocto
42 22 8:17 / /media/stick rw,relatime - exfat /dev/sdb1 rw
43 22 0:43 / /mnt/smb rw,relatime - cifs //nas/films rw
44 22 0:44 / /mnt/cloud rw,relatime shared:3 - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("device", "stamps"),
    [((254, 0), 1), ((0, 41), 1), ((0, 42), 0), ((8, 17), 0), ((0, 43), 0), ((0, 44), 0), ((0, 99), 1)],
)
def test_which_file_systems_stamp_a_file_at_each_write(device: tuple[int, int], stamps: int) -> None:
    assert is_stamping(os.makedev(*device), MOUNTS) == bool(stamps)


def test_where_mounts_cannot_be_read_none_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    assert change_times.stamps_changes(device)
    monkeypatch.setattr(change_times, "MOUNTS", tmp_path / "none")
    assert not change_times.stamps_changes(device)
