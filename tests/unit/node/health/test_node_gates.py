"""What node-side gates read: files, pipes and a small program in the places of /proc, /dev and loginctl."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from conductor.adapters.host.foreign_load import ForeignLoad
from conductor.adapters.host.person_at_work import Person, handlers, session_idle_s
from conductor.base.settings.sections import NodeSettings
from conductor.base.settings.settings import Settings
from conductor.model.signal import Sensed, Signal
from conductor.node.health.node_gates import NodeGates, sensors_of, settings_of

NOW = 1_700_000_000.0
DEVICES = """I: Bus=0003 Vendor=046d Product=c31c
N: Name="Logitech USB Keyboard"
H: Handlers=sysrq kbd event3 leds
B: EV=120013

N: Name="A mouse"
H: Handlers=mouse0 event5

N: Name="HDA Intel PCH Headphone"
H: Handlers=event7
"""


class GatesClock:
    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class LoginDesk:
    """A host of files: its keyboard is a pipe."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.clock = folder, GatesClock()
        for name in ("input", "pts", "bin"):
            (folder / name).mkdir()
        self.devices = folder / "devices"
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
        self.answer("exit 1")
        self.person = Person(
            10, devices=self.devices, events=folder / "input", terminals=folder / "pts", clock=self.clock
        )

    def answer(self, script: str) -> None:
        """What `loginctl` does from now on."""
        program = self.folder / "bin/loginctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def session(self, words: str) -> None:
        self.answer(f'case $1 in list-sessions) echo "3 1000 ann seat0";; *) printf "{words}";; esac')

    def keyboard(self) -> int:
        self.devices.write_text(DEVICES)
        os.mkfifo(self.folder / "input/event3")
        return os.open(self.folder / "input/event3", os.O_RDWR)

    def terminal(self, ago_s: float) -> None:
        file = self.folder / "pts/0"
        file.touch()
        os.utime(file, (NOW - ago_s, NOW))

    def minutes(self) -> float | None:
        signals = self.person.sense().signals
        return signals[0].figure if signals else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginDesk:
    return LoginDesk(tmp_path, monkeypatch)


def test_who_cannot_be_seen_is_not_told_and_the_sentence_says_by_what(desk: LoginDesk) -> None:
    said = desk.person.sense()
    assert said.signals == () and said.told == ""
    (words,) = said.untold
    assert "cannot be told" in words and "loginctl does not answer" in words


def test_a_key_that_was_pressed_is_input_and_a_headphone_is_none(desk: LoginDesk) -> None:
    assert list(handlers(DEVICES)) == ["event3", "event5"]
    keyboard = desk.keyboard()
    assert desk.minutes() == 0, "nobody else can tell what was before it began to look"
    desk.clock.at += 1200
    assert desk.minutes() == 20
    os.write(keyboard, b"x" * 24)
    assert desk.minutes() == 0
    desk.clock.at += 120
    assert desk.minutes() == 2
    os.close(keyboard)


def test_a_keyboard_that_was_not_used_yet_leaves_the_word_to_another_witness(desk: LoginDesk) -> None:
    os.close(desk.keyboard())
    desk.terminal(ago_s=3600)
    assert desk.minutes() == 60


def test_a_terminal_that_was_typed_into_is_input(desk: LoginDesk) -> None:
    desk.terminal(ago_s=90)
    (desk.folder / "pts/ptmx").touch()
    said = desk.person.sense()
    assert said.signals[0].figure == 1.5
    assert said.told == "no input for 1.5 min, by terminals alone: who types into none of them is not seen"


def test_the_session_on_the_screen_tells_by_its_hint(desk: LoginDesk) -> None:
    on_screen = "Type=wayland\\nClass=user\\nState=active\\n"
    desk.session(on_screen + "IdleHint=no\\nIdleSinceHint=0\\n")
    assert desk.minutes() == 0
    desk.session(on_screen + f"IdleHint=yes\\nIdleSinceHint={int(NOW - 300)}000000\\n")
    assert desk.minutes() == 5
    desk.session("Type=tty\\nClass=user\\nState=active\\nIdleHint=no\\n")
    said = desk.person.sense()
    assert said.signals[0].figure > 10 and said.told == "no input at all, by loginctl"


