"""`conductor up` and `down` as users run them: on the project's own Valkey, whatever is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from node_scene import CONFIG, Command, NodeScene, project_processes, until, until_gone

from conductor.adapters.files.web_files import web_url_file
from conductor.adapters.host.processes import live_pid, note_pid
from conductor.adapters.host.shown_words import has_room
from conductor.adapters.host.wakeup import Wakeup
from conductor.adapters.open_ledger import open_ledger
from conductor.adapters.redis import valkey
from conductor.app.child_process import Part
from conductor.app.up import Up, lock_file, only_one, output_file
from conductor.base.logs.output_file import MOST_BYTES, predecessor
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.node import detached
from conductor.node.single_instance import up_file
from conductor.views.dashboard import url_file

NAP = "up.nap"
TASKS = """
import signal
import subprocess
import time
from pathlib import Path

from workers import task

@task("up.nap", lane="cpu")
def nap(args, ctx):
    Path(args["mark"]).touch()
    time.sleep(args["seconds"])
    return {}

@task("up.stubborn", lane="cpu")
def stubborn(args, ctx):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    Path(args["mark"]).touch()
    while True:
        try:
            time.sleep(args["seconds"])
        except BaseException:
            pass

@task("up.program", lane="cpu")
def program(args, ctx):
    from imageio_ffmpeg import get_ffmpeg_exe
    Path(args["mark"]).touch()
    source = f"testsrc=duration={args['seconds']}:size=160x90:rate=5"
    subprocess.run([get_ffmpeg_exe(), "-nostdin", "-re", "-f", "lavfi", "-i", source, "-f", "null", "-"])
"""


def new_project(folder: Path) -> Settings:
    (folder / "up_tasks.py").write_text(TASKS)
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    config = CONFIG.replace("cpu.workers = 1", "cpu.workers = 3")
    config = config.replace("[web]\nis_on = false", "[web]\nport = 0")
    (folder / CONFIG_NAME).write_text(f'task_modules = ["up_tasks"]\n{config}{roots}')
    return load(folder)


@contextmanager
def is_up(settings: Settings) -> Generator[Command]:
    """`conductor up`, from when all is up until nothing of it is left."""
    command = Command(settings, "up")
    try:
        until(lambda: live_pid(up_file(settings.layout)) == command.pid or not_ended(command), 60.0)
        yield command
    finally:
        command.close()
        for process in project_processes(settings.project):
            process.kill()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield new_project(tmp_path)
    for process in project_processes(tmp_path):
        process.kill()


@pytest.fixture
def command(settings: Settings) -> Iterator[Command]:
    """One of the test's own."""
    with is_up(settings) as it:
        yield it


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Command]]:
    """One for all tests after which it still stands."""
    settings = new_project(tmp_path_factory.mktemp("shared"))
    with is_up(settings) as it:
        yield settings, it


def not_ended(command: Command) -> None:
    assert command.process.poll() is None, command.said


def part(command: Command, word: str) -> psutil.Process:
    """The child that runs `conductor WORD`."""
    return until(lambda: next((p for p in command.below() if words_of(p)[-1:] == [word]), None))


def words_of(process: psutil.Process) -> list[str]:
    try:
        words = process.cmdline()
    except psutil.Error:
        return []
    return [] if "die_with_parent.py" in " ".join(words) else words


def test_up_runs_jobs_shows_the_dashboard_and_drains_on_ctrl_c(settings: Settings, command: Command):
    address = url_file(settings.state_dir).read_text().strip()
    assert address in command.said
    page_address = web_url_file(settings.state_dir).read_text().strip()
    assert page_address in command.said
    for each in (address, page_address):
        with urllib.request.urlopen(each, timeout=10) as page:
            assert page.status == 200
    if has_room():
        shared = re.compile(r"^Shared_Dirty: +[1-9]", re.MULTILINE)
        for word in ("node", "conduct", "web", "dashboard"):
            memory = Path(f"/proc/{part(command, word).pid}/smaps_rollup").read_text()
            assert shared.search(memory), f"the {word} is no copy: {memory}"

    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        mark = settings.project / "began"
        job, later = scene.put(1, 2.0, task=NAP, args={"mark": str(mark), "seconds": 2.0}), scene.put(2, 0.0)
        # «running» is said a moment before the body begins, and what has not begun goes back at no cost.
        until(mark.exists)
        command.process.send_signal(signal.SIGINT)
        assert command.wait() == 0
        assert scene.job(job).state == "done"
        assert scene.job(later).state in ("waiting", "done")
        assert ledger.reports.live() == ()

    until(lambda: project_processes(settings.project) == [])
    assert not up_file(settings.layout).exists() and not url_file(settings.state_dir).exists()
    assert not web_url_file(settings.state_dir).exists()
    assert "Traceback" not in command.said


