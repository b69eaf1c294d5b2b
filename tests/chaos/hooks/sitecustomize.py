"""Stopping points: put on PYTHONPATH by a test, this has every process of its world stop itself where the
test says.

The test writes `point` into $CHAOS_STOP: «NAME [JOB]». The first process that comes to that point takes the
file, writes its pid into `reached`, and stops (SIGSTOP). What becomes of it then is the test's doing. With
$CHAOS_HANG only the thread that came to the point waits, for the file `go`.
$CHAOS_BREAK names a safeguard that is taken out: a test of the tests. $CHAOS_CLOCK sets the clock off, in
seconds.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = os.environ.get("CHAOS_STOP")
BROKEN = os.environ.get("CHAOS_BREAK", "")
HANGS = bool(os.environ.get("CHAOS_HANG"))
CLOCK = float(os.environ.get("CHAOS_CLOCK", "0"))


def is_armed(name: str) -> bool:
    """Is that the point at which the next process is to stop?"""
    with suppress(OSError):
        return FOLDER is not None and Path(FOLDER, "point").read_text().split()[:1] == [name]
    return False


def point(name: str, job_id: str = "") -> None:
    if FOLDER is None:
        return
    file = Path(FOLDER, "point")
    with suppress(OSError):
        wanted, _, job = file.read_text().partition(" ")
        if wanted.replace("_", " ") != name or (job and job_id and job != job_id):
            return
        taken = Path(FOLDER, f"taken-{os.getpid()}")
        file.rename(taken)
        taken.write_text(str(os.getpid()))
        taken.rename(Path(FOLDER, "reached"))
        if not HANGS:
            os.kill(os.getpid(), signal.SIGSTOP)
        while HANGS and not Path(FOLDER, "go").exists():
            time.sleep(0.01)


def passed(name: str, job_id: str = "") -> None:
    """Nobody stops here: it can be seen that this has come to pass."""
    if FOLDER is not None:
        Path(FOLDER, f"{name} {job_id}".rstrip()).touch()


def around(
    owner: Any, method: str, before: str = "", after: str = "", job: Callable[..., str] = lambda *_: ""
) -> None:
    """Points before and after `owner.method`; `job` names the job from the call's arguments."""
    real = getattr(owner, method)

    def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            point(before, job(*args))
        answer = real(*args, **named)
        if after:
            point(after, job(*args))
        return answer

    setattr(owner, method, wrapped)


# ── the points ────────────────────────────────────────────────────────────────────────────────────────────


def intake(module: ModuleType) -> None:
    real = module.Intake.take

    def take(self: Any, a_turn: Any) -> Any:
        taken = real(self, a_turn)
        for started in taken.turned.started:
            point("taken", started.reservation.job_id)
        return taken

    module.Intake.take = take


def attempts(module: ModuleType) -> None:
    kind = module.RedisAttempts
    real = kind.turn

    def turn(self: Any, turn: Any) -> Any:
        for begun in turn.begun:
            point("before follow", begun.job_id)
        turned = real(self, turn)
        for begun in turn.begun:
            point("followed", begun.job_id)
        for receipt in turn.done:
            point("accepted", receipt.job_id)
        for started in turned.started:
            point("started", started.reservation.job_id)
        return turned

    kind.turn = turn
    really = kind.take

    def take(self: Any, turn: Any, limit_s: float) -> Any:
        if is_armed("moved"):
            return moved(self, turn, limit_s), None
        entry, turned = really(self, turn, limit_s)
        for started in turned.started if turned else ():
            point("started", started.reservation.job_id)
        return entry, turned

    def moved(self: Any, turn: Any, limit_s: float) -> Any:
        """The entry is in the hand, and the turn behind it was refused: the server had forgotten its
        scripts.
        """
        names = (f"rq:queue:{turn.queue}", f"conductor:prefetched:{turn.worker}")
        entry = self._scripts.client.execute_command("BLMOVE", *names, "LEFT", "RIGHT", limit_s)
        if entry is not None:
            point("moved", entry.decode().rpartition("-a")[0])
        return entry

    kind.take = take
    around(kind, "fail", before="before fail", after="failed", job=lambda self, receipt, then: receipt.job_id)


def orphans(module: ModuleType) -> None:
    around(module.RedisOrphans, "rescue", before="before rescue step", job=lambda self, job_id, *_: job_id)


def body(module: ModuleType) -> None:
    real = module.Course.wait

    def wait(self: Any, *limits: Any) -> Any:
        end = real(self, *limits)
        if end is not None:
            point("body ended", end.attempt.job_id)
        return end

    module.Course.wait = wait
    give = module.Course.give

    def given(self: Any, attempt: Any) -> None:
        if attempt.behind is not None:
            point("heard", attempt.job_id)
        give(self, attempt)
        if attempt.behind is not None:
            passed("given", attempt.job_id)
            point("preloaded", attempt.job_id)

    module.Course.give = given
    take_back = module.Course.take_back

    def taken_back(self: Any, action: Any) -> None:
        take_back(self, action)
        passed("taken back")

    module.Course.take_back = taken_back


