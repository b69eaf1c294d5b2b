"""A project with tasks of its own and real workers on it: what the tests of the worker play their scenes
with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_tools import REPOSITORY, Process, started_worker
from patience import rest

from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import Catalogue, load_catalogue
from conductor.model.decision import Admission
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry, JobState
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, resolve, to_line
from conductor.ports import Ledger

NODE = "node1"
QUEUE = "cpu-node1"
#: Patience, and no figure: on a busy machine a worker that starts takes many seconds.
LIMIT_S = 60.0

TASKS = '''
import os, signal, subprocess, sys, time
from workers import task
from workers.task_api.run_program import run_program

VERSION = 1

@task("mine.write", lane="cpu", timeout_s=60.0)
def write(args, ctx):
    for output in ctx.spec.writes:
        ctx.output(output.path).write_text(args.get("text", "hello"))
    (ctx.scratch / "junk").write_bytes(b"x" * 100_000)
    return {"version": VERSION, "pid": os.getpid()}

@task("mine.silent", lane="cpu")
def silent(args, ctx):
    return {}

@task("mine.die", lane="cpu")
def die(args, ctx):
    print("my last words", file=sys.stderr, flush=True)
    if "exec" in args:
        os.execvp(args["exec"][0], args["exec"])
    if "signal" in args:
        os.kill(os.getpid(), args["signal"])
    os._exit(7)

@task("mine.raise", lane="cpu")
def raises(args, ctx):
    raise ValueError("the ring is broken \\udcff")

@task("mine.warm", lane="cpu")
def warm(args, ctx):
    made = ctx.warm("model", lambda: {"made_by": ctx.job_id})
    return {"made_by": made["made_by"], "pid": os.getpid()}

@task("mine.hang", lane="cpu", timeout_s=0.3)
def hang(args, ctx):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@task("mine.stall", lane="cpu", timeout_s=60.0, stall_s=0.3)
def stall(args, ctx):
    time.sleep(60)

@task("mine.ask", lane="cpu", timeout_s=60.0)
def ask(args, ctx):
    """Calls an API, after what takes it long."""
    import json, urllib.request
    from conductor.model.calls import Call
    time.sleep(args["late_s"])
    began = time.monotonic()
    question = json.dumps({"messages": [{"content": json.dumps([{"id": "a", "text": "x"}])}]}).encode()
    urllib.request.urlopen(args["url"] + "/chat/completions", question).read()
    if args["is_told"]:
        ctx.called(Call(key="api", outcome="ok", took_s=time.monotonic() - began))
    return {}

@task("mine.wait", lane="cpu", timeout_s=120.0)
def wait(args, ctx):
    """Says that it runs, then waits for a file, deaf to everything else."""
    open(args["begun"], "w").write(str(os.getpid()))
    for output in ctx.spec.writes:
        ctx.output(output.path).write_text(f"attempt {ctx.attempt}")
    if "program" in args:
        run_program(args["program"], ctx)
    while not os.path.exists(args["until"]):
        time.sleep(0.01)
    return {}

@task("mine.count", lane="cpu", timeout_s=60.0, retry={"worker_lost": 3})
def count(args, ctx):
    """Counts, and is killed once in the middle."""
    kept = ctx.checkpoint()
    first = int(kept.load() or b"0")
    for n in range(first, 10):
        if n == 6 and ctx.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        kept.save(str(n + 1).encode())
    return {"from": first}
'''


@dataclass
class WorkerScene:
    settings: Settings
    ledger: Ledger
    catalogue: Catalogue
    epoch: int
    workers: list[Process] = field(default_factory=list[Process])

    @property
    def folder(self) -> Path:
        return self.settings.project

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, spec: JobSpec, attempt: int = 1) -> JobSpec:
        """Dispatch and hand over to the one queue."""
        decl = self.catalogue[spec.task]
        job_class = class_of(spec, decl, "night")
        self.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        self.admit(spec, attempt)
        return spec

    def admit(self, spec: JobSpec, attempt: int = 1) -> None:
        decl = self.catalogue[spec.task]
        reservation = Reservation(
            job_id=spec.id,
            attempt=attempt,
            class_id=class_of(spec, decl, "night").id,
            task=spec.task,
            node=NODE,
            queue=QUEUE,
            lane=resolve(spec, decl).lane,
            ram_mib=spec.needs.ram_mib if spec.needs else 0,
        )
        answers = self.ledger.handover.admit(
            self.epoch, [Admission(reservation=reservation, backlog="night")]
        )
        assert answers == (None,)

    def settle(self) -> None:
        """What the leader does when Redis was started again: once its workers have said what they hold."""

        def is_settled() -> bool:
            self.epoch = self.ledger.leadership.lead("test", 3600) or 0
            return self.ledger.leadership.settle(self.epoch, 30.0, 0) is not None

        wait_until(is_settled, "the workers have said what they hold", self.story)

    def state(self, spec: JobSpec) -> JobState:
        view = self.ledger.jobs.job(spec.id)
        assert view is not None
        return view.state

    def receipts(self, spec: JobSpec | None = None) -> list[Receipt]:
        every = read_receipts(self.settings.receipts_dir)
        return [receipt for receipt in every if spec is None or receipt.job_id == spec.id]

    def wait_state(self, spec: JobSpec, *states: JobState) -> list[Receipt]:
        wait_until(
            lambda: self.state(spec) in states, f"{spec.task} is {'/'.join(states)}", lambda: self.story()
        )
        return self.receipts(spec)

    def story(self) -> str:
        logs = sorted(log for log in self.settings.logs_dir.glob("*") if log.is_file())
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────

    def worker(self, **env: str) -> Process:
        words = ["--queue", QUEUE, "--lane", "cpu", "--node", NODE]
        environment = {
            **os.environ,
            "CONDUCTOR_PROJECT": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            **env,
        }
        process = started_worker(words, self.folder, environment)
        self.workers.append(process)
        return process

    def staged(self) -> list[Path]:
        return [path for root in self.settings.roots.values() for path in root.path.glob(".tmp/*")]

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                with suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()


def a_scene(project: Settings, ledger: Ledger, more: str = "", tasks: str = "") -> WorkerScene:
    """`more`: for conductor.toml; `tasks`: for the module of tasks."""
    config = project.project / CONFIG_NAME
    text = config.read_text(encoding="utf-8")
    if "task_modules" not in text:
        name = f"my_tasks_{os.urandom(4).hex()}"
        (project.project / f"{name}.py").write_text(TASKS + tasks, encoding="utf-8")
        config.write_text(f'task_modules = ["{name}"]\n{text}\n{more}', encoding="utf-8")
    settings = load(project.project)
    epoch = ledger.leadership.lead("test", 3600)
    assert epoch is not None
    return WorkerScene(settings, ledger, load_catalogue(settings.task_modules, settings.project), epoch)


def wait_until(
    is_so: Callable[[], bool], what: str, story: Callable[[], str] = str, limit_s: float = LIMIT_S
) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + limit_s, f"not within {limit_s:g} s: {what}\n{story()}"
        rest(began)


def signal_twice(worker: Process) -> None:
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        # After the first it works on. One that it hears within 0.5 s of that it takes for the same, and it
        # may hear late.
        worker.wait(1.0)
    worker.send_signal(signal.SIGTERM)


def wait_file(path: Path) -> str:
    wait_until(lambda: path.exists() and path.read_text() != "", f"{path.name} is written")
    return path.read_text()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False