def test_a_second_ctrl_c_stops_at_once(settings: Settings, command: Command):
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        job = scene.put(1, 60.0)
        scene.until_state(job, "running")
        command.process.send_signal(signal.SIGINT)
        until(lambda: "Draining" in command.said)
        command.process.send_signal(signal.SIGINT)
        assert command.wait(20) == 130
        assert scene.job(job).state == "waiting"
    until(lambda: project_processes(settings.project) == [])


@pytest.mark.parametrize("word", ["node", "conduct", "dashboard", "web"])
def test_a_part_that_dies_is_started_again(shared: tuple[Settings, Command], word: str):
    _, command = shared
    first = part(command, word)
    first.kill()
    until(lambda: (second := part(command, word)) and second.pid != first.pid)
    assert "starting it again" in command.said


def test_a_killed_valkey_comes_back_with_its_jobs_and_work_goes_on(shared: tuple[Settings, Command]):
    settings, command = shared
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        before = scene.put(1, 0.0)
        scene.until_state(before, "done")

        pid_file = valkey.place_of(settings.valkey).pid_file
        first = pid_file.read_text()
        os.kill(int(first), signal.SIGKILL)
        until(lambda: pid_file.exists() and pid_file.read_text() not in ("", first))
        until(lambda: valkey.ping(valkey.place_of(settings.valkey).socket) == "PONG")

        assert scene.job(before).state == "done"
        scene.until_state(scene.put(2, 0.0), "done")
    assert "Traceback" not in command.said


def test_a_dashboard_or_a_page_that_cannot_be_stops_no_work(settings: Settings):
    config = settings.project / CONFIG_NAME
    text = config.read_text().replace("[dashboard]", "[dashboard]\npassword_env = 'NOBODY_HAS_SET_THIS'")
    config.write_text(text.replace("[web]", "[web]\ntoken_env = 'NOR_THIS'"))
    with is_up(settings) as command, open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        scene.until_state(scene.put(1, 0.0), "done")
        assert "NOBODY_HAS_SET_THIS" in command.said and "There is no dashboard" in command.said
        assert "NOR_THIS" in command.said and "There is no web" in command.said


def test_killing_up_itself_takes_its_parts_along(settings: Settings, command: Command):
    below = command.below()
    assert len(below) >= 4
    command.process.kill()
    command.process.wait()
    until_gone(below, 15)


def test_up_twice_is_refused_in_a_sentence(shared: tuple[Settings, Command]):
    settings, command = shared
    second = Command(settings, "up")
    assert second.wait() == 3
    assert f"is up already (pid {command.pid}); `conductor down` stops it" in second.said
    assert "Traceback" not in second.said


@pytest.mark.slow
def test_up_detached_outlives_its_command_and_down_ends_it_all(settings: Settings):
    detached = Command(settings, "up", "--detach")
    assert detached.wait(60) == 0, detached.said
    pid = live_pid(up_file(settings.layout))
    assert pid is not None and str(pid) in detached.said

    again = Command(settings, "up", "--detach")
    assert again.wait() == 3 and "is up already" in again.said

    is_kept_small(output_file(settings))
    next(p for p in psutil.Process(pid).children() if words_of(p)[-1:] == ["node"]).kill()
    until(lambda: "The node ended (SIGKILL)" in output_file(settings).read_text())

    down = Command(settings, "down")
    assert down.wait() == 0, down.said
    until(lambda: project_processes(settings.project) == [])
    assert live_pid(up_file(settings.layout)) is None

    nothing = Command(settings, "down")
    assert nothing.wait() == 0
    assert f"Nothing of {settings.project} was running" in nothing.said


