"""The child as its parent sees it: started, spoken to, replaced when it is stale, killed with all its
family.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from conductor.adapters.host import nvml_probe
from conductor.adapters.host.cgroup import ChildCgroup
from conductor.adapters.host.processes import SESSION
from conductor.base import secrets
from conductor.base.logs.events import emit_event
from workers.isolation.code_stamps import LoadedCode
from workers.isolation.forked_child import ForkedChild, forked
from workers.isolation.frozen_family import FrozenFamily
from workers.isolation.leaks import Leaks
from workers.isolation.pipe_tickets import drain, pipe, waiting_in
from workers.isolation.printed_output import Printed
from workers.isolation.protocol import BodyEnded, Channel, Garbled, Open, Ready, Run, ToParent
from workers.system import process_tree
from workers.system.reaping import REAP_LIMIT_S, Unkillable, has_ended, is_ending, reap

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings
    from workers.isolation.held_attempt import Held

#: Imports on a cold, busy disk; a child that takes longer is broken.
START_LIMIT_S = 60.0
#: Of jobs that last milliseconds a thousand are over in a second: so long a child is kept all the same.
MIN_AGE_S = 600.0
_TAIL_BYTES = 2000
_PACKAGES = Path(__file__).resolve().parents[2]


class ChildBroken(Exception):
    """The child does not start, or does not speak the protocol."""


class ChildProcess:
    """At most one child at a time. Main thread only: the kernel ties the child to the thread that started
    it.
    """

    def __init__(self, settings: Settings, name: str, device: str | None = None) -> None:
        self._settings = settings
        self._device = device
        log = settings.logs_dir / f"worker-{name}.out"
        self.printed = Printed(log, settings.logs_dir, settings.clean.body_bytes)
        self._process: subprocess.Popen[bytes] | ForkedChild | None = None
        self._channel: Channel | None = None
        self._visible = ""
        self._jobs = 0
        #: Bodies of this child behind which nothing begins by itself, as far as was heard.
        self._broke_off = 0
        self._born_at = self._born_at_epoch = 0.0
        self._code = LoadedCode()
        #: Why the child should go before the next job: it does not give memory back.
        self._tired = ""
        self._leaks = Leaks(settings.workers)
        self._warm: tuple[str, ...] = ()
        #: (our end, the child's end), see `protocol`.
        self._tickets = self._stop = (-1, -1)
        #: Children of this process that are none of the child's: it may be somebody's own (`run_job`).
        self._others: frozenset[int] = frozenset()
        #: Bodies that had not begun when the child buried last went, and what it had said and nobody had
        #: read.
        self.unbegun = 0
        self.last_said: Sequence[object] = ()
        #: Nobody else looks at the child's pid while it is given back to the kernel.
        self._reaping = threading.Lock()
        #: What the child and all that it starts lies in, where there can be one.
        self._cgroup = ChildCgroup()
        #: The child and all below it, where they are to stand still.
        self.frozen = FrozenFamily()
        #: Most memory that the child buried last ever held, since its last job began.
        self.peak_mib: int | None = None

    @property
    def pid(self) -> int:
        """0 when there is no child."""
        return self._process.pid if self._process else 0

    @property
    def channel(self) -> Channel:
        assert self._channel is not None, "ensure() comes first"
        return self._channel

    def fork(self, loaded_at: float) -> None:
        """The first child, as a copy of this process: before it has threads, connections or a device.
        `loaded_at`: epoch seconds, before all that both have imported. Raises `ChildBroken`.
        """
        self._start(self._visible_for(()), is_copy=True)
        self._born_at_epoch = loaded_at

    def ensure(self, devices: Sequence[str]) -> None:
        """A child that is alive, fresh enough and sees exactly these devices (keys, or what CUDA knows them
        by). Raises `ChildBroken`."""
        visible = self._visible_for(devices)
        # Whoever saves a file and then sends a job means that.
        self._code.look_again()
        if self._process is not None and self._jobs == 0 and visible != self._visible:
            self._turn_to(visible)
        reason = self._why_replace(visible)
        if reason and self._process is not None:
            logger.debug("New child for {}: {}", self.printed.file.stem, reason)
            self.kill()
        if self._process is None:
            self._start(visible)

    def give(self, run: Run) -> None:
        """One more body to run, after those that were given before. Raises `ChildBroken` when nobody is
        there.
        """
        self._jobs += 1
        try:
            # The ticket first: a child that reads faster than we write would find none.
            os.write(self._tickets[0], b"!")
            self.channel.send(msgspec.structs.replace(run, broke_off=self._broke_off))
        except OSError as e:
            # Its ticket would be taken for that of the body before, as if that one had not begun.
            with suppress(BlockingIOError):
                os.read(self._tickets[1], 1)
            self._jobs -= 1
            raise ChildBroken(str(e)) from None

    def begin(self, log_start: int | None = None) -> None:
        """The next body has its turn: what was printed (up to `log_start`, or now) and used before is not
        its own.
        """
        self.peak_mib = None
        self.frozen.next_begins()
        self.printed.begin(log_start)

    def take_back(self, most: int | None = None) -> int:
        """How many of the bodies given, the last ones (`most` of them), had not begun; they will not (the
        child says `Passed`)."""
        back = drain(self._tickets[1], most)
        self._jobs -= back
        return back

    def passes_over(self, behind: int) -> None:
        """A body broke the row off: so many that had been given behind it will not begin (the child says
        `Passed`).
        """
        self._broke_off += 1
        self._jobs -= behind

    def stop_body(self) -> None:
        """The body that runs is to leave; a child that does not is killed soon after. First `take_back`
        the others.
        """
        self.frozen.end(is_barred=True)
        os.write(self._stop[0], b"!")

    def is_due(self, devices: Sequence[str]) -> bool:
        """Should another child run what comes next?"""
        return self._why_replace(self._visible_for(devices)) != ""

    def weigh(self, ended: BodyEnded, vram_mib: int | None) -> None:
        """After a body: does its memory come back, and is all else as before. If not, the child is replaced
        before the next one."""
        self._warm = self._warm if ended.warm is None else ended.warm
        left = f"a body {ended.unclean}" if ended.unclean else ""
        if not self._tired and (reason := left or self._leaks.look(ended.rss_now_mib, vram_mib, self._warm)):
            self._tired = reason
            words = "The child of {worker} is replaced: {why}"
            emit_event("child.replaced", words, worker=self.printed.file.stem, why=self._tired)

    @property
    def is_warm(self) -> bool:
        """It keeps something for the next job."""
        return bool(self._warm) and not self._has_gone()

    def watch(self, files: Sequence[str], began_at: float) -> None:
        """Replace the child once one of these source files changes. The new ones were loaded by a body that
        began at `began_at` (epoch seconds); our own when the child was born."""
        self._code.know(files, self._born_at_epoch, began_at, time.time())

    def rest(self) -> None:
        """Nothing came to be done: what has to be looked at now and then is looked at now."""
        self._code.rest(time.monotonic())

    def kill(self) -> int | None:
        """End the child and every process below it, and reap. Its exit status; 0 when there was none."""
        if self._process is None:
            self.unbegun, self.last_said = 0, ()
            return 0
        self.strike(self.pid)
        return self.bury()

    def strike(self, pid: int) -> bool:
        """Kill the child and every process below it, if it is still `pid`: from any thread. It is reaped
        by `bury`.
        """
        with self._reaping:
            process = self._process
            if process is None or process.pid != pid or process.poll() is not None:
                return False
            self._kill_family(pid)
            return True

    def freeze(self, held: Held, why: str, note: Path) -> bool:
        """Stop the child and every process below it, until `frozen.end`: from any thread. False: not now."""
        with self._reaping:
            process = self._process
            if process is None or process.poll() is not None:
                return False
            return self.frozen.begin(process.pid, held, why, note)

    def unbegun_now(self) -> int:
        """Bodies given that have not begun: from any thread."""
        with self._reaping:
            return waiting_in(self._tickets[1]) if self._process is not None else 0

    def unheard_ends(self) -> int:
        """Ends that the child has said and nobody has looked at: from any thread."""
        channel = self._channel
        return 0 if channel is None else channel.unheard_ends()

    def bury(self) -> int | None:
        """The child has ended or closed its channel: reap it and what it left behind. Its exit status; None
        where it lived on without its channel, and was killed here.

        Raises `Unkillable`."""
        assert self._process is not None
        lived_on = False
        if not has_ended(self._process, 1.0):
            lived_on = not is_ending(self._process.pid)
            self._kill_family(self._process.pid)
            if not has_ended(self._process, REAP_LIMIT_S):
                raise Unkillable(self._process.pid)
        with self._reaping:
            process, self._process = self._process, None
            status, self.peak_mib = reap(process)
        self.frozen.end()
        process_tree.kill_group(process.pid)
        process_tree.kill_adopted(but=self._others)
        self._cgroup.end()
        if self._channel is not None:
            self.last_said = tuple(self._channel.last_words())
            self.unbegun = drain(self._tickets[1])
            self._close_ends()
        return None if lived_on else status

    def _kill_family(self, pid: int) -> None:
        self._cgroup.kill()
        # Also a child that has not moved yet, or could not.
        process_tree.kill_family(pid)

    def _close_ends(self) -> None:
        assert self._channel is not None
        self._channel.close()
        self._channel = None
        for end in (*self._tickets, *self._stop):
            os.close(end)

    def keep_words(self, job_id: str, body: str, until: int | None = None) -> None:
        """A body has ended: what it printed (up to `until`, or now) goes into a file of its own."""
        self.printed.end(job_id, body, until)

    def clean_up(self) -> None:
        """Between jobs: keep the log small."""
        self.printed.clean_up()

    def last_words(self) -> str:
        """The end of what this attempt's body printed."""
        return self.printed.tail(_TAIL_BYTES)

    def close(self) -> None:
        self.kill()
        self._cgroup.close()
        self.frozen.close()
        self.printed.close()

    def _visible_for(self, devices: Sequence[str]) -> str:
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if not devices and self._device is None:
            return given  # An engine chose the cards of this attempt; workers of a node are given none.
        devices = devices or (self._device or "",)
        if given.startswith(("GPU-", "MIG-")) and "," not in given and tuple(devices) == (self._device,):
            return given  # The node named it by UUID: that device it is, wherever the driver lists it now.
        # Asked anew each time: rare, and a card may have come meanwhile. What is not known is left as it is
        # named: CUDA sees nothing then, where a number would show it another card.
        known = (nvml_probe.uuids() or {}) if any(device.startswith("gpu") for device in devices) else {}
        return ",".join(known.get(device, device) for device in devices)

    def _turn_to(self, visible: str) -> None:
        """CUDA looks at what is visible when it is first used: a child that has run nothing can still be
        told.
        """
        try:
            self.channel.send(self._opened(visible))
            self._visible = visible
        except OSError:
            logger.debug("The child was gone before its first job")

    def _opened(self, visible: str) -> Open:
        told = None if isinstance(self._process, ForkedChild) else _without_secrets(self._settings)
        return Open(settings=told, visible=visible)

    # ── starting ──────────────────────────────────────────────────────────────────────────────────────────

    def _why_replace(self, visible: str) -> str:
        if self._process is None:
            return "there is none"
        if self._has_gone():
            return "it has ended"
        if visible != self._visible:
            return f"devices {visible or 'none'} instead of {self._visible or 'none'}"
        now = time.monotonic()
        if self._tired:
            return self._tired
        if 0 < self._settings.workers.max_jobs <= self._jobs and now - self._born_at >= MIN_AGE_S:
            return f"it has run {self._jobs} jobs"
        changed = self._code.changed(now)
        return f"{changed} changed" if changed else ""

    def _start(self, visible: str, is_copy: bool = False) -> None:
        ours, theirs = socket.socketpair()
        self._tickets, self._stop = pipe(), pipe()
        try:
            self._process = self._spawn(theirs, visible, is_copy)
        finally:
            theirs.close()
        self.printed.watch()
        self._visible, self._jobs, self._broke_off, self._code = visible, 0, 0, LoadedCode()
        self._born_at, self._born_at_epoch = time.monotonic(), time.time()
        self._tired, self._leaks, self._warm = "", Leaks(self._settings.workers), ()
        self._channel = Channel(ours, ToParent)
        try:
            self._channel.send(self._opened(visible))
            answer = self._channel.receive(START_LIMIT_S)
        except (OSError, EOFError, Garbled):
            answer = None
        if not isinstance(answer, Ready):
            status = self.kill()
            raise ChildBroken(
                f"the worker's child does not start (exit status {status}): {self.last_words()}"
            )

    def _spawn(
        self, theirs: socket.socket, visible: str, is_copy: bool
    ) -> subprocess.Popen[bytes] | ForkedChild:
        environment = secrets.for_bodies(self._settings.secrets)
        # NVML's numbers are by bus; CUDA's own order would put the fastest first.
        environment |= {
            "CUDA_VISIBLE_DEVICES": visible,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "PYTHONUNBUFFERED": "1",
        }
        # Should this process be killed: its node finds what bodies have led out of its session.
        environment[SESSION] = str(os.getsid(0))
        self._others = frozenset(process_tree.children_of(os.getpid()))
        entry, sinks = self._cgroup.make(), self.printed.open()
        ends = (
            *(theirs.fileno(), self._tickets[1], self._stop[1], self.frozen.fd, entry),
            sinks.ranges.fileno(),
        )
        try:
            if is_copy:
                streams = sinks.stdout.fileno(), sinks.stderr.fileno()
                return forked(streams, ends, environment, self._settings.for_code)
            return subprocess.Popen(
                [sys.executable, "-m", "workers.isolation.child_main", str(os.getpid()), *map(str, ends)],
                cwd=_PACKAGES,
                env=environment,
                pass_fds=[end for end in ends if end >= 0],
                stdin=subprocess.DEVNULL,
                stdout=sinks.stdout,
                stderr=sinks.stderr,
                process_group=0,
            )
        finally:
            if entry >= 0:
                os.close(entry)

    def _has_gone(self) -> bool:
        with self._reaping:
            return self._process is None or self._process.poll() is not None


def _without_secrets(settings: Settings) -> dict[str, object]:
    values = msgspec.to_builtins(settings, enc_hook=str)
    values["redis"].pop("url", None)
    values["dashboard"].pop("redis_url", None)
    return values
