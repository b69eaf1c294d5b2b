"""A node as its users run it: `conductor node` in a process of its own, on a real Redis, with real
workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
from builders import a_spec

from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.decision import Admission
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry, JobView
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import to_line
from conductor.ports import Ledger

T = TypeVar("T")

#: Quick and small: few workers, short intervals.
CONFIG = """
node = "here"
[lanes]
gpu.workers = 2
cpu.workers = 1
io.workers = 0
cloud.workers = 0
[timing]
report_every_s = 0.5
report_ttl_s = 3.0
[web]
is_on = false
[dashboard]
port = 0
"""


def configure(settings: Settings, text: str = CONFIG) -> Settings:
    """Add to the project's conductor.toml, before its first section; the settings anew."""
    file = settings.project / CONFIG_NAME
    top, _, rest = text.partition("[lanes]")
    file.write_text(top + file.read_text() + "[lanes]" + rest)
    return load(settings.project)


def until(what: Callable[[], T], limit_s: float = 20.0, every_s: float = 0.01) -> T:
    """The first true answer. Fails after the limit."""
    deadline = time.monotonic() + limit_s
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(every_s)
    return answer


class Command:
    """`conductor WORDS` in the project, its output in a file."""

    def __init__(self, settings: Settings, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.log = settings.project / f"{'-'.join(words).replace('/', '_')}-{time.monotonic_ns()}.out"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "conductor", *words],
                cwd=settings.project,
                env={**os.environ, "NO_COLOR": "1", **(env or {})},
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, limit_s: float = 30.0) -> int:
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running, and said:\n{self.said}") from None

    def below(self) -> list[psutil.Process]:
        """All processes below it, workers and their children included."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        return [process for process in self.below() if is_worker(process)]

    def close(self) -> None:
        """However the test ended, nothing of it is left."""
        left = self.below()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in left:
            if process.is_running():
                process.kill()


def until_gone(processes: Sequence[psutil.Process], limit_s: float = 5.0) -> None:
    """An orphan that is dead and not yet buried by init is gone."""

    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    until(lambda: not any(map(lives, processes)), limit_s)


def is_worker(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "workers" in words and "--queue" in words and "die_with_parent.py" not in " ".join(words)


class NodeScene:
    """The ledger's side: what a conductor would do, by hand."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.catalogue = load_catalogue(settings.task_modules, settings.project)
        self._commands: list[Command] = []

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> Command:
        command = Command(self.settings, *words, env=env)
        self._commands.append(command)
        return command

    def node(self, env: Mapping[str, str] | None = None, *words: str) -> Command:
        """A node that reports, with its workers started."""
        command = self.run("node", *words, env=env)
        until(lambda: (self.report() and command.workers()) or self._must_live(command))
        return command

    def _must_live(self, command: Command) -> None:
        assert command.process.poll() is None, command.said

    def report(self, node: str = "here") -> NodeReport | None:
        return next((report for report in self.ledger.reports.live() if report.node == node), None)

    def sleep(self, n: int, seconds: float, queue: str = "cpu-here", **more: Any) -> str:
        """A `diagnostics.sleep` job, handed over to a queue; its id."""
        job_id = self.put(n, seconds, **more)
        self.admit(job_id, queue)
        return job_id

    def put(self, n: int, seconds: float, **more: Any) -> str:
        """A `diagnostics.sleep` job in the backlog, or one of another `task` with its `args`; its id."""
        spec = a_spec(n, **{"task": "diagnostics.sleep", "args": {"seconds": seconds, "n": n}, **more})
        job_class = class_of(spec, self.catalogue[spec.task], "night")
        self.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        return spec.id

    def admit(self, job_id: str, queue: str = "cpu-here") -> None:
        job = self.job(job_id)
        epoch = self.ledger.leadership.lead("test", 60.0)
        assert epoch is not None
        reservation = Reservation(
            job_id=job_id,
            attempt=job.attempts + 1,
            class_id=job.class_id,
            task="diagnostics.sleep",
            node="here",
            queue=queue,
            lane="gpu" if queue.startswith("gpu") else "cpu",
        )
        assert self.ledger.handover.admit(epoch, [Admission(reservation=reservation, backlog="night")]) == (
            None,
        )

    def job(self, job_id: str) -> JobView:
        job = self.ledger.jobs.job(job_id)
        assert job is not None
        return job

    def until_state(self, job_id: str, state: str, limit_s: float = 20.0) -> JobView:
        return until(lambda: job if (job := self.job(job_id)).state == state else None, limit_s)

    def close(self) -> None:
        for command in self._commands:
            command.close()


def project_processes(project: Path) -> list[psutil.Process]:
    """Every process that works for a project, Valkey and dashboard included."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            ours = str(project) in " ".join(process.cmdline()) or process.environ().get(
                "CONDUCTOR_PROJECT"
            ) == str(project)
        except psutil.Error:
            continue
        if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