def is_kept_small(file: Path) -> None:
    """Although whoever writes to it has had it open all along."""
    with file.open("ab") as sink:
        sink.write(b"much\n" * (MOST_BYTES // 5) + b"the last of it\n")
    until(lambda: file.stat().st_size < 10_000)
    # The parts go on writing there until it is put aside.
    assert "much\nthe last of it\n" in predecessor(file).read_text()


def test_the_second_word_to_stop_is_not_taken_for_the_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Two pending signals of one kind are one."""
    heard: list[int] = []

    class Busy:
        pid = 1
        poll = staticmethod(lambda: None)
        send_signal = staticmethod(heard.append)

    node = Part("node", ("node",), process=cast(Any, Busy))

    def only_a_node(settings: Settings) -> list[Part]:
        return [node]

    monkeypatch.setattr("conductor.app.up.parts_of", only_a_node)
    with Wakeup() as wakeup:
        running = Up(settings, wakeup)
        running.hear()
        running.hear()
    assert len(set(heard)) == 2


@pytest.mark.slow
def test_down_now_ends_at_once_whatever_the_bodies_do(settings: Settings):
    assert Command(settings, "up", "--detach").wait(60) == 0
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        jobs: dict[str, str] = {}
        for n, kind in enumerate(("nap", "stubborn", "program")):
            mark = settings.project / kind
            jobs[kind] = scene.put(
                n, 0.0, task=f"up.{kind}", args={"mark": str(mark), "seconds": 60.0}, timeout_s=90
            )
        until(lambda: all((settings.project / kind).exists() for kind in jobs))
        began = time.monotonic()
        down = Command(settings, "down", "--now")
        assert down.wait(20) == 0, down.said
        assert time.monotonic() - began < 10.0
        assert [scene.job(job).state for job in jobs.values()] == ["waiting"] * 3
        assert all(scene.job(job).failures == {} for job in jobs.values())
        said = output_file(settings).read_text()
        assert all(
            f"up.{kind} ({job[:8]}, attempt 1) goes back to the backlog" in said for kind, job in jobs.items()
        )
        assert Command(settings, "audit").wait() == 0
    assert "the jobs in hand go back" in down.said and "node.jsonl" in down.said
    until(lambda: project_processes(settings.project) == [])


@pytest.mark.slow
def test_a_node_that_does_not_end_is_killed_and_its_jobs_go_back(settings: Settings):
    with is_up(settings) as command, open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        job = scene.put(1, 60.0)
        scene.until_state(job, "running")
        node = part(command, "node")
        node.suspend()
        down = Command(settings, "down", "--now")
        assert down.wait(20) == 0, down.said
        assert scene.job(job).state == "waiting"
        assert ledger.reports.live() == ()
        assert "The node does not end: it is killed" in command.said


def test_a_state_folder_that_is_removed_ends_everything_with_a_word(settings: Settings):
    with is_up(settings) as command:
        with open_ledger(settings) as ledger:
            scene = NodeScene(ledger, settings)
            scene.put(
                1, 0.0, task="up.stubborn", args={"mark": str(settings.project / "mark"), "seconds": 60.0}
            )
            until((settings.project / "mark").exists)
        # Not while this process holds the ledger: it would be told to stop, too.
        shutil.rmtree(settings.state_dir)
        assert command.wait(20) == 4
        assert f"{settings.state_dir} was removed while Conductor worked with it" in command.said
        until(lambda: project_processes(settings.project) == [])
        assert "Traceback" not in command.said
    assert not valkey.is_running(settings.valkey)


def test_so_it_does_where_the_parts_were_started_one_by_one(settings: Settings):
    node = Command(settings, "node")
    other = Command(settings, "conduct")
    try:
        until(lambda: "is up" in node.said and "Leading" in other.said)
        shutil.rmtree(settings.state_dir)
        assert (node.wait(20), other.wait(20)) == (4, 4), node.said + other.said
        assert all("was removed while Conductor worked with it" in command.said for command in (node, other))
        until(lambda: project_processes(settings.project) == [])
        assert "Traceback" not in node.said + other.said
    finally:
        node.close()
        other.close()


def test_down_finds_an_up_that_is_still_starting(settings: Settings):
    settings.state_dir.mkdir()
    with only_one(settings) as lock:
        note_pid(lock)
        assert live_pid(lock_file(settings)) == os.getpid()
        second = Command(settings, "up")
        assert second.wait() == 3 and f"is up already (pid {os.getpid()})" in second.said


def test_a_node_in_the_background_is_stopped_by_the_stop_command(settings: Settings):
    start = Command(settings, "node", "--detach", "--cpu-only")
    assert start.wait(60) == 0, start.said
    assert Command(settings, "node", "--detach").wait() == 3
    is_kept_small(detached.output_file(settings))
    stop = Command(settings, "node", "--stop")
    assert stop.wait() == 0, stop.said
    until(lambda: project_processes(settings.project) == [])


def test_a_redis_that_does_not_answer_is_exit_code_4(tmp_path: Path):
    (tmp_path / CONFIG_NAME).write_text('[redis]\nurl = "redis://127.0.0.1:1"\n')
    command = Command(load(tmp_path), "up")
    assert command.wait() == 4
    assert "127.0.0.1:1" in command.said and "Traceback" not in command.said


def test_conduct_starts_a_node_of_its_own_where_none_is_and_ends_it(settings: Settings):
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        job = scene.put(1, 0.0)
        conduct = Command(settings, "conduct", "--until-done", "--json")
        assert conduct.wait(60) == 0, conduct.said
        assert scene.job(job).state == "done"
        assert ledger.reports.live() == ()
    assert "starting one for this run" in conduct.said
    until(lambda: project_processes(settings.project) == [])
