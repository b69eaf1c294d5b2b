"""The parent of this host's workers: starts as many as planned, sees a dead one at once, starts another."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from conductor.adapters.host.processes import kill_session, spawn
from conductor.adapters.host.stopped_processes import LOOK_EVERY_S, StoppedProcesses
from conductor.model.report import QueueReport
from conductor.model.worker import RETIRED
from conductor.node.fork_server import ForkServer, Running
from conductor.node.queue_plan import QueuePlan
from conductor.node.restart_backoff import SETTLED_S, Backoff
from conductor.node.seat import Seat, WorkerProcess
from conductor.node.start_output import StartOutput


class Death(Struct, frozen=True, kw_only=True):
    """A worker that ended, and how."""

    worker: str
    queue: str
    pid: int
    #: Negative: killed by that signal.
    exit_code: int
    #: The kernel killed for want of memory meanwhile.
    was_oom: bool = False
    #: Before it was killed for that, somebody had stopped it for so long.
    stopped_s: float = 0.0
    #: Nobody saw its end: its node was dead by then.
    is_unseen: bool = False

    @property
    def has_retired(self) -> bool:
        """It had nothing to do for long, and left by itself."""
        return self.exit_code == RETIRED

    @property
    def message(self) -> str:
        """«worker gpu-a-1f2e (pid 412) was killed by SIGKILL»."""
        return f"{self._how}, for the host ran out of memory" if self.was_oom else self._how

    @property
    def _how(self) -> str:
        if self.stopped_s:
            return (
                f"worker {self.worker} (pid {self.pid}) stood still for {self.stopped_s:.0f} s, "
                "stopped by a signal"
            )
        if self.is_unseen:
            return f"worker {self.worker} (pid {self.pid}) died with an earlier node of its host"
        if self.exit_code >= 0:
            return f"worker {self.worker} (pid {self.pid}) ended with exit code {self.exit_code}"
        return f"worker {self.worker} (pid {self.pid}) was killed by {signal_name(-self.exit_code)}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


#: Where what it says goes, None: where ours goes.
Launch = Callable[[QueuePlan, str, "StartOutput | None"], "Running"]


class Supervisor:
    """Main thread only. Times are monotonic seconds."""

    def __init__(
        self,
        launch: Launch,
        lease_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        starts_all: bool = True,
    ) -> None:
        """`lease_s`: a worker that does not renew for so long has lost what it held; one that is stopped for
        so long is replaced. `starts_all`: without being called (`call`)."""
        self._launch = launch
        self._clock = clock
        self._stopped = StoppedProcesses(lease_s)
        self._seats: list[Seat] = []
        self._is_draining = False
        self._starts_all = starts_all

    def plan(self, plans: Sequence[QueuePlan]) -> None:
        """What there should be from now on. Workers of a queue that is no longer planned, or whose card is
        another now, finish their job and go."""
        if self._is_draining:
            return
        for plan in plans:
            seats = [seat for seat in self._seats if seat.plan.place == plan.place and seat.is_wanted]
            missing = range(plan.workers - len(seats))
            self._seats += [Seat(plan=plan, is_called=self._starts_all) for _ in missing]
        planned = {plan.place for plan in plans}
        for seat in self._seats:
            if seat.is_wanted and seat.plan.place not in planned:
                self._dismiss(seat)

    def call(self, waiting: Mapping[str, int]) -> None:
        """Queue → so many entries lie in it: as many workers are wanted there, those among them that have
        just been started."""
        now = self._clock()
        for queue, entries in waiting.items():
            seats = [seat for seat in self._seats if seat.plan.queue == queue]
            coming = sum(seat.is_coming(now) for seat in seats)
            asleep = [seat for seat in seats if seat.is_asleep]
            for seat in asleep[: max(0, entries - coming)]:
                seat.is_called = True

    def reap(self) -> list[Death]:
        """Those that died since the last call, or stood still for too long; what they left of their sessions
        is killed."""
        self._end_stopped()
        return [death for seat in self._seats if (death := self._reap(seat)) is not None]

    def start_due(self) -> None:
        """Fill the seats whose time has come. After `reap`'s dead were rescued, so that none is passed
        over.
        """
        self._seats = [seat for seat in self._seats if seat.is_wanted or seat.worker is not None]
        now = self._clock()
        for seat in self._seats:
            if seat.worker is None and seat.is_called and seat.start_at <= now:
                name = f"{seat.plan.queue}-{secrets.token_hex(4)}"
                overheard = StartOutput() if seat.backoff.quick_deaths else None
                seat.worker = WorkerProcess(name, self._launch(seat.plan, name, overheard), now, overheard)
            elif seat.worker is not None and seat.worker.overheard is not None:
                seat.worker.overheard.pass_on()

    def drain(self) -> None:
        """SIGTERM: each finishes the job in hand, takes no other, and goes; nobody is replaced."""
        self._is_draining = True
        for seat in self._seats:
            self._dismiss(seat)

    def kill(self) -> None:
        """SIGKILL to every worker and all that runs in its session."""
        self._is_draining = True
        for seat in self._seats:
            seat.is_wanted = False
            if seat.worker is not None:
                kill_session(seat.worker.process.pid)

    def had_settled(self, name: str) -> None:
        """The dead worker `name` had a job in hand, so its start was sound: its seat waits for nothing."""
        for seat in self._seats:
            if seat.last == name:
                seat.start_at = self._clock()
                seat.backoff = Backoff()

    @property
    def is_empty(self) -> bool:
        return all(seat.worker is None for seat in self._seats)

    @property
    def has_asleep(self) -> bool:
        """Places without a worker, that have one once they are called."""
        return any(seat.is_asleep for seat in self._seats)

    @property
    def next_look_s(self) -> float | None:
        """Seconds until the next back-off is over, or one that is stopped is to be looked at; None: no
        need.
        """
        waits = [
            seat.start_at - self._clock()
            for seat in self._seats
            if seat.is_wanted and seat.is_called and seat.worker is None
        ]
        waits += [LOOK_EVERY_S] if self._stopped.some else []
        # One that was dying at start is taken for one that lives once it has lived for so long.
        waits += [
            seat.worker.started_at + SETTLED_S - self._clock()
            for seat in self._seats
            if seat.worker is not None and seat.dying(self._clock())
        ]
        return max(0.0, min(waits)) if waits else None

    def queues(self) -> tuple[QueueReport, ...]:
        """Per queue, how many workers take what is handed over at this moment: those that live, and those
        that start for it at once. Those that are told to go do not count, nor those that were just started
        where others kept dying at start, or would be: what would be handed to them would wait."""
        reports: dict[str, QueueReport] = {}
        now = self._clock()
        dying_queues = {seat.plan.queue for seat in self._seats if seat.is_wanted and seat.dying(now)}
        for seat in self._seats:
            plan, before = seat.plan, reports.get(seat.plan.queue)
            dying = seat.dying(now) if seat.is_wanted else ""
            alive = seat.is_wanted and seat.worker is not None and not dying
            alive = alive or (seat.is_asleep and plan.queue not in dying_queues)
            reports[plan.queue] = QueueReport(
                queue=plan.queue,
                lane=plan.lane,
                device=plan.device,
                workers=int(alive) + (before.workers if before else 0),
                dying=dying or (before.dying if before else ""),
            )
        return tuple(reports.values())

    def pids(self) -> dict[int, str]:
        """Pid → name of the workers that live, those that are told to go among them."""
        return {seat.worker.process.pid: seat.worker.name for seat in self._seats if seat.worker is not None}

    def notes(self) -> tuple[str, ...]:
        loops = sorted((q.queue, q.dying) for q in self.queues() if q.dying)
        names, limit_s = self.pids(), self._stopped.limit_s
        return (
            *(f"workers of {queue} keep dying at start: {ended}" for queue, ended in loops),
            *(
                f"worker {names[pid]} (pid {pid}) is stopped by a signal; it is replaced after {limit_s:g} s"
                for pid in self._stopped.some
                if pid in names
            ),
        )

    def _end_stopped(self) -> None:
        """It has lost what it held, and no other worker will sit in its place as long as it is there."""
        by_pid = {seat.worker.process.pid: seat.worker for seat in self._seats if seat.worker is not None}
        for pid, stood_s in self._stopped.over(by_pid, self._clock()).items():
            by_pid[pid].stopped_s = stood_s
            kill_session(pid)

    def _reap(self, seat: Seat) -> Death | None:
        worker = seat.worker
        if worker is None or (code := worker.process.poll()) is None:
            return None
        seat.worker, seat.last = None, worker.name
        seat.ended = self._how_it_ended(worker, code)
        if code == RETIRED:
            seat.is_called, seat.backoff = False, Backoff()
        else:
            seat.start_at = self._clock() + seat.backoff.died(self._clock() - worker.started_at, code)
        # Its body may still be writing: it must be gone before somebody else gets the job.
        kill_session(worker.process.pid)
        return Death(
            worker=worker.name,
            queue=seat.plan.queue,
            pid=worker.process.pid,
            exit_code=code,
            stopped_s=worker.stopped_s,
        )

    def _how_it_ended(self, worker: WorkerProcess, code: int) -> str:
        """Without its name and pid: each is another one, and the reason stays the same."""
        how = f"exit code {code}" if code >= 0 else f"killed by {signal_name(-code)}"
        if worker.overheard is None:
            return how
        worker.overheard.pass_on()
        words = worker.overheard.last_words()
        worker.overheard.close()
        return f"{how}: {words}" if words else f"{how}, and said nothing"

    def _dismiss(self, seat: Seat) -> None:
        seat.is_wanted = False
        if seat.worker is not None and seat.worker.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(seat.worker.process.pid, signal.SIGTERM)


def launcher(project: Path, node: str, server: ForkServer | None = None, idle_s: float = 0.0) -> Launch:
    """Starts a worker for a queue: a copy of the fork server, or `python -m workers` where there is none.
    `idle_s`: with nothing to do for so long it leaves; 0: never."""

    def launch(plan: QueuePlan, name: str, overheard: StartOutput | None) -> Running:
        words = ["--queue", plan.queue, "--lane", plan.lane, "--node", node]
        words += ["--name", name, *(("--device", plan.device) if plan.device else ())]
        words += ["--idle-s", f"{idle_s:g}"] if idle_s else []
        env = {"CONDUCTOR_PROJECT": str(project)}
        if plan.uuid:
            # By UUID: CUDA's own numbering need not be NVML's.
            env["CUDA_VISIBLE_DEVICES"] = plan.uuid
        elif plan.lane != "gpu" or plan.device is None:
            env["CUDA_VISIBLE_DEVICES"] = ""
        # One that keeps dying is started afresh: what the server has imported may be what it dies of.
        if overheard is None and server is not None and (copy := server.launch(words, env)) is not None:
            return copy
        # -P: a folder of the project's that is called `workers` is not ours.
        return spawn(
            [sys.executable, "-P", "-m", "workers", *words],
            env=env,
            cwd=project,
            output=overheard and overheard.file,
        )

    return launch