def publish(module: ModuleType) -> None:
    if BROKEN == "link":
        # Alone it does no harm here: the next attempt sweeps away what a late one would put over its output.
        module.place = replace
        module.clean = lambda *_: None
    publishing = ""
    real = module.put

    def wrapped(settings: Any, spec: Any, body: str, facts: Any) -> Any:
        nonlocal publishing
        publishing = spec.id
        return real(settings, spec, body, facts)

    module.put = wrapped
    around(module, "place", before="before link", after="linked", job=lambda *_: publishing)


def outputs(module: ModuleType) -> None:
    around(module, "_note", before="before note", job=lambda settings, spec, *_: spec.id)


def receipts(module: ModuleType) -> None:
    if BROKEN == "superseded":
        without_take_back(module.FileReceiptLog)
    real = module.FileReceiptLog.extend

    def extend(self: Any, receipts: Any) -> None:
        found = list(receipts)
        for receipt in found:
            point("before receipt", receipt.job_id)
        real(self, found)
        for receipt in found:
            point("receipt", receipt.job_id)

    module.FileReceiptLog.extend = extend


def handover(module: ModuleType) -> None:
    def first(self: Any, epoch: int, admissions: Sequence[Any], *successors: Any) -> str:
        return admissions[0].reservation.job_id if admissions else ""

    around(module.RedisHandover, "admit", before="before admit", after="admitted", job=first)
    around(module.RedisHandover, "record_gates", before="before record")


def rates(module: ModuleType) -> None:
    around(module.LimitsRates, "take", after="rate taken")


def rescue(module: ModuleType) -> None:
    around(module, "rescue", before="before rescue", after="rescued")


def stopped(module: ModuleType) -> None:
    if BROKEN in ("link", "superseded"):
        # A worker loses its lease by standing still alone, and its node kills who stands still for a lease:
        # another safeguard, which may come first.
        module.StoppedProcesses.over = lambda *_: {}


def steps(module: ModuleType) -> None:
    if BROKEN == "fence":
        module.source = without_fence(module.source)
    if BROKEN == "history":
        real = module._text
        module._text = lambda name: (
            real(name).replace(SETTLED, "settled_now = true").replace(WITNESS, "do return end")
        )


# ── safeguards taken out ──────────────────────────────────────────────────────────────────────────────────


def replace(name: str, source: int, folder: int, *_: str) -> bool:
    os.replace(name, name, src_dir_fd=source, dst_dir_fd=folder)
    return True


def without_take_back(log: Any) -> None:
    real = log.append
    log.append = lambda self, receipt: None if receipt.outcome == "superseded" else real(self, receipt)


#: Where the ledger asks whether it may have forgotten something, and where somebody tells it so.
SETTLED = "settled_now = known and known == history() or not known and call('EXISTS', P .. 'created_ms') == 0"
WITNESS = "if seen <= step() then return end"
#: A second safeguard stands before the fence: what is rescued is taken out of the hand as well.
DROP_NOTHING = "local function drop_prefetched(entry)\n  if entry then return end"
FENCE = "if held.attempt ~= attempt or not (is_again or job.letter == 'a') then"


def without_fence(real: Callable[[str], str]) -> Callable[[str], str]:
    def source(name: str) -> str:
        text = real(name)
        assert name != "start" or FENCE in text
        assert name != "rescue" or "local function drop_prefetched(entry)" in text
        return text.replace(FENCE, "if false then").replace(
            "local function drop_prefetched(entry)", DROP_NOTHING
        )

    return source


# ── on import ─────────────────────────────────────────────────────────────────────────────────────────────

HOOKS: dict[str, Callable[[ModuleType], None]] = {
    "workers.parent.intake": intake,
    "conductor.adapters.redis.attempts": attempts,
    "conductor.adapters.redis.orphans": orphans,
    "conductor.adapters.host.stopped_processes": stopped,
    "workers.parent.execution": body,
    "workers.attempt.publish": publish,
    "workers.attempt.outputs": outputs,
    "conductor.adapters.files.receipt_log": receipts,
    "conductor.adapters.redis.handover": handover,
    "conductor.adapters.rates.rates": rates,
    "conductor.node.orphan_rescue": rescue,
    "conductor.adapters.redis.step_text": steps,
}


class Finder:
    """Finds nothing itself: lets the others find, and puts the points in when the module was run."""

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in HOOKS or name in self._asking:
            return None
        self._asking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.discard(name)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            HOOKS[name](module)

        spec.loader.exec_module = exec_module  # pyright: ignore[reportAttributeAccessIssue]
        return spec


if CLOCK:
    _now = time.time
    time.time = lambda: _now() + CLOCK
if FOLDER is not None or BROKEN:
    sys.meta_path.insert(0, Finder())  # pyright: ignore[reportArgumentType]
