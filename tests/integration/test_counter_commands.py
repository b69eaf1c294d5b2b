"""The command of a counter, as real small programs: one tells, others fail, hang, flood or print rubbish."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host.counter_commands import CounterCommands, ask
from conductor.base.settings.sections import CounterSettings
from conductor.model.report import CounterReading

ENV = {"PATH": os.environ["PATH"]}


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def asked(argv: list[str], folder: Path, timeout_s: float = 20.0) -> CounterReading:
    return ask(argv, folder, ENV, timeout_s)


def test_one_whole_number_is_how_many_others_hold(tmp_path: Path):
    (tmp_path / "held").write_text("7\n")

    assert asked(["cat", "held"], tmp_path) == CounterReading(others=7), "it runs in the project's folder"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import sys; sys.exit('no such server')", "exit 1: no such server"),
        ("import os; os.kill(os.getpid(), 11)", "signal 11"),
        ("print('3 of 5')", "it printed '3 of 5', not one whole number"),
        ("print(-1)", "it printed '-1', not one whole number"),
        ("print(10**12)", "it printed '1000000000000', not one whole number"),
        ("pass", "it printed nothing"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)))", "not one whole number"),
        ("print('٣')", "not one whole number"),
    ],
)
def test_whatever_else_it_does_is_a_fault_in_words(text: str, fault: str, tmp_path: Path):
    found = asked(program(text), tmp_path)

    assert found.others is None and fault in found.fault
    assert "\n" not in found.fault and len(found.fault) < 500


def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    assert (
        asked(["lmutil-wrapper"], tmp_path).fault
        == "lmutil-wrapper cannot be started: No such file or directory"
    )


def test_no_shell_reads_its_words(tmp_path: Path):
    assert asked(["echo", "1; touch", "$HOME"], tmp_path).fault.startswith("it printed '1; touch $HOME'")


@pytest.mark.parametrize("flood", ["1", "2"])
def test_a_flood_is_cut_off_and_the_flooder_is_killed(flood: str, tmp_path: Path):
    found = asked(["sh", "-c", f"yes >&{flood}"], tmp_path, timeout_s=0.5)

    assert found.fault == "it had not ended after 0.5 s, and was killed"


def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path):
    """Those that it left hold its pipes open; they are not waited for, and do not live on."""
    pid = tmp_path / "pid"
    found = asked(["sh", "-c", f"sleep 1000 & echo $! > {pid}; wait"], tmp_path, timeout_s=0.5)

    assert "had not ended after 0.5 s" in found.fault
    assert is_gone(int(pid.read_text()))


def test_an_answer_counts_although_what_it_started_keeps_the_pipe_open(tmp_path: Path):
    pid = tmp_path / "pid"
    began = time.monotonic()
    found = asked(["sh", "-c", f"sleep 1000 & echo $! > {pid}; echo 4"], tmp_path)

    assert found.others == 4
    assert time.monotonic() - began < 15
    assert is_gone(int(pid.read_text()))


def is_gone(pid: int) -> bool:
    """Within ten seconds: whoever adopts it has to bury it."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


# ── again and again ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stopped() -> Iterator[list[CounterCommands]]:
    started: list[CounterCommands] = []
    yield started
    for commands in started:
        commands.close()


def counter(*argv: str) -> CounterSettings:
    return CounterSettings(limit=3, command=argv, every_s=0.01, timeout_s=20.0)


def seen(commands: CounterCommands, name: str, wanted: CounterReading) -> bool:
    """Is it said so, of whatever age."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        reading = commands.readings().get(name)
        if reading is not None and (reading.others, reading.fault) == (wanted.others, wanted.fault):
            return True
        threading.Event().wait(0.01)
    return False


def test_what_it_told_before_stands_and_ages_while_it_fails(tmp_path: Path, stopped: list[CounterCommands]):
    held = tmp_path / "held"
    held.write_text("2")
    commands = CounterCommands(
        {"nuke": counter("cat", "held"), "plain": CounterSettings(limit=1)}, tmp_path, ENV
    )
    stopped.append(commands.start())
    assert seen(commands, "nuke", CounterReading(others=2))

    held.unlink()

    fault = "exit 1: cat: held: No such file or directory"
    assert seen(commands, "nuke", CounterReading(others=2, fault=fault))
    first = commands.readings()["nuke"].age_s
    assert (
        seen(commands, "nuke", CounterReading(others=2, fault=fault))
        and commands.readings()["nuke"].age_s >= first
    )
    held.write_text("0")
    assert seen(commands, "nuke", CounterReading(others=0))
    assert list(commands.readings()) == ["nuke"], "nobody tells of the other"


def test_at_the_end_one_that_hangs_is_not_waited_for(tmp_path: Path):
    pid = tmp_path / "pid"
    commands = CounterCommands(
        {"nuke": counter("sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 1000")}, tmp_path, ENV
    )
    commands.start()
    end = time.monotonic() + 30
    while not pid.exists() and time.monotonic() < end:
        threading.Event().wait(0.01)

    began = time.monotonic()
    commands.close()

    assert time.monotonic() - began < 10
    assert is_gone(int(pid.read_text()))
    assert commands.readings() == {}
