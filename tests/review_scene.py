"""A night whose results a person has to see: a real conductor with its node and workers, and a project whose
tasks ask for a verdict.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from builders import a_spec
from msgspec.structs import replace
from node_scene import Command, NodeScene, until

from conductor.adapters.files.receipt_log import FileReceiptLog, receipts_of
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.model.ledger_entries import JobView
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.review import ReviewAsked, ReviewItem
from conductor.model.spec import JobSpec, Output, to_line
from conductor.ports import Ledger

CONFIG = """
task_modules = ["my_tasks"]
node = "here"
[lanes]
gpu.workers = 0
cpu.workers = 1
io.workers = 0
cloud.workers = 0
[timing]
report_every_s = 0.3
lease_s = 4.0
[dashboard]
is_on = false
[canary_by_eye]
"mine.render" = 1
"""


def a_png(width: int = 64, height: int = 36) -> bytes:
    """A red picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xc0\x20\x20" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PNG = a_png()
TASKS = f"""
import json
from workers import task

PNG = {PNG!r}

@task("mine.detect", lane="cpu")
def detect(args, ctx):
    (write,) = ctx.spec.writes
    ctx.output(write.path).write_bytes(PNG)
    ctx.progress(0.5)
    items = [{{"words": words, "picture": write.path, "sure": 0.6, "at_s": 61.5}} for words in args["sees"]]
    ctx.needs_review(items, rejected=args.get("rejected", "dies"))
    return {{"seen": len(items), "attempt": ctx.attempt}}

@task("mine.reel", lane="cpu")
def reel(args, ctx):
    (before,) = ctx.spec.after
    said = [[verdict.item, verdict.is_accepted, verdict.note] for verdict in ctx.verdicts(before)]
    ctx.output(ctx.spec.writes[0].path).write_text(json.dumps(said))

@task("mine.render", lane="cpu")
def render(args, ctx):
    ctx.output(ctx.spec.writes[0].path).write_bytes(PNG)
"""


class ReviewScene:
    """One project with a node and a conductor that run."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """`settings`: made with `CONFIG`."""
        self.settings = settings
        self.ledger = ledger
        self.folder = settings.project
        (self.folder / "my_tasks.py").write_text(TASKS)
        self._commands = [Command(settings, "node"), Command(settings, "conduct")]

    def detect(self, n: int, *sees: str, **args: Any) -> JobSpec:
        args |= {"n": n, "sees": sees}
        return a_spec(n, task="mine.detect", args=args, writes=(Output(path="published:{id}/seen.png"),))

    def reel(self, n: int, after: JobSpec) -> JobSpec:
        writes = (Output(path="published:{id}/reel.json"),)
        return a_spec(n, task="mine.reel", args={"n": n}, after=(after.id,), writes=writes)

    def render(self, n: int) -> JobSpec:
        writes = (Output(path="published:{id}/a.png"),)
        return a_spec(n, task="mine.render", args={"n": n}, writes=writes)

    def dispatch(self, *specs: JobSpec, name: str = "night") -> Path:
        manifest = self.folder / f"{name}.jsonl"
        manifest.write_bytes(b"".join(to_line(spec) + b"\n" for spec in specs))
        catalogue = load_catalogue(self.settings.task_modules, self.folder)
        dispatch(self.ledger, manifest, name, catalogue, self.settings.receipts_dir)
        return manifest

    def until(self, spec: JobSpec, state: str) -> JobView:
        return until(lambda: v if (v := self.view(spec)).state == state else None, 40.0)

    def view(self, spec: JobSpec) -> JobView:
        view = self.ledger.jobs.job(spec.id)
        assert view is not None
        return view

    def receipts(self, spec: JobSpec) -> list[Receipt]:
        return list(receipts_of(self.settings.receipts_dir, spec.id))

    def made(self, spec: JobSpec) -> Path:
        return self.settings.roots["published"].path / spec.writes[0].path.partition(":")[2]

    def lives(self) -> bool:
        return all(command.process.poll() is None for command in self._commands)

    def close(self) -> None:
        for command in self._commands:
            command.close()


def shown(scene: NodeScene, n: int, *items: ReviewItem) -> str:
    """A job whose body was run by hand, and made a picture that it shows; its id."""
    job_id = scene.put(n, 1.0)
    scene.admit(job_id)
    scene.ledger.attempts.start(job_id, 1, "w1", 30.0)
    place = scene.settings.roots["published"].path / f"{job_id}.png"
    place.write_bytes(PNG)
    path, sha256 = f"published:{job_id}.png", hashlib.sha256(PNG).hexdigest()
    review = ReviewAsked(items=tuple(replace(item, picture=path) for item in items))
    now = time.time()
    receipt = Receipt(
        v=1, job_id=job_id, attempt=1, workflow="system_test", task="diagnostics.sleep", outcome="review",
        started_at=now - 2.0, ended_at=now, node="here", worker="w1", review=review,
        outputs=(OutputFact(path=path, bytes=len(PNG), sha256=sha256),),
    )  # fmt: skip
    log = FileReceiptLog(scene.settings.receipts_dir, "w1")
    log.append(receipt)
    log.close()
    assert scene.ledger.attempts.accept(receipt) == "accepted"
    return job_id
