"""A node for one command: `conduct` on a Redis to which no node reports."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from conductor.adapters.host.own_copy import OwnCopy
from conductor.adapters.host.processes import live_pid
from conductor.adapters.host.stopped_processes import LOOK_EVERY_S, StoppedProcesses
from conductor.app.child_process import HOPELESS, READY_S, Part, end_stopped, start_part
from conductor.base.errors import ConductorError
from conductor.base.logs.events import emit_event
from conductor.base.settings.settings import Settings
from conductor.node.queue_plan import node_name
from conductor.node.single_instance import pid_path


@contextmanager
def embedded_node(settings: Settings) -> Generator[NodeKeeper]:
    """A node of this command's own, for `conduct` on a Redis without one: up when the block begins, drained
    at its end.

    A Ctrl-C while it drains stops it at once, as does a second one in the block. Raises `ConductorError` when
    it does not come up; one that dies later is started again.
    """
    keeper = NodeKeeper(settings)
    emit_event("node.embedded", "No node reports to this Redis: starting one for this run")
    keeper.start()
    try:
        keeper.wait_ready()
        yield keeper
    except KeyboardInterrupt:
        keeper.stop(is_now=True)
        raise
    finally:
        keeper.stop()


class NodeKeeper(threading.Thread):
    """Starts the node and starts it again when it dies: one thread for both, because it dies with that
    thread.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="node-keeper", daemon=True)
        self._settings = settings
        self._part = Part("node", ("node",))
        self._stopping = threading.Event()
        self._gave_up: int | None = None

    def run(self) -> None:
        part = self._part
        while not self._stopping.is_set():
            start_part(self._settings.project, part)
            assert part.process is not None
            code = self._ended(part.process)
            if self._stopping.is_set():
                return
            if code in HOPELESS or (part.backoff.is_looping and code != 0):
                self._gave_up = code
                return
            delay = part.backoff.died(time.monotonic() - part.started_at, code)
            emit_event(
                "node.restarted",
                "The node of this run ended (exit code {exit_code}); starting it again",
                exit_code=code,
            )
            self._stopping.wait(delay)

    def _ended(self, process: subprocess.Popen[bytes] | OwnCopy) -> int:
        stopped = StoppedProcesses(self._settings.timing.lease_s)
        while True:
            try:
                return process.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                end_stopped(stopped, (self._part,))

    @property
    def gave_up(self) -> bool:
        """It ended at each start: nothing will run any more."""
        return self._gave_up is not None

    def wait_ready(self) -> None:
        file = pid_path(self._settings.layout, node_name(self._settings.node))
        deadline = time.monotonic() + READY_S
        while self._part.pid is None or live_pid(file) != self._part.pid:
            if self._gave_up is not None or time.monotonic() > deadline:
                raise ConductorError("the node of this run did not come up: see what it says above")
            time.sleep(0.02)

    def stop(self, is_now: bool = False) -> None:
        self._stopping.set()
        try:
            self._tell(signal.SIGTERM)
            if not is_now:
                self.join()
                return
        except KeyboardInterrupt:
            pass
        # Another number: two pending signals of one kind are one.
        self._tell(signal.SIGINT)
        self.join()

    def _tell(self, number: signal.Signals) -> None:
        process = self._part.process
        if process is not None and process.poll() is None:
            process.send_signal(number)