def test_of_several_sessions_the_one_that_was_used_last_counts() -> None:
    def block(state: str, hint: str, ago: float) -> str:
        return (
            f"Type=x11\nClass=user\nState={state}\nIdleHint={hint}\nIdleSinceHint={int((NOW - ago) * 1e6)}\n"
        )

    both = block("active", "yes", 900) + "\n" + block("active", "yes", 60)
    assert session_idle_s(both, NOW) == 60
    assert session_idle_s(block("online", "no", 0), NOW) == float("inf"), "another has the screen"


def test_a_program_that_hangs_is_no_witness(desk: LoginDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conductor.adapters.host.person_at_work.ANSWERS_S", 0.1)
    desk.answer("exec sleep 60")
    assert desk.minutes() is None


class GatesMachine:
    """A /proc of files: two cores, and processes with the ticks that they have used."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, GatesClock(0.0)
        self.ticks = os.sysconf("SC_CLK_TCK")

    def show(self, busy_s: float, processes: dict[int, tuple[int, float, str]]) -> None:
        busy = round(busy_s * self.ticks)
        (self.folder / "stat").write_text(f"cpu  {busy} 0 0 999 9 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 5\n")
        for pid, (parent, used_s, words) in processes.items():
            own = self.folder / str(pid)
            own.mkdir(exist_ok=True)
            used = round(used_s * self.ticks)
            head = f"{pid} (a (b) c) S {parent} 0 0 0 0 0 0 0 0 0"
            (own / "stat").write_text(f"{head} {used} 0 0 0 20 0 1 0 5\n")
            (own / "cmdline").write_bytes(words.replace(" ", "\0").encode())


def shares(sensed: Sensed) -> list[float]:
    return [signal.figure for signal in sensed.signals]


def test_what_is_ours_is_no_foreign_load(tmp_path: Path) -> None:
    machine = GatesMachine(tmp_path)
    load = ForeignLoad(0.25, pid=20, proc=tmp_path, clock=machine.clock)
    python = "/usr/bin/python3 -P -m conductor up"
    # 10: `conductor up`; 20: its node; 30: a worker's body; 40: a shell's compiler.
    machine.show(
        100, {10: (5, 1, python), 20: (10, 1, ""), 30: (20, 50, ""), 5: (1, 0, "bash"), 40: (5, 3, "cc")}
    )
    assert shares(load.sense()) == []
    machine.clock.at = 10
    machine.show(118, {30: (20, 58, ""), 10: (5, 3, python), 40: (5, 11, "cc")})
    said = load.sense()
    assert shares(said) == [40], "of 18 s of two cores in 10 s ten are ours"
    assert said.signals[0].is_beyond(said.signals[0].closes_at)
    machine.clock.at = 20
    machine.show(136, {30: (20, 76, "")})
    assert shares(load.sense()) == [0]


def test_a_host_that_does_not_tell_its_load_says_so(tmp_path: Path) -> None:
    said = ForeignLoad(0.25, proc=tmp_path).sense()
    assert said.signals == () and "cannot be told" in said.untold[0]


def test_this_very_host_tells_its_load() -> None:
    load = ForeignLoad(0.25)
    load.sense()
    time.sleep(0.6)
    (share,) = shares(load.sense())
    assert 0 <= share <= 100


def test_the_settings_of_a_host_say_which_of_them_it_has() -> None:
    def names(**own: Any) -> list[str]:
        return [s.name for s in sensors_of(Settings(nodes={"my-host": NodeSettings(**own)}), "my_host")]

    assert names() == []
    assert names(yield_to="input") == ["input"]
    assert names(yield_to=["load", "input"]) == ["input", "load"]
    assert settings_of(Settings(), "elsewhere") == NodeSettings()


class Told:
    name = "made up"

    def __init__(self) -> None:
        self.figure = 1.0

    def sense(self) -> Sensed:
        signal = Signal(gate=self.name, figure=self.figure, closes_at=5, opens_at=5, words="it is so")
        return Sensed(signals=(signal,))


def test_a_host_is_looked_at_now_and_then_and_its_last_word_stands_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conductor.node.health.node_gates.SENSE_EVERY_S", 0.0)
    sensor = Told()
    gates = NodeGates([sensor], clock=lambda: NOW)
    assert gates.look() == ()
    sensor.figure = 6.0
    (obstacle,) = gates.look()
    assert (obstacle.gate, obstacle.since) == ("made up", NOW)
    monkeypatch.setattr("conductor.node.health.node_gates.SENSE_EVERY_S", 60.0)
    sensor.figure = 1.0
    assert gates.look() == (obstacle,)
    assert NodeGates([]).next_look_s is None
