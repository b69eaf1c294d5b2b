"""Engine `local`: processes of this host, as many at once as its cores and memory allow. To try pilots out,
and for tests: it forgets all when its own process ends, and what it runs ends with it (Linux).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from conductor.adapters.engines.local_process import LocalProcess, start_process
from conductor.model.engine import EngineCapacity, EngineChanges, EngineJob, Submission, SubmitAnswer

#: Between SIGTERM and SIGKILL, of who is cancelled or has used up its time.
KILL_AFTER_S = 30.0


class LocalEngine:
    def __init__(
        self,
        cpus: int | None = None,
        ram_mib: int | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        launch: Callable[[Submission, Mapping[str, str]], LocalProcess] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`environment`: what submissions get below their own; None: this process's. None of `cpus` and
        `ram_mib`: what this host has."""
        self._cpus = cpus or os.cpu_count() or 1
        self._ram_mib = ram_mib or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        self._environment = dict(os.environ if environment is None else environment)
        self._launch = launch or start_process
        self._now = now
        #: In the order in which they came.
        self._submissions: dict[str, Submission] = {}
        self._jobs: dict[str, EngineJob] = {}
        self._processes: dict[str, LocalProcess] = {}
        #: Key → when it was told to end, and what its end is called then.
        self._told: dict[str, tuple[float, str]] = {}
        #: Each change by its number: the cursor is the number of the last one.
        self._changes: list[str] = []

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        if key not in self._jobs:
            if words := self.feasible(submission):
                return SubmitAnswer(outcome="refused", words=words)
            self._submissions[key] = submission
            self._set(key, EngineJob(state="pending", id=str(len(self._jobs) + 1)))
        self._turn()
        return SubmitAnswer(outcome="placed", id=self._jobs[key].id)

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        self._turn()
        waiting = [key for key, job in self._jobs.items() if job.state == "pending"]
        return {key: self._shown(key, waiting) for key in keys if key in self._jobs}

    def watch(self, cursor: str = "") -> EngineChanges:
        self._turn()
        changed = dict.fromkeys(self._changes[int(cursor or 0) :])
        return EngineChanges(cursor=str(len(self._changes)), jobs=self.find(changed))

    def cancel(self, key: str) -> bool:
        self._turn()
        job = self._jobs.get(key)
        if job is None or job.state not in ("pending", "running"):
            return False
        if job.state == "pending":
            self._set(key, job, state="ended", end="cancelled", ends_at=self._now())
        else:
            self._tell_end(key, "cancelled")
        return True

    def capacity(self) -> EngineCapacity:
        self._turn()
        free, _ = self._free()
        pending = sum(job.state == "pending" for job in self._jobs.values())
        return EngineCapacity(cpus=self._cpus, free_cpus=free, devices=0, free_devices=0, pending=pending)

    def feasible(self, submission: Submission) -> str:
        wanted = submission.resources
        if named := [*wanted.gres, *wanted.licences, *(["devices"] if wanted.devices else [])]:
            return f"this engine gives out processor cores and memory only, no {named[0]}"
        if wanted.cpus > self._cpus or wanted.ram_mib > self._ram_mib:
            has = f"{self._cpus} cores and {self._ram_mib} MiB"
            return f"it asks for {wanted.cpus} cores and {wanted.ram_mib} MiB, and this host has {has}"
        return ""

    # ── what happens in between ───────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        for key, process in list(self._processes.items()):
            self._look_at(key, process)
        for key in [key for key, job in self._jobs.items() if job.state == "pending"]:
            wanted, (cpus, ram_mib) = self._submissions[key].resources, self._free()
            if wanted.cpus > cpus or wanted.ram_mib > ram_mib:
                return  # who came later waits as well
            self._start(key)

    def _look_at(self, key: str, process: LocalProcess) -> None:
        now, job = self._now(), self._jobs[key]
        if (code := process.poll()) is None:
            told_at, _ = self._told.get(key, (None, ""))
            if told_at is None and job.ends_at is not None and now >= job.ends_at:
                self._tell_end(key, "time")
            elif told_at is not None and now >= told_at + KILL_AFTER_S:
                process.send_signal(signal.SIGKILL)
            return
        del self._processes[key]
        _, end = self._told.pop(key, (0.0, "done" if code == 0 else "killed" if code < 0 else "failed"))
        self._set(key, job, state="ended", end=end, exit_code=max(code, 0), ends_at=now)

    def _start(self, key: str) -> None:
        submission, job, now = self._submissions[key], self._jobs[key], self._now()
        try:
            process = self._launch(submission, self._environment)
        except OSError as e:
            words = f"{submission.argv[0]} cannot be started: {e.strerror or e}"
            return self._set(key, job, state="ended", end="failed", reason=words, ends_at=now)
        self._processes[key] = process
        until = now + submission.time_limit_s
        return self._set(key, job, state="running", host=socket.gethostname(), started_at=now, ends_at=until)

    def _tell_end(self, key: str, end: str) -> None:
        self._told.setdefault(key, (self._now(), end))
        self._processes[key].send_signal(signal.SIGTERM)

    def _free(self) -> tuple[int, int]:
        held = [self._submissions[key].resources for key in self._processes]
        return self._cpus - sum(r.cpus for r in held), self._ram_mib - sum(r.ram_mib for r in held)

    def _shown(self, key: str, waiting: list[str]) -> EngineJob:
        if key not in waiting:
            return self._jobs[key]
        position = waiting.index(key) + 1
        reason = "Resources" if position == 1 else "Priority"
        return msgspec.structs.replace(self._jobs[key], position=position, reason=reason)

    def _set(self, key: str, job: EngineJob, **changes: Any) -> None:
        self._jobs[key] = msgspec.structs.replace(job, **changes)
        self._changes.append(key)
