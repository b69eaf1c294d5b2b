"""A node as its users run it: `conductor node` in a process of its own, on a real Redis, with real
workers.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
from builders import a_spec
from cli_tools import Process, started
from patience import rest

from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.decision import Admission
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry, JobView
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import LANES, JobSpec, to_line
from conductor.ports import Ledger

T = TypeVar("T")

#: A body that says that it runs and then waits for a file: the ledger's «running» is said a moment before the
#: body begins, and what has not begun goes back at no cost.
TASKS = """
import os, time
from workers import task

@task("scene.until", lane="cpu", timeout_s=120.0)
def until(args, ctx):
    open(args["begun"], "w").write(str(os.getpid()))
    while not os.path.exists(args["until"]) and not ctx.should_stop():
        time.sleep(0.01)
    return {}
"""


def scene_config(timing: str = "", more: str = "", **lanes: int) -> str:
    """Quick and small: few workers, short intervals. Of a lane that is not named there is no worker.
    `gpu_depth=4`: of the queue."""
    asked = {f"{lane}_workers": 0 for lane in LANES} | lanes
    told = "".join(f"{name.replace('_', '.')} = {value}\n" for name, value in asked.items())
    return (
        f'\nnode = "here"\n[lanes]\n{told}[timing]\nreport_every_s = 0.5\nreport_ttl_s = 3.0\n{timing}'
        f"[web]\nis_on = false\n[dashboard]\nport = 0\n{more}"
    )


CONFIG = scene_config(gpu_workers=2, cpu_workers=1)
#: A test that looks at worker processes has them before there is a job.
ALL_STARTED = {"CONDUCTOR_WORKERS__IDLE_S": "0"}


def configure(settings: Settings, text: str = CONFIG) -> Settings:
    """Add to the project's conductor.toml, before its first section; the settings anew. Where it names no
    tasks of its own it gets `TASKS`."""
    file = settings.project / CONFIG_NAME
    top, _, rest = text.partition("[lanes]")
    if "task_modules" not in top + file.read_text():
        top = with_tasks(settings.project) + top
    file.write_text(top + file.read_text() + "[lanes]" + rest)
    return load(settings.project)


def with_tasks(project: Path) -> str:
    """`TASKS` as a module of the project; the line of conductor.toml that names it."""
    name = f"scene_tasks_{os.urandom(4).hex()}"
    (project / f"{name}.py").write_text(TASKS, encoding="utf-8")
    return f'task_modules = ["{name}"]\n'


def until(what: Callable[[], T], limit_s: float = 40.0, every_s: float = 0.01) -> T:
    """The first true answer. Fails after the limit."""
    began = time.monotonic()
    while not (answer := what()):
        assert time.monotonic() < began + limit_s, "it did not come to pass in time"
        rest(began, every_s)
    return answer


class Command:
    """`conductor WORDS` in the project, its output in a file."""

    def __init__(self, settings: Settings, *words: str, env: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self.log = settings.project / f"{'-'.join(words).replace('/', '_')}-{time.monotonic_ns()}.out"
        with self.log.open("wb") as sink:
            environment = {**os.environ, "NO_COLOR": "1", **(env or {})}
            self.process: Process = started(words, settings.project, environment, sink.fileno())

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

    def worker(self) -> psutil.Process:
        """The only one; who is just starting a child looks like two until that one is another program."""
        return until(lambda: found[0] if len(found := self.workers()) == 1 else None)

    def close(self) -> None:
        """However the test ended, nothing of it is left."""
        left = self.below()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in left:
            if process.is_running():
                process.kill()
        own = self._settings.valkey
        if own.is_used and valkey.is_running(own):
            # Killed, it left the server to whoever comes next, and nobody may: the last one out ends it.
            with valkey.session(own):
                pass


def until_gone(processes: Sequence[psutil.Process], limit_s: float = 40.0) -> None:
    """An orphan that is dead and not yet buried by init is gone."""

    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    until(lambda: not any(map(lives, processes)), limit_s)


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing where it has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_worker(process: psutil.Process) -> bool:
    words = words_of(process)
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
        command = self.run("node", *words, env={**ALL_STARTED, **(env or {})})
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
        self.put_together(spec)
        return spec.id

    def put_together(self, *specs: JobSpec) -> None:
        """In one step, so that one tick sees them all."""
        entries = (
            Entry(job_id=s.id, line=to_line(s), job_class=class_of(s, self.catalogue[s.task], "night"))
            for s in specs
        )
        self.ledger.intake.put("night", list(entries))

    def waits(self, n: int, **more: Any) -> str:
        """A job in the backlog whose body waits until `release(n)`; its id."""
        return self.put(n, 0.0, **self._waiting(n), **more)

    def waiting_spec(self, n: int, **more: Any) -> JobSpec:
        """The same as a line for a manifest."""
        return a_spec(n, **self._waiting(n), **more)

    def _waiting(self, n: int) -> dict[str, Any]:
        args = {"begun": str(self._file("begun", n)), "until": str(self._file("until", n))}
        return {"task": "scene.until", "args": args}

    def until_begun(self, n: int) -> int:
        """The body of that one runs; the pid of its process."""
        return int(until(lambda: file.read_text() if (file := self._file("begun", n)).exists() else ""))

    def begin(self, n: int, queue: str = "cpu-here", **more: Any) -> str:
        """A job like that, handed over to a queue, from when its body runs on."""
        job_id = self.waits(n, **more)
        self.admit(job_id, queue)
        self.until_begun(n)
        return job_id

    def release(self, *numbers: int) -> None:
        for n in numbers:
            self._file("until", n).touch()

    def _file(self, name: str, n: int) -> Path:
        return self.settings.project / f"{name}-{n}"

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

    def until_state(self, job_id: str, state: str, limit_s: float = 40.0) -> JobView:
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
