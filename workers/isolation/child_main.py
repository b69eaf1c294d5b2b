"""The child: runs bodies, one job after another, and keeps what is warm.

`python -m workers.isolation.child_main PARENT SOCKET TICKETS STOP FROZEN CGROUP RANGES`: the pid of its
parent, the descriptors of `protocol`, the one that tells for how long it was frozen, the one by which it
enters its cgroup (-1: none), and the one into which it notes what was stderr. It knows no Redis and publishes
nothing; whatever happens to it costs the parent one attempt.
"""

from __future__ import annotations

import contextvars
import gc
import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from conductor.adapters.host import cgroup, nvml_probe
from conductor.base import secrets
from conductor.base.code_version import code_version
from conductor.base.project.own_code import put_on_path
from conductor.base.settings.reading import as_path
from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec, filled, from_line
from workers.isolation import disk_faults, output_check
from workers.isolation.frozen_family import still_s
from workers.isolation.input_check import Inputs
from workers.isolation.marked_stderr import mark_stderr
from workers.isolation.peak_memory import Peak
from workers.isolation.process_state import ProcessState
from workers.isolation.protocol import (
    BodyEnded,
    BodyProgress,
    Channel,
    Garbled,
    Open,
    Passed,
    Ready,
    Run,
    ToChild,
)
from workers.isolation.resident_memory import resident_mib
from workers.isolation.results import plain
from workers.system.process_tree import Strays, adopt_orphans, die_with_parent
from workers.system.run_delay import RunDelay
from workers.task_api import failure_causes
from workers.task_api.context import JobContext
from workers.task_api.registry import body_of
from workers.task_api.review import scrubbed
from workers.task_api.warm_cache import WarmStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conductor.base.files.layout import CodeSettings
    from workers.task_api.registry import Body

#: The display needs no more, and a body may call `progress` for every frame.
_PROGRESS_EVERY_S = 0.1
#: A leak shows over many jobs: between short ones it need not be looked for.
_WEIGH_EVERY_S = 1.0


def main(argv: list[str], inherited: CodeSettings | None = None) -> int:
    """`inherited`: of a copy, its parent's settings."""
    parent, fd, tickets_fd, stop_fd, frozen_fd, entry, ranges = map(int, argv)
    # The parent decides: a Ctrl-C at the terminal must not reach the body.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL, parent)
    # What a body leaves running comes to this process, so that it is known whose it was.
    adopt_orphans()
    cgroup.enter(entry)
    if sys.platform != "linux":
        threading.Thread(target=_leave_when_orphaned, args=(parent,), daemon=True).start()
    for each in (fd, tickets_fd, stop_fd, frozen_fd):
        os.set_inheritable(each, False)  # A program that lives on must not hold them open.
    mark_stderr(ranges)
    with socket.socket(fileno=fd) as sock:
        channel = Channel(sock, ToChild)
        try:
            Child(channel, tickets_fd, stop_fd, frozen_fd, inherited).serve()
        except Garbled as e:
            # What was to run has not begun: another child begins it.
            sys.stderr.write(f"the parent said something unintelligible: {e}\n")
            return 1
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
    return 0


