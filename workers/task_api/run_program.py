"""Running a program for a job: own process group, dies with the worker, killed at the deadline or on a
stop.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from conductor.adapters.host.tied_program import tied
from conductor.base import secrets
from conductor.base.errors import DeadlineExceeded, Interrupted, JobError
from workers.system.process_tree import kill_group
from workers.task_api.context import JobContext, Stopped
from workers.task_api.failure_causes import is_from_outside, signal_name
from workers.task_api.read_watch import ReadWatch

#: At once from a pipe, and what it holds, where the system lets it: pictures are larger than its 64 KiB.
_CHUNK = 1 << 18
#: What a person needs of a failed program's words.
_TAIL_BYTES = 4096


class ProgramFailed(JobError):
    """A program did not end well. Its last words say whether it was memory that it lacked
    (`workers.task_api.failure_causes`).
    """

    def __init__(self, message: str, stderr: str, stdout: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr
        self.stdout = stdout


class Completed(NamedTuple):
    returncode: int
    stderr_tail: str


def run_program(
    argv: Sequence[str],
    ctx: JobContext,
    *,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
    on_line: Callable[[str], None] | None = None,
    on_read: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run `argv` to its end; a non-zero exit is returned, not raised.

    `on_stdout` gets raw chunks (without it stdout goes to the worker's log), `on_line` each line of stderr
    (ended by a newline or a carriage return). `on_read`: called each few seconds in which the program has
    read something, whatever it says. `environment`: all of it; None: the worker's own, less its
    secrets. Raises `DeadlineExceeded` at the attempt's deadline, `Stopped` when the job is cancelled,
    `Interrupted` when somebody else ended the program, `JobError` when it cannot be started.
    """
    found = secrets.for_programs(ctx.settings.secret_variables) if environment is None else environment
    program = _start(argv, cwd, stdin, on_stdout is not None, found)
    try:
        with _Pump(program, ctx, on_stdout, on_line, on_read) as pump:
            tail = pump.run(stdin)
        if is_from_outside(status := program.wait()):
            raise Interrupted(f"{Path(argv[0]).name} was killed by {signal_name(-status)}, from outside")
        return Completed(status, tail)
    finally:
        # Also on the way out of an error, and for what the program left behind in its group.
        kill_group(program.pid)
        program.wait()


