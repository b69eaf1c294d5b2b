"""`conductor up` and `down`: Valkey, node, conductor, web, dashboard as child processes of one that watches
them.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from conductor.adapters.files.web_files import web_url_file
from conductor.adapters.host.own_copy import can_copy
from conductor.adapters.host.processes import (
    detach,
    kill_tree,
    live_pid,
    note_pid,
    remove_pid,
    stop_by_file,
    write_pid,
)
from conductor.adapters.host.service_manager import ServiceManager, taken_from
from conductor.adapters.host.state_folder_watch import watched
from conductor.adapters.host.stopped_processes import StoppedProcesses
from conductor.adapters.host.wakeup import STOP, Wakeup
from conductor.adapters.open_ledger import open_ledger, redis_of
from conductor.adapters.redis import valkey
from conductor.app.child_process import HOPELESS, READY_S, Part, end_stopped, start_part
from conductor.app.early_copy import ALL, IMPORTS, closing_copies, import_all, keep_copy
from conductor.base.errors import ConductorError, ConfigError, Unreachable
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.base.logs.output_file import keep_small
from conductor.base.settings.settings import Settings
from conductor.node.detached import drain_words
from conductor.node.orphan_rescue import return_leftover
from conductor.node.queue_plan import node_name
from conductor.node.run import INTERRUPTED, revive
from conductor.node.single_instance import pid_path, up_file
from conductor.views.dashboard import url_file

#: How often the project's own Valkey is looked after; nobody is told when it dies.
WATCH_S = 0.5
#: After the drain, everything has this long to leave; told to stop now, so long. Then it is killed.
STOP_S = 15.0
STOP_NOW_S = 5.0
#: Parts that only show what goes on: the work goes on without them, and they stay as long as there is
#: something to look at.
TO_LOOK = ("web", "dashboard")


def up(settings: Settings, is_detached: bool = False, drain_for_s: float | None = None) -> int:
    """Run everything until SIGINT or SIGTERM: the first drains, the second stops at once, and so does the end
    of `drain_for_s` after the first. The exit code.

    0: drained (detached: all are up); 130: stopped with jobs in hand. Raises `ConfigError` when it is up
    already or a part refuses its settings, `Unreachable` when the configured Redis does not answer.
    """
    return up_detached(settings, drain_for_s) if is_detached else up_here(settings, drain_for_s)


def down(settings: Settings, is_now: bool = False) -> int:
    """Stop what `up` or `conductor node --detach` started here, and wait until it is gone. True work is
    finished first unless `is_now`; a Ctrl-C while waiting means `is_now`. 0 also when nothing ran."""
    files = [lock_file(settings), pid_path(settings.layout, node_name(settings.node))]
    stopped = [stop_by_file(file, is_now) for file in files]
    if not any(stopped):
        logger.info("Nothing of {} was running", settings.project)
    elif is_now:
        logger.info("What became of the jobs in hand is in {}", settings.logs_dir / "node.jsonl")
    if settings.redis.url is None and valkey.is_running(settings.valkey):
        # Left behind by a process that was killed: whoever uses it last shuts it down, so be that one.
        with valkey.session(settings.valkey):
            pass
    return 0


def lock_file(settings: Settings) -> Path:
    """Held by an `up` from its first moment to its last; says who holds it."""
    return settings.state_dir / "up.lock"


def output_file(settings: Settings) -> Path:
    """What a detached `up` and all its parts say."""
    return settings.logs_dir / "up.log"


def up_detached(settings: Settings, drain_for_s: float | None = None) -> int:
    refuse_second(settings)
    log = output_file(settings)
    argv = [sys.executable, "-P", "-m", "conductor", "up", *drain_words(drain_for_s)]
    words = detach(argv, log, up_file(settings.layout), READY_S, {"CONDUCTOR_PROJECT": str(settings.project)})
    if words:
        raise ConductorError(f"conductor did not come up:\n{words}")
    logger.info("Conductor is up (pid {}); it logs to {}", live_pid(up_file(settings.layout)), log)
    return 0


def up_here(settings: Settings, drain_for_s: float | None = None) -> int:
    service = taken_from()
    refuse_second(settings)
    # Before all else: from here on this process has what a copy must not have.
    keep_copies(parts_of(settings))
    with closing_copies(), only_one(settings) as lock, watched(lock, lock_file(settings)):
        note_pid(lock)
        with redis_held(settings), Wakeup() as wakeup:
            return Up(settings, wakeup, service, drain_for_s).run()


# ── the parts ─────────────────────────────────────────────────────────────────────────────────────────────


class Up:
    """The main loop of `up`. Times are monotonic seconds."""

    def __init__(
        self,
        settings: Settings,
        wakeup: Wakeup,
        service: ServiceManager | None = None,
        drain_for_s: float | None = None,
    ) -> None:
        self._settings = settings
        self._wakeup = wakeup
        self._service = service or ServiceManager()
        self._drain_for_s = drain_for_s
        self._drain_by: float | None = None
        self._parts = parts_of(settings)
        for part in self._parts:
            if part.name == "conductor":
                # It knows whether it ticks; this process only knows whether it lives.
                part.env = self._service.environment
        self._stopped = StoppedProcesses(settings.timing.lease_s)
        self._asked = 0
        self._stop_by: float | None = None
        self._hopeless: Part | None = None
        self._is_announced = False

    def run(self) -> int:
        try:
            while not self._is_over():
                self._turn()
                for number in self._wakeup.wait(WATCH_S):
                    if number in STOP:
                        self.hear()
        finally:
            self._leave()
        if self._hopeless is not None:
            raise ConfigError(f"the {self._hopeless.name} cannot be started: see what it says above")
        return INTERRUPTED if self._asked > 1 else 0

    def _turn(self) -> None:
        end_stopped(self._stopped, self._parts)
        for part in tuple(self._parts):
            self._reap(part)
        if self._asked == 0:
            self._start_due()
            self._announce()
        try:
            revive(self._settings)
        except Unreachable as e:
            logger.warning("{}", e)
        if self._asked:
            # The conductor has ended, and nobody else says that all is well until the work in hand is done.
            self._service.alive()
        if self._asked == 1 and self._drain_by is not None and time.monotonic() > self._drain_by:
            self.hear()
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._kill()
        keep_small(output_file(self._settings))

    def _reap(self, part: Part) -> None:
        if part.process is None or (code := part.process.poll()) is None:
            return
        part.process = None
        if self._asked:
            return
        delay = part.backoff.died(time.monotonic() - part.started_at, code)
        part.start_at = time.monotonic() + delay
        if code in HOPELESS and part.name in TO_LOOK:
            words = "There is no {part} (what it says is above); everything else goes on"
            emit_event("part.given_up", words, part=part.name)
            self._parts.remove(part)
            return
        if code in HOPELESS:
            self._hopeless = part
            self.hear()
            return
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        later = f" in {delay:g} s" if delay else ""
        emit_event("part.ended", "The {part} ended ({why}); starting it again{}", later, part=part.name,
                   why=how, seconds=delay)  # fmt: skip

    def _start_due(self) -> None:
        for part in self._parts:
            if part.process is None and part.start_at <= time.monotonic():
                start_part(self._settings.project, part)

    def _announce(self) -> None:
        """Once the node reports and the pages are there: to the user, and by the pid file to who waits."""
        if self._is_announced or not is_ready(self._settings, self._parts):
            return
        self._is_announced = True
        write_pid(up_file(self._settings.layout))
        pages = pages_of(self._settings.state_dir)
        self._service.ready(f"Up; {pages}" if pages else "Up")
        logger.info("Up{}. Ctrl-C drains, a second one stops at once", f"; {pages}" if pages else "")

    def hear(self) -> None:
        """One word to stop."""
        self._asked += 1
        if self._asked == 1:
            words = "Draining: what runs is finished (a second signal stops at once)"
            emit_event("project.draining", words)
            self._service.stopping(words)
            if self._drain_for_s is not None:
                self._drain_by = time.monotonic() + self._drain_for_s
            self._signal("conductor", "node")
        elif self._stop_by is None:
            emit_event("project.stopping", "Stopping now: the jobs in hand go back to the backlog")
            self._stop_by = time.monotonic() + STOP_NOW_S
            # Another number than the first: two pending signals of one kind are one.
            self._signal("node", number=signal.SIGINT)

    def _signal(self, *names: str, number: signal.Signals = signal.SIGTERM) -> None:
        for part in self._parts:
            if part.name in names and part.process is not None and part.process.poll() is None:
                part.process.send_signal(number)

    def _is_over(self) -> bool:
        return self._asked > 0 and all(p.process is None for p in self._parts if p.name not in TO_LOOK)

    def _leave(self) -> None:
        """Also after an error: nothing stays behind."""
        self._signal(*TO_LOOK, "conductor", "node")
        deadline = time.monotonic() + STOP_S
        while (
            any(p.process and p.process.poll() is None for p in self._parts) and time.monotonic() < deadline
        ):
            self._wakeup.wait(0.1)
        self._kill()
        remove_pid(up_file(self._settings.layout))

    def _kill(self) -> None:
        for part in self._parts:
            if part.process is not None and part.process.poll() is None:
                emit_event("part.killed", "The {part} does not end: it is killed, and all below it",
                           part=part.name)  # fmt: skip
                kill_tree(part.process.pid)
                part.process.wait()
                if part.name == "node":
                    self._return_leftover()

    def _return_leftover(self) -> None:
        """What its node had in hand would be called running until somebody misses it."""
        try:
            with open_ledger(self._settings, is_lenient=True, is_joining=True) as ledger:
                return_leftover(ledger, self._settings.receipts_dir, node_name(self._settings.node))
        except (ConductorError, OSError) as e:
            logger.warning("The jobs in hand go back when their leases have run out: {}", e)


def parts_of(settings: Settings) -> list[Part]:
    parts = [Part("conductor", ("conduct",))]
    node = live_pid(pid_path(settings.layout, node_name(settings.node)))
    if node is None:
        parts.insert(0, Part("node", ("node",)))
    else:
        logger.info("Using the node that already runs here (pid {}); it stays when this ends", node)
    if settings.web.is_on:
        parts.append(Part("web", ("web",)))
    if settings.dashboard.is_on:
        parts.append(Part("dashboard", ("dashboard",)))
    return parts


def keep_copies(parts: Sequence[Part]) -> None:
    """A copy of this process for each, that has imported what it needs, and what those before it need."""
    for part in parts if can_copy() else ():
        try:
            import_all((*ALL, *IMPORTS[part.words[0]]))
        except Exception as e:  # noqa: BLE001  of whatever library: the part says so itself, the others go on
            logger.debug("The {} begins as a program of its own: {}", part.name, e)
            continue
        # Nothing of it is garbage, and a collection would write to all of it: it lies in memory once.
        gc.freeze()
        keep_copy(part.words[0])


def is_ready(settings: Settings, parts: Sequence[Part]) -> bool:
    """What shows the work is not waited for where it does not come up."""
    named = {part.name: part for part in parts}
    node = named.get("node")
    has_node = node is None or live_pid(pid_path(settings.layout, node_name(settings.node))) == node.pid
    shows = address_files(settings.state_dir)
    return has_node and all(
        part.backoff.is_looping or shows[name].exists() for name, part in named.items() if name in shows
    )


def address_files(state_dir: Path) -> dict[str, Path]:
    """Part that only shows → where its address stands once it listens."""
    return {"web": web_url_file(state_dir), "dashboard": url_file(state_dir)}


def pages_of(state_dir: Path) -> str:
    """«page: http://127.0.0.1:9280/; rq-dashboard: …», of those that run."""
    names = {"web": "page", "dashboard": "rq-dashboard"}
    there = {names[part]: file for part, file in address_files(state_dir).items() if file.exists()}
    return "; ".join(f"{name}: {file.read_text().strip()}" for name, file in there.items())


# ── one at a time, and Redis under all ────────────────────────────────────────────────────────────────────


def refuse_second(settings: Settings) -> None:
    with only_one(settings):
        pass


@contextmanager
def only_one(settings: Settings) -> Generator[int]:
    """Its descriptor. The kernel lets go of the lock when this process dies, however it dies."""
    make_own(settings.state_dir)
    lock = os.open(lock_file(settings), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = live_pid(lock_file(settings))
            who = f"pid {pid}" if pid else "it is just starting"
            raise ConfigError(
                f"{settings.project} is up already ({who}); `conductor down` stops it"
            ) from None
        yield lock
    finally:
        os.close(lock)


@contextmanager
def redis_held(settings: Settings) -> Generator[None]:
    """The project's own Valkey for as long as the block lasts; a Redis of somebody else's answers once."""
    with redis_of(settings):
        if settings.redis.url is not None:
            yield
            return
        with valkey.session(settings.valkey):
            yield