def _leave_when_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class Child:
    def __init__(
        self,
        channel: Channel,
        tickets_fd: int,
        stop_fd: int,
        frozen_fd: int,
        inherited: CodeSettings | None = None,
    ) -> None:
        self._channel = channel
        self._tickets_fd = tickets_fd
        self._stop_fd = stop_fd
        #: For how long it has been frozen in all.
        self._still_s = partial(still_s, frozen_fd)
        self._pid = os.getpid()
        os.register_at_fork(after_in_child=self._give_up)
        self._warm = WarmStore(held=vram_held)
        self._premises, self._strays = ProcessState(), Strays()
        #: Keys that tasks declare, of what they keep; what was said of them last, and when the memory.
        self._declared: set[str] = set()
        self._said: tuple[str, ...] = ()
        self._weighed_at = 0.0
        self._peak, self._run_delay = Peak(), RunDelay()
        #: Bodies behind which nothing begins that was not given again: they failed, or this child has to go.
        self._broke_off = 0
        self._settings: CodeSettings | None = inherited
        self._modules = 0

    def serve(self) -> None:
        """Until the parent closes its end."""
        self._channel.send(Ready(pid=os.getpid()))
        while True:
            match self._channel.receive():
                case Open(settings=values, visible=visible):
                    os.environ["CUDA_VISIBLE_DEVICES"] = visible
                    code = self._settings = self._told(values)
                    put_on_path(code.project, code.task_modules)
                    os.chdir(code.project)
                    self._premises.settle()
                case Run() as run:
                    # The ticket is taken in any case: it is this one's.
                    is_next = self._may_begin() and run.broke_off == self._broke_off
                    said = self._run(run) if is_next else passed(run)
                    self._broke_off += isinstance(said, BodyEnded) and said.breaks_off
                    self._channel.send(said)
                    # The next one begins when this is said: what runs is what the parent has not heard the
                    # end of.
                    self._channel.settle()
                case _:
                    pass

    def _told(self, values: Mapping[str, Any] | None) -> CodeSettings:
        if values is None:
            assert self._settings is not None, "only a copy is told nothing"
            return self._settings
        settings = msgspec.convert(values, Settings, dec_hook=as_path)
        secrets.remember(settings.secrets)
        return settings.for_code

    def _may_begin(self) -> bool:
        """Takes the ticket. A stop that is still there was for a body before: the parent asks only what
        has begun.
        """
        _read(self._stop_fd, 1 << 10)
        return _read(self._tickets_fd, 1) != b""

    def _run(self, run: Run) -> BodyEnded:
        before = _cpu_s()
        self._peak.begin()
        began_at, began = time.time(), time.monotonic() - self._still_s()
        delayed_s = self._run_delay.seconds()
        warm, modules = self._warm.made, len(sys.modules)
        said = self._body(run)
        seconds = time.monotonic() - self._still_s() - began
        # Not below 0: a body may have closed the account meanwhile.
        delayed_s = max(0.0, self._run_delay.seconds() - delayed_s)
        keeps = self._warm.made != warm
        left_running = self._strays.end(keeps=keeps)
        unclean = self._premises.put_right(keeps=keeps, has_imported=len(sys.modules) != modules)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        return msgspec.structs.replace(
            said,
            began_at=began_at,
            seconds=seconds,
            run_delay_s=round(delayed_s, 6),
            log_bytes=os.fstat(1).st_size,
            rss_mib=self._peak.mib(),
            cpu_s=round(_cpu_s() - before, 3),
            rss_now_mib=self._weigh(),
            warm=self._new_warm(),
            files=self._new_files(),
            left_running=left_running,
            unclean=unclean,
        )

    def _give_up(self) -> None:
        """In a copy of this process that a body made: it answers for nobody, and holds nothing open."""
        self._channel.close()
        if self._tickets_fd >= 0:
            os.close(self._tickets_fd)
            self._tickets_fd = -1  # It may make copies too.

    def _leave_a_copy(self) -> None:
        """A copy in which the body came to its end goes no further; buffers are the original's to flush."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _body(self, run: Run) -> BodyEnded:
        assert self._settings is not None, "the parent opens before it runs"
        spec = from_line(run.line)
        ctx = JobContext(
            spec,
            self._settings,
            attempt=run.attempt,
            token=run.token,
            devices=run.devices,
            engine=run.engine,
            timeout_s=run.timeout_s,
            on_progress=_Throttle(self._channel, run, self._pid).tell,
            stop_fd=self._stop_fd,
            still_s=self._still_s,
            warm=self._warm,
            code=lambda: code_version(run.decl.module),
        )
        declared = self._declared_key(spec, run)
        try:
            self._warm.begin(declared or run.decl.name, run.vram_mib)
            inputs = Inputs(spec, self._settings)
            inputs.check()
            # In a context of its own: decimal's precision, and whatever else lives there, ends with the body.
            result = contextvars.copy_context().run(self._imported(run), spec.args, ctx)
            self._leave_a_copy()
            # Before anything of it can be published.
            inputs.check_again()
            # What cannot be written down must fail here, in the body's name.
            said = plain(result)
            media = output_check.check_counts(
                self._settings, spec, ctx.body, said, lambda: ctx.progress(0.99, "reading what it wrote")
            )
            result = secrets.scrub_all(said)
            return ended(run, result=result, media=media, review=scrubbed(ctx.review), calls=tuple(ctx.calls))
        except BaseException as e:  # noqa: BLE001  whatever a body raises, SystemExit too, is the attempt's end, not the child's
            self._leave_a_copy()
            fault = failure_causes.of_exception(e, bool(run.devices))
            fault = disk_faults.of_roots(self._settings, spec, ctx.body, e, fault)
            place = failure_causes.raised_at(e, run.decl.module, self._settings.project)
            _print_trace(e, run)
            # The traceback holds the body's frames, and these may hold a gigabyte.
            del e
            gc.collect()
            message = secrets.scrub(fault.message)
            return ended(
                run,
                cause=fault.cause,
                message=message,
                raised_at=place,
                rate_key=fault.rate_key,
                retry_after_s=fault.retry_after_s,
                is_lasting=fault.is_lasting,
                stays_with=fault.stays_with,
                calls=tuple(ctx.calls),
            )

    def _imported(self, run: Run) -> Body:
        """Its function. What importing its module changed is no body's doing."""
        before = len(sys.modules)
        body = body_of(run.decl)
        if len(sys.modules) != before:
            self._premises.settle()
        return body

    def _declared_key(self, spec: JobSpec, run: Run) -> str:
        if not run.decl.warm:
            return ""
        if key := filled(run.decl.warm, spec.args):
            self._declared.add(key)
        return key

    def _new_warm(self) -> tuple[str, ...] | None:
        self._warm.end()
        now = tuple(key for key in self._warm.owners() if key in self._declared)
        is_other, self._said = set(now) != set(self._said), now
        return now if is_other else None

    def _weigh(self) -> int | None:
        if time.monotonic() - self._weighed_at < _WEIGH_EVERY_S:
            return None
        self._weighed_at = time.monotonic()
        return resident_mib([os.getpid()])

    def _new_files(self) -> tuple[str, ...] | None:
        if len(sys.modules) == self._modules:
            return None
        self._modules = len(sys.modules)
        return watched_files(self._settings.project if self._settings else None)


