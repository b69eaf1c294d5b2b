"""What our dead leave on a device, told apart from what strangers take."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from conductor.adapters.files.vram_claims import VramClaim
from conductor.adapters.host.nvml_probe import MIB, RawDevice, RawGpus, RawProcess, parse
from conductor.node.health.quarantine import GRACE_S, Holder, Warden

TOTAL = 24576


@dataclass
class QuarantineScene:
    words: dict[str, int] = field(default_factory=dict[str, int])
    ended: list[Holder] = field(default_factory=list[Holder])
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    now: float = 1_000_000.0

    def __post_init__(self) -> None:
        self.warden = Warden(lambda: self.words, self.ended.append)

    def process(self) -> int:
        """The pid of a real process, one of worker «w1» until it is `lose`d."""
        self.processes.append(subprocess.Popen(["sleep", "60"]))
        return self.processes[-1].pid

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def look(self, used: int, *held: tuple[int, int | None], ours: tuple[int, ...] = ()) -> str | None:
        """A second later: MiB used, (pid, MiB) of whom the driver lists. Why the device is quarantined."""
        self.now += 1.0
        listed = tuple(RawProcess(pid=pid, used_bytes=mib and mib * MIB) for pid, mib in held)
        raw = RawGpus(
            devices=(
                RawDevice(
                    index=0, uuid="u", total_bytes=TOTAL * MIB, used_bytes=used * MIB, processes=listed
                ),
            )
        )
        vram_claims = {"w1": VramClaim(worker="w1", job_id="abcdefghijkl", about="media.cut · a.mp4")}
        owner = dict.fromkeys(ours, "w1").get
        (device,) = self.warden.look(parse(raw)[0], raw, owner, vram_claims, self.now)
        return device.quarantined

    def look_on(self, used: int, *held: tuple[int, int | None]) -> str | None:
        """Until the grace is over."""
        answers = [self.look(used, *held) for _ in range(int(GRACE_S) + 2)]
        return answers[-1]


@pytest.fixture
def scene() -> Iterator[QuarantineScene]:
    it = QuarantineScene()
    yield it
    it.kill()


def test_a_device_that_keeps_what_a_dead_process_of_ours_took_is_quarantined_and_comes_back_by_itself(
    scene: QuarantineScene,
):
    scene.look(500)
    pid = scene.process()
    assert scene.look(6700, (pid, 6200), ours=(pid,)) is None
    scene.kill()

    assert scene.look(6700) is None, "the driver needs a moment"
    why = scene.look_on(6700)

    assert why is not None and why.startswith(
        f"keeps 6.1 GiB after media.cut · a.mp4 (abcdefgh) ended (pid {pid} is gone), since "
    )
    assert scene.look(6500) == why
    assert scene.look(600) is None


def test_one_that_gives_it_back_within_the_grace_is_not(scene: QuarantineScene):
    scene.look(500)
    pid = scene.process()
    scene.look(6700, (pid, 6200), ours=(pid,))
    scene.kill()
    scene.look(6700)
    assert scene.look(500) is None
    assert scene.look_on(500) is None


def test_a_game_that_starts_during_a_job_is_a_stranger_s_and_no_leak(scene: QuarantineScene):
    scene.look(500)
    pid, game = scene.process(), 4242
    scene.look(6700, (pid, 6200), ours=(pid,))
    scene.look(9700, (pid, 6200), (game, 3000), ours=(pid,))
    scene.kill()
    assert scene.look_on(3500, (game, 3000)) is None


def test_a_stranger_whom_the_driver_does_not_list_is_no_leak_where_he_was_there_before_ours_ended(
    scene: QuarantineScene,
):
    scene.look(500)
    pid = scene.process()
    scene.look(6700, (pid, 6200), ours=(pid,))
    scene.look(9700, (pid, 6200), ours=(pid,))
    scene.kill()
    assert scene.look_on(3500) is None


def test_more_than_our_dead_ever_held_is_not_put_down_to_them(scene: QuarantineScene):
    scene.look(500)
    pid = scene.process()
    scene.look(1700, (pid, 1200), ours=(pid,))
    scene.kill()
    assert scene.look_on(9000) is None


def test_where_a_size_is_not_told_nothing_is_said(scene: QuarantineScene):
    scene.look(500)
    pid = scene.process()
    scene.look(6700, (pid, 6200), ours=(pid,))
    scene.kill()
    assert scene.look_on(6700, (4242, None)) is None


def test_the_operator_s_word_lifts_it_and_what_is_kept_is_the_new_baseline(scene: QuarantineScene):
    scene.words["gpu0"] = 3
    scene.look(500)
    pid = scene.process()
    scene.look(6700, (pid, 6200), ours=(pid,))
    scene.kill()
    assert scene.look_on(6700) is not None, "an old word is none"
    scene.words["gpu0"] = 2
    assert scene.look_on(6700) is not None, "nor is one that a Redis which stepped back still has"

    scene.words["gpu0"] = 4

    assert scene.look(6700) is None
    assert scene.look_on(6700) is None


def test_a_process_of_ours_that_outlived_its_worker_is_ended_and_a_stranger_never(scene: QuarantineScene):
    pid, stranger = scene.process(), scene.process()
    scene.look(6700, (pid, 6200), (stranger, 300), ours=(pid,))
    scene.look(6700, (pid, 6200), (stranger, 300))
    assert [(left.pid, left.job_id) for left in scene.ended] == [(pid, "abcdefghijkl")]
