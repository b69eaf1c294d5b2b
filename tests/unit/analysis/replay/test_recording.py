"""Recordings: what comes back is what went in, bounded, without secrets, also from a file that was cut
off.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot
from loguru import logger
from msgspec.structs import replace

from conductor.analysis.replay.recording import (
    MARK,
    WAITING_TICKS,
    Files,
    Recorder,
    files_of,
    read_ticks,
)
from conductor.analysis.replay.recording_frames import FULL_EVERY_S, Tick, gates_of
from conductor.base.errors import ConfigError
from conductor.core.admission.admission import decide
from conductor.model.limits import Limits

LIMITS = Limits()


def a_tick(n: int = 0) -> Tick:
    """A job runs, a class is held by its VRAM, another is admitted from."""
    runs = a_reservation("job-running-1", vram_mib=20_000, usage=None, progress=n / 100)
    candidates = (
        a_candidate(a_class(vram_mib=20_000), waiting=40),
        a_candidate(a_class("cpu", id="class-b", cpu=1.0), waiting=2),
    )
    snapshot = a_snapshot(now=NOW + n, nodes=(a_report(sent_at=NOW + n),), reservations=(runs,))
    return Tick(
        snapshot=snapshot, candidates=candidates, limits=LIMITS, decision=decide(snapshot, candidates, LIMITS)
    )


def record(folder: Path, ticks: list[Tick], max_bytes: int = 64 << 20) -> None:
    files = Files(folder, max_bytes)
    for tick in ticks:
        files.append(tick)
        files.flush()
    files.close()


def as_read(ticks: list[Tick]) -> list[Tick]:
    """With the closed gates, and now and then with all holds."""
    return [
        replace(
            tick,
            gates=gates_of(tick.decision),
            is_full=n % FULL_EVERY_S == 0,
            decision=tick.decision if n % FULL_EVERY_S == 0 else replace(tick.decision, hold=()),
        )
        for n, tick in enumerate(ticks)
    ]


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(lambda message: found.append(message.record["message"]), level="WARNING")
    yield found
    logger.remove(sink)


def test_what_is_read_is_what_was_recorded(tmp_path: Path) -> None:
    ticks = [a_tick(n) for n in range(50)]

    with Recorder(tmp_path, 64 << 20) as recorder:
        for tick in ticks:
            recorder.record(tick.snapshot, tick.candidates, tick.limits, tick.decision)

    found = list(read_ticks(tmp_path))
    assert found == as_read(ticks)
    assert ticks[0].decision.admit and ticks[0].decision.hold[0].since == NOW
    assert [tick.is_full for tick in found] == [n % FULL_EVERY_S == 0 for n in range(50)]


def test_a_tick_that_is_like_the_last_takes_little(tmp_path: Path) -> None:
    record(tmp_path, [a_tick(n) for n in range(500)])

    assert files_of(tmp_path)[0].stat().st_size < 500 * 250


def test_the_recordings_stay_below_their_bound_and_the_oldest_goes(tmp_path: Path) -> None:
    bound = 1 << 16
    for start in range(0, 60_000, 3_000):
        record(tmp_path, [a_tick(n) for n in range(start, start + 150)], bound)

    assert sum(file.stat().st_size for file in files_of(tmp_path)) <= bound
    kept = [tick.snapshot.now - NOW for tick in read_ticks(tmp_path)]
    assert kept == sorted(kept)
    assert kept[0] > 0
    assert kept[-1] == 57_149


def test_what_was_given_is_in_its_file_before_the_next_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may go over the end of a file: what of it was still being packed was lost."""
    monkeypatch.setattr("conductor.analysis.replay.recording.MOST_PLAIN_BYTES", 1)
    files = Files(tmp_path, 1 << 30)
    for n in range(6):
        files.append(a_tick(n))
    files.flush()
    files.close()
    assert [tick.snapshot.now for tick in read_ticks(tmp_path)] == [a_tick(n).snapshot.now for n in range(6)]


def test_of_a_file_that_was_cut_off_anywhere_all_whole_ticks_are_read(tmp_path: Path) -> None:
    ticks = [a_tick(n) for n in range(20)]
    record(tmp_path, ticks)
    file = files_of(tmp_path)[0]
    whole = file.read_bytes()

    counts = []
    for size in (*range(0, len(whole), 7), len(whole)):
        file.write_bytes(whole[:size])
        found = list(read_ticks(tmp_path))
        assert found == as_read(ticks)[: len(found)]
        counts.append(len(found))

    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 20)


def test_a_damaged_file_gives_what_stands_before_the_fault(tmp_path: Path, warnings: list[str]) -> None:
    ticks = [a_tick(n) for n in range(300)]
    record(tmp_path, ticks)
    file = files_of(tmp_path)[0]
    content = bytearray(file.read_bytes())
    assert len(content) > 3 << 12, "several pieces are unpacked"
    content[-500:-400] = b"\xff" * 100  # at the very end it may look like one that was cut short
    file.write_bytes(bytes(content))

    found = list(read_ticks(tmp_path))

    assert 0 < len(found) < 300
    assert found == as_read(ticks)[: len(found)]
    assert "damaged" in warnings[0]


def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else altogether")
    with pytest.raises(ConfigError, match="is no recording of ticks"):
        list(read_ticks(tmp_path / "x"))
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_ticks(tmp_path / "nothing"))


def test_notes_of_tasks_and_signatures_stay_out(tmp_path: Path) -> None:
    runs = a_reservation(note="password: hunter2", signature="f00dfeed")
    snapshot = a_snapshot(reservations=(runs,))
    record(
        tmp_path,
        [Tick(snapshot=snapshot, candidates=(), limits=LIMITS, decision=decide(snapshot, (), LIMITS))],
    )

    (found,) = read_ticks(tmp_path)

    assert found.snapshot.reservations == (replace(runs, note="", signature=""),)


def test_only_its_owner_may_read_a_recording(tmp_path: Path) -> None:
    record(tmp_path / "ticks", [a_tick()])

    (file,) = files_of(tmp_path / "ticks")
    assert (tmp_path / "ticks").stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}\.\d{{6}}Z-{os.getpid()}\.ticks", file.name)
    assert file.read_bytes().startswith(MARK)


def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "ticks").write_text("a file where the folder should be")
    tick = a_tick()

    with Recorder(tmp_path / "ticks", 1 << 20) as recorder:
        for _ in range(200):
            recorder.record(tick.snapshot, tick.candidates, tick.limits, tick.decision)

    assert len(warnings) == 1
    assert "no longer recorded" in warnings[0]
    assert all(thread.name != "recorder" for thread in threading.enumerate()), "it was waited for in vain"


def test_ticks_beyond_what_may_wait_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick, recorder = a_tick(), Recorder(tmp_path, 1 << 20)
    start = recorder._write_all  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(recorder, "_write_all", lambda: None)
    for _ in range(400):
        recorder.record(tick.snapshot, tick.candidates, tick.limits, tick.decision)
    recorder._queue.get_nowait()  # pyright: ignore[reportPrivateUsage]
    recorder.record(tick.snapshot, tick.candidates, tick.limits, tick.decision)
    recorder._queue.get_nowait()  # pyright: ignore[reportPrivateUsage]
    recorder._queue.put(None)  # pyright: ignore[reportPrivateUsage]
    start()

    assert [tick.skipped for tick in read_ticks(tmp_path)][-1] == 400 - WAITING_TICKS