def passed(run: Run) -> Passed:
    return Passed(job_id=run.job_id, attempt=run.attempt)


def ended(run: Run, **what: Any) -> BodyEnded:
    return BodyEnded(job_id=run.job_id, attempt=run.attempt, **what)


class _Throttle:
    """Progress is worth no wait: where the parent has much else to hear, it is left out."""

    def __init__(self, channel: Channel, run: Run, pid: int) -> None:
        self._channel = channel
        self._run = run
        self._pid = pid
        self._last = 0.0
        self._note = ""
        # Bodies may report from threads of their own.
        self._lock = threading.Lock()

    def tell(self, fraction: float, note: str) -> None:
        if os.getpid() != self._pid:
            return  # A copy that a body made of this process speaks for nobody.
        with self._lock:
            now = time.monotonic()
            if now - self._last < _PROGRESS_EVERY_S and note == self._note and fraction < 1.0:
                return
            if now - self._last < _PROGRESS_EVERY_S / 10:
                return  # Even new words not faster than that.
            self._last, self._note = now, note
            words = secrets.scrub(note)
            self._channel.offer(
                BodyProgress(
                    job_id=self._run.job_id, attempt=self._run.attempt, fraction=fraction, note=words
                )
            )


def watched_files(project: Path | None) -> tuple[str, ...]:
    """Source files of ours and of the project's that this process has loaded; installed libraries are not
    watched.
    """
    ours = str(Path(__file__).parents[1]) + os.sep
    found: set[str] = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        is_theirs = (
            project is not None and file.startswith(f"{project}{os.sep}") and "site-packages" not in file
        )
        if file.startswith(ours) or is_theirs:
            found.add(file)
    return tuple(sorted(found))


def _print_trace(error: BaseException, run: Run) -> None:
    """The whole story goes to the worker's own log file; the receipt gets the sentence."""
    import traceback

    with suppress(OSError, ValueError):
        sys.stderr.write(f"{run.decl.name} attempt {run.attempt} failed:\n")
        sys.stderr.write(secrets.scrub("".join(traceback.format_exception(error))))


def _cpu_s() -> float:
    own, programs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + programs.ru_utime + programs.ru_stime


def vram_held() -> int | None:
    """MiB of VRAM that this process holds on its fullest device; None where the driver does not tell."""
    held = nvml_probe.held_by([os.getpid()])
    return None if held is None else max(held.values(), default=0)


def _read(fd: int, size: int) -> bytes:
    """What is there now; nothing when nothing is."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
