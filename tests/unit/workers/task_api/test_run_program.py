"""Programs of a job: their words, their end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from conductor.base.errors import DeadlineExceeded, Interrupted, JobError
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings
from tests.builders import a_spec
from tests.worker_scene import is_alive, wait_file, wait_until
from workers.media import ffmpeg
from workers.system.process_tree import children_of
from workers.task_api import read_watch
from workers.task_api.context import JobContext, Stopped
from workers.task_api.run_program import run_program


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(project=tmp_path, roots={"scratch": Root(path=tmp_path / "scratch")})


@pytest.fixture
def ctx(settings: Settings) -> JobContext:
    return JobContext(a_spec(), settings.for_code, timeout_s=20)


def test_streams_are_moved_both_ways_without_a_deadlock(ctx: JobContext):
    sent = os.urandom(1 << 20)
    got = bytearray()
    lines: list[str] = []
    code = (
        "import sys; print('one\\rtwo\\n', 'ü' * 3, file=sys.stderr); "
        "sys.stdout.buffer.write(sys.stdin.buffer.read())"
    )

    done = run_program(
        [sys.executable, "-c", code], ctx, stdin=sent, on_stdout=got.extend, on_line=lines.append
    )

    assert done.returncode == 0 and bytes(got) == sent
    assert lines == ["one", "two", " üüü"]


def test_a_failure_is_returned_with_its_last_words(ctx: JobContext):
    done = run_program(["sh", "-c", "yes noise | head -n 20000 >&2; echo the end >&2; exit 3"], ctx)

    assert done.returncode == 3
    assert done.stderr_tail.endswith("the end") and len(done.stderr_tail) <= 4096


def test_a_program_that_does_not_read_its_input_is_no_error(ctx: JobContext):
    assert run_program(["true"], ctx, stdin=b"x" * (1 << 20)).returncode == 0


def test_a_program_that_is_not_there_is_named(ctx: JobContext):
    with pytest.raises(JobError, match="no-such-program"):
        run_program(["no-such-program"], ctx)


def test_the_deadline_kills_the_whole_group(settings: Settings, tmp_path: Path):
    pid_file = tmp_path / "pid"
    with pytest.raises(DeadlineExceeded):
        run_program(
            ["sh", "-c", f"sleep 1000 & echo $! > {pid_file}; wait"],
            JobContext(a_spec(), settings.for_code, timeout_s=0.5),
        )

    pid = int(pid_file.read_text())
    wait_until(lambda: not is_alive(pid), "the group is gone")


def test_what_a_program_leaves_in_the_background_does_not_outlive_it(ctx: JobContext, tmp_path: Path):
    pid_file = tmp_path / "pid"

    # The sleep holds stderr open: waiting for the pipe's end would take a thousand seconds.
    assert run_program(["sh", "-c", f"sleep 1000 & echo $! > {pid_file}"], ctx).returncode == 0

    wait_until(lambda: not is_alive(int(pid_file.read_text())), "it is gone")


def test_a_stop_ends_the_program_at_once(settings: Settings):
    ours, theirs = socket.socketpair()
    ctx = JobContext(a_spec(), settings.for_code, timeout_s=60, stop_fd=ours.fileno())
    threading.Timer(0.2, lambda: theirs.send(b"!")).start()

    with ours, theirs, pytest.raises(Stopped):
        run_program(["sleep", "1000"], ctx)
    assert not any("sleep" in Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(os.getpid()))


def test_the_way_to_redis_is_not_passed_on(ctx: JobContext, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONDUCTOR_REDIS__URL", "redis://:secret@host")
    monkeypatch.setenv("MINE", "1")
    got = bytearray()

    run_program(["env"], ctx, on_stdout=got.extend)

    assert b"MINE=1" in got and b"secret" not in got


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_somebody_else_ended_is_no_error_of_the_task(
    ctx: JobContext, tmp_path: Path, number: signal.Signals
):
    pid_file = tmp_path / "pid"
    words = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 1000"
    end = threading.Thread(target=lambda: os.kill(int(wait_file(pid_file)), number))
    end.start()

    with pytest.raises(Interrupted, match=f"sh was killed by {number.name}, from outside"):
        run_program(["sh", "-c", words], ctx)
    end.join()


def test_ffmpeg_that_was_told_to_end_is_no_fault_of_its_input(settings: Settings):
    """It catches SIGTERM, says nothing and ends with 255."""
    import ffmpeg as graph

    others = {*children_of(os.getpid())}  # The tests' own server is among them.

    def end(fraction: float, note: str) -> None:
        for pid in {*children_of(os.getpid())} - others:
            os.kill(pid, signal.SIGTERM)

    ctx = JobContext(a_spec(), settings.for_code, timeout_s=20, on_progress=end)
    source = graph.input("testsrc2=size=64x64:rate=25:duration=3600", f="lavfi", re=None)

    with pytest.raises(Interrupted, match="ffmpeg was told to end"):
        ffmpeg.run(source.output("-", f="null"), ctx, seconds=3600.0, note="", name="x", threads=1)


def test_who_reads_is_told_of_and_who_sleeps_or_spins_is_not(
    ctx: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_watch, "LOOK_S", 0.02)

    def signs(code: str) -> int:
        found: list[None] = []
        # What the interpreter reads when it starts is over when it says so.
        run_program(
            [sys.executable, "-I", "-S", "-c", f"print('up', flush=True)\n{code}"],
            ctx,
            on_stdout=lambda chunk: found.clear(),
            on_read=lambda: found.append(None),
        )
        return len(found)

    opened = "import time\nf = open('/dev/zero', 'rb', 0)\n"
    ends = f"{opened}end = time.monotonic() + 0.4\nwhile time.monotonic() < end:"
    assert signs(f"{ends} f.read(100); time.sleep(0.005)") >= 4
    assert signs(f"{ends} time.sleep(0.005)") <= 1
    assert signs(f"{ends} pass") <= 1