def _start(
    argv: Sequence[str], cwd: Path | None, stdin: bytes | None, takes_stdout: bool, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    try:
        program = shutil.which(argv[0])
        if program is None:
            raise JobError(f"cannot run {argv[0]!r}: there is no such program here")
        return subprocess.Popen(
            tied([str(Path(program).absolute()), *argv[1:]], env),
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE if takes_stdout else None,
            stderr=subprocess.PIPE,
            env=env,
            process_group=0,
        )
    except (OSError, ValueError) as e:
        raise JobError(f"cannot run {argv[0]!r}: {e}") from None


class _Pump:
    """Moves bytes between the program and the callbacks until it ends, the deadline passes or a stop is
    asked.
    """

    def __init__(
        self,
        program: subprocess.Popen[bytes],
        ctx: JobContext,
        on_stdout: Callable[[bytes], None] | None,
        on_line: Callable[[str], None] | None,
        on_read: Callable[[], None] | None,
    ) -> None:
        self._program = program
        self._ctx = ctx
        self._on_stdout = on_stdout
        self._on_line = on_line
        self._reading = ReadWatch(program.pid, on_read)
        self._tail: deque[bytes] = deque()
        self._partial = b""
        self._selector = selectors.DefaultSelector()
        # Tells of the end even while a grandchild still holds the pipes open.
        self._end_fd = _end_of(program.pid)

    def __enter__(self) -> _Pump:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._end_fd is not None:
            os.close(self._end_fd)
        for stream in (self._program.stdin, self._program.stdout, self._program.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def run(self, stdin: bytes | None) -> str:
        """Until the program has ended. The last few KiB of its stderr."""
        if self._program.stdout is not None:
            _widen(self._program.stdout)
        self._watch(self._program.stdout, self._take_stdout)
        self._watch(self._program.stderr, self._take_stderr)
        if stdin is not None:
            self._feed(stdin)
        if self._ctx.stop_fd is not None:
            self._selector.register(self._ctx.stop_fd, selectors.EVENT_READ, self._stop)
        if self._end_fd is not None:
            self._selector.register(self._end_fd, selectors.EVENT_READ, lambda: True)
        self._loop()
        self._drain()
        if self._partial and self._on_line is not None:
            self._on_line(_text(self._partial))
        return _text(b"".join(self._tail)[-_TAIL_BYTES:]).strip()

    def _loop(self) -> None:
        open_streams = {
            stream for stream in (self._program.stdout, self._program.stderr) if stream is not None
        }
        has_ended = False
        while not has_ended and (open_streams or self._end_fd is not None):
            ready = self._selector.select(self._reading.within(self._ctx.remaining_s()))
            self._reading.look()
            if not ready and self._ctx.remaining_s() <= 0:
                raise DeadlineExceeded("a program was still running at the job's deadline")
            for key, _ in ready:
                if key.data():
                    self._selector.unregister(key.fileobj)
                    open_streams.discard(key.fileobj)  # type: ignore[arg-type]
                    has_ended = has_ended or key.fileobj == self._end_fd

    def _drain(self) -> None:
        """What was written before the end and not yet read; whoever else holds the pipe is not waited for."""
        for stream, take in (
            (self._program.stdout, self._take_stdout),
            (self._program.stderr, self._take_stderr),
        ):
            if stream is not None and stream.fileno() in {
                key.fd for key in self._selector.get_map().values()
            }:
                while not take():
                    if not self._has_more(stream):
                        break

    def _has_more(self, stream: IO[bytes]) -> bool:
        return any(key.fileobj is stream for key, _ in self._selector.select(0))

    def _watch(self, stream: IO[bytes] | None, take: Callable[[], bool]) -> None:
        if stream is not None:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, take)

    def _stop(self) -> bool:
        raise Stopped("stopped: the job was cancelled or its worker has to leave")

    def _take_stdout(self) -> bool:
        chunk = _read(self._program.stdout)
        if chunk and self._on_stdout is not None:
            self._on_stdout(chunk)
        return chunk == b""

    def _take_stderr(self) -> bool:
        chunk = _read(self._program.stderr)
        if not chunk:
            return chunk == b""
        self._tail.append(chunk)
        while sum(map(len, self._tail)) - len(self._tail[0]) >= _TAIL_BYTES:
            self._tail.popleft()
        if self._on_line is not None:
            *lines, self._partial = (self._partial + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                if line:
                    self._on_line(_text(line))
        return False

    def _feed(self, data: bytes) -> None:
        stream = self._program.stdin
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
        rest = memoryview(data)

        def write() -> bool:
            nonlocal rest
            try:
                rest = rest[os.write(stream.fileno(), rest[:_CHUNK]) :]
            except BlockingIOError:
                return False
            except BrokenPipeError:
                rest = rest[:0]  # It does not want the rest; its exit code will say whether that is a fault.
            if not rest:
                self._selector.unregister(stream)
                stream.close()
            return False

        self._selector.register(stream, selectors.EVENT_WRITE, write)


def _end_of(pid: int) -> int | None:
    return os.pidfd_open(pid) if sys.platform == "linux" else None


def _widen(stream: IO[bytes]) -> None:
    """Whoever has many pipes open already is refused, and keeps a narrow one."""
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _CHUNK)


def _read(stream: IO[bytes] | None) -> bytes | None:
    """A chunk; b"" at the end; None when there is nothing now."""
    assert stream is not None
    try:
        return os.read(stream.fileno(), _CHUNK)
    except BlockingIOError:
        return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
