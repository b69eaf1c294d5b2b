"""One body, from hand-over to its end. What a body cannot be trusted with is enforced here, from outside."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

import msgspec

from conductor.adapters import oom
from workers import causes
from workers.causes import Fault
from workers.host import ChildBroken, Host
from workers.protocol import Ended, Garbled, Progress, Run

if TYPE_CHECKING:
    from conductor.model.spec import Request
    from workers.lease import Held
    from workers.stopping import Stopping

#: A body sees the deadline itself first (`ctx.remaining_s`) and may say what it was doing.
DEADLINE_GRACE_S = 1.0
#: After a stop was asked for, a body has so long to leave; then its process is killed.
STOP_GRACE_S = 2.0


def run_body(host: Host, run: Run, request: Request, held: Held, stopping: Stopping) -> Ended | Fault:
    """Let the child run it. `Ended` is the body's own word, `Fault` what was seen from outside."""
    before = oom.kills()
    try:
        host.run(run)
        ended = _Watch(host, request, held, stopping).until_ended()
    except (EOFError, ChildBroken):
        status = host.bury()
        return causes.of_exit(status, oom.has_grown(before, oom.kills()), host.last_words())
    except Garbled as e:
        host.kill()
        return Fault("task_error", f"the task's process said something unintelligible: {e}")
    if isinstance(ended, Ended) and ended.cause == "task_error" and oom.has_grown(before, oom.kills()):
        # Not the child itself, or it could not say so: most likely a program that it runs.
        words = f"the kernel killed for want of memory while it ran; the task said: {ended.message}"
        return msgspec.structs.replace(ended, cause="host_oom", message=causes.cut(words))
    return ended


class _Watch:
    def __init__(self, host: Host, request: Request, held: Held, stopping: Stopping) -> None:
        self._host = host
        self._request = request
        self._held = held
        self._stopping = stopping
        now = time.monotonic()
        self._deadline = now + request.timeout_s + DEADLINE_GRACE_S
        self._stalls_at = now + request.stall_s if request.stall_s > 0 else None
        #: Why the body was asked to leave, and until when it may.
        self._leaving: Fault | None = None
        self._kill_at: float | None = None

    def until_ended(self) -> Ended | Fault:
        channel = self._host.channel
        while True:
            self._look_for_stop()
            if (fault := self._overdue()) is not None:
                self._host.kill()
                return fault
            if not channel.has_buffered() and not self._sleep():
                continue
            match channel.receive():
                case Progress(fraction=fraction, note=note):
                    self._note(fraction, note)
                case Ended() as ended:
                    # Asked to leave, it left: what it says of its own end is not the reason.
                    return ended if self._leaving is None else self._leaving
                case _:
                    raise Garbled("not a word that a child says while it runs a body")

    def _sleep(self) -> bool:
        """Until the child has said something (True), a limit is reached or somebody wakes us (False)."""
        limits = [at for at in (self._deadline, self._stalls_at, self._kill_at) if at is not None]
        channel, wake = self._host.channel.fileno(), self._stopping.wake_fd
        ready = select.select([channel, wake], [], [], max(0.0, min(limits) - time.monotonic()))[0]
        if wake in ready:
            self._stopping.drain()
        return channel in ready

    def _look_for_stop(self) -> None:
        if self._leaving is not None:
            return
        if self._held.verdict == "cancel":
            self._leaving = causes.CANCELLED
        elif self._held.verdict == "gone":
            self._leaving = Fault("worker_lost", "the attempt was given to another worker")
        elif self._stopping.is_urgent:
            self._leaving = Fault("worker_lost", "the worker was told to stop at once")
        else:
            return
        self._kill_at = time.monotonic() + STOP_GRACE_S
        self._host.stop_body()

    def _overdue(self) -> Fault | None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            return self._leaving
        if now >= self._deadline:
            return Fault("timeout", f"ran longer than its {self._request.timeout_s:g} s and was killed")
        if self._stalls_at is not None and now >= self._stalls_at:
            return Fault("stalled", f"reported no progress for {self._request.stall_s:g} s and was killed")
        return None

    def _note(self, fraction: float, note: str) -> None:
        held = self._held
        held.is_news = held.is_news or fraction != held.progress or note != held.note
        held.progress, held.note = fraction, note
        held.moved_at = time.monotonic()
        if self._stalls_at is not None:
            self._stalls_at = time.monotonic() + self._request.stall_s
