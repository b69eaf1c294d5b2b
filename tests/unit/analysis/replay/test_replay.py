"""`conductor replay`: the same answer, or the first difference in words; one moment; why one job waited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot
from cli_tools import Cli, Result
from msgspec.structs import replace

from conductor.analysis.replay.recording import Files, folder_of, read_points, read_ticks
from conductor.analysis.replay.recording_frames import BIT, Tick
from conductor.analysis.replay.replay import difference_of, replay
from conductor.analysis.replay.replay_moments import moment_of, story
from conductor.base.errors import UsageError
from conductor.base.settings.settings import Settings
from conductor.core.admission.admission import decide
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Snapshot

LIMITS = Limits()
FULL = a_candidate(a_class(vram_mib=20_000), waiting=3)


def a_tick(snapshot: Snapshot, *candidates: Any) -> Tick:
    return Tick(
        snapshot=snapshot, candidates=candidates, limits=LIMITS, decision=decide(snapshot, candidates, LIMITS)
    )


def night() -> list[Tick]:
    """A job holds the device for 100 s, then the next is admitted, runs, and is done."""
    runs = a_reservation("job-before-1", vram_mib=20_000)
    mine = "class-a-00000000"
    ticks = [
        a_tick(a_snapshot(now=NOW + t, nodes=(a_report(sent_at=NOW + t),), reservations=(runs,)), FULL)
        for t in range(0, 100, 10)
    ]
    ticks.append(a_tick(a_snapshot(now=NOW + 100, nodes=(a_report(sent_at=NOW + 100),)), FULL))
    after = a_reservation(mine, vram_mib=20_000, started_at=NOW + 101)
    left = replace(FULL, waiting=2, heads=FULL.heads[1:])
    ticks.append(
        a_tick(a_snapshot(now=NOW + 110, nodes=(a_report(sent_at=NOW + 110),), reservations=(after,)), left)
    )
    return ticks


def changed(tick: Tick, **fields: Any) -> Tick:
    return replace(tick, decision=replace(tick.decision, **fields))


def test_recorded_ticks_decided_again_are_the_same() -> None:
    found = replay(night())

    assert (found.ticks, found.same, found.difference) == (12, 12, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: {"admit": ()}, "class-a-00000000 was not admitted; now it is, to node1/gpu0"),
        (lambda d: {"hold": ()}, "the class class-a was not held; now it is"),
        (lambda d: {"next_tick_s": 7.0}, "other numbers: next_tick_s 7.0, now "),
        (
            lambda d: {
                "admit": (replace(d.admit[0], reservation=replace(d.admit[0].reservation, node="node9")),)
            },
            "was admitted to node9/gpu0; now to node1/gpu0",
        ),
        (
            lambda d: {"admit": (replace(d.admit[0], ceilings={}),)},
            "with other numbers: ceilings {}, now {'node1/gpu0",
        ),
        (
            lambda d: {"hold": (replace(d.hold[0], verdicts=()),)},
            "the class class-a was held by no gate; now by vram needs 19.5 GiB",
        ),
    ],
)
def test_the_first_difference_is_said_in_words(change: Callable[[Decision], Any], words: str) -> None:
    ticks = night()
    other = changed(ticks[10], **change(ticks[10].decision))

    found = replay([*ticks[:10], other, ticks[11]])

    assert found.difference is not None
    assert (found.same, found.difference.tick) == (11, 11)
    assert words in found.difference.words


def test_of_a_tick_without_its_holds_the_gates_tell_the_difference(tmp_path: Path) -> None:
    record(tmp_path, night())
    ticks = list(read_ticks(tmp_path))
    assert not ticks[1].is_full and ticks[1].gates == {"class-a": BIT["vram"]}

    assert difference_of(ticks[1]) is None
    other = difference_of(replace(ticks[1], gates={"class-a": BIT["ram"] | BIT["cpu"]}))
    gone = difference_of(replace(ticks[1], gates={}))

    assert other == "the class class-a was held by ram, cpu; now held by vram"
    assert gone == "the class class-a was not held; now held by vram"


def test_the_story_of_a_job_decides_one_tick_of_each_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, night())
    decided: list[float] = []

    def counted(snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> Decision:
        decided.append(snapshot.now)
        return decide(snapshot, candidates, limits)

    monkeypatch.setattr("conductor.analysis.replay.replay.decide", counted)
    points = list(read_points(tmp_path, "class-a-00000000"))

    found = story(points, "class-a-00000000", {"class-a": None})
    assert [m.state for m in found] == ["waiting", "admitted", "running"]
    assert found[0].until == NOW + 90
    assert "held for 1 min 30 s" in found[0].words[0]

    (waited,) = story(points[:9], "class-a-00000000", {"class-a": None})
    assert "held for 1 min 20 s" in waited.words[0]
    assert decided == [NOW + 80], "the tick before had all its holds"


def test_an_integer_where_the_live_snapshot_had_one_is_no_difference() -> None:
    candidate = a_candidate(a_class("cpu", cpu=10_000))  # an int in a field of cores
    assert difference_of(a_tick(a_snapshot(), candidate)) is None


def test_times_of_the_night_are_understood_on_the_day_of_the_recording() -> None:
    last = datetime(2026, 11, 22, 8, 0).astimezone().timestamp()

    assert moment_of("02:14:03", last) == datetime(2026, 11, 22, 2, 14, 3).astimezone().timestamp()
    assert moment_of("23:30:00", last) == datetime(2026, 11, 21, 23, 30).astimezone().timestamp()
    assert moment_of("02:14", last) == pytest.approx(
        datetime(2026, 11, 22, 2, 15).astimezone().timestamp(), abs=0.01
    )
    assert moment_of("2026-11-20T10:00:00", last) == datetime(2026, 11, 20, 10).astimezone().timestamp()
    assert moment_of("1700000000", last) == 1_700_000_000
    with pytest.raises(UsageError, match="is no time"):
        moment_of("soon", last)


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────


def record(folder: Path, ticks: list[Tick]) -> None:
    files = Files(folder, 1 << 20)
    for tick in ticks:
        files.append(tick)
        files.flush()
    files.close()


@pytest.fixture
def command(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    record(folder_of(project.layout), night())
    cli = Cli(project.project, capsys, monkeypatch)
    return lambda *argv: cli("replay", *argv)


def test_replay_says_that_all_is_the_same(command: Callable[..., Result]) -> None:
    found = command()

    assert found.code == 0
    assert "12 ticks" in found.out
    assert "bit for bit" in found.out


def test_replay_exits_with_1_at_a_difference(command: Callable[..., Result], tmp_path: Path) -> None:
    ticks = night()
    record(tmp_path / "other", [*ticks[:3], changed(ticks[3], admit=ticks[10].decision.admit), *ticks[4:]])

    found = command(str(tmp_path / "other"))

    assert found.code == 1
    assert "the first is tick 4" in found.out
    assert "was admitted to node1/gpu0; now it is not" in found.out
    assert command(str(tmp_path / "other"), "--json").json["difference"]["tick"] == 4


def test_why_a_job_waited_at_a_time_is_answered_with_its_gates_and_since_when(
    command: Callable[..., Result],
) -> None:
    found = command("--job", "class-a-00000000", "--at", str(NOW + 55))

    assert found.code == 0
    assert "held for 50 s (3 jobs waiting)" in found.out
    assert "vram needs 19.5 GiB, node1/gpu0 has" in found.out
    assert "job-befo" in found.out


def test_the_story_of_a_job_is_its_waits_and_runs(command: Callable[..., Result]) -> None:
    moments = command("--job", "class-a-00000000", "--json").json["moments"]

    assert [(m["state"], m["at"] - NOW) for m in moments] == [
        ("waiting", 0),
        ("admitted", 100),
        ("running", 110),
    ]
    assert command("--job", "class-a").code == 2
    assert command("--job", "nobody").code == 2


def test_one_tick_can_be_shown(command: Callable[..., Result]) -> None:
    assert "1 admitted" in command("--tick", "11").out
    assert command("--tick", "-1", "--json").json["moment"]["tick"] == 12
    assert command("--tick", "13").code == 2
    assert "there are 12" in command("--tick", "-13").err
    assert "the first tick is of" in command("--at", str(NOW - 5)).err
    assert "this is the last one before" in command("--at", str(NOW + 10_000)).out
    assert command("--tick", "2", "--job", "class-a").code == 2
    assert command("--at", str(NOW + 101), "--json").json["moment"]["tick"] == 11


def test_without_recordings_it_says_how_they_are_made(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Cli(project.project, capsys, monkeypatch)("replay")

    assert found.code == 1
    assert "records them" in found.err
    nowhere = Cli(project.project, capsys, monkeypatch)("replay", str(project.project / "nowhere"))
    assert "does not exist" in nowhere.err
