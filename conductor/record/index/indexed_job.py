"""One job as the index keeps it, and what a receipt or a word of the operator makes of it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from conductor.model.ledger_entries import JobState
from conductor.model.receipt import Receipt
from conductor.model.subject import file_name

#: Ok, failed and superseded bodies, and those that ask for a verdict, begin so.
OK, FAILED, SUPERSEDED, REVIEW = "o", "f", "s", "r"
_SIGN = {"ok": OK, "failed": FAILED, "superseded": SUPERSEDED, "review": REVIEW}


#: Causes that no receipt has.
_OF_THE_LEDGER = ("cancelled", "dependency_dead")


class LiveState(NamedTuple):
    """Of a job that is neither waiting nor done, by the ledger. `cause`: where no receipt would tell."""

    state: JobState
    cause: str = ""


class IndexedJob(Struct):
    """Fields as the columns of `job`, in their order, but for `g` and `k`, which follow from all else."""

    n: int
    id: str
    file: str = ""
    manifest: int = 0
    priority: int = 0
    device: str = ""
    message: int = 0
    asked_vram: int | None = None
    asked_ram: int | None = None
    used_vram: int | None = None
    used_ram: int | None = None
    dispatched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None
    bodies: str = ""
    #: Attempts up to this one were forgiven by the operator.
    forgiven: int = 0
    #: By the record alone: waiting, done, failed, cancelled, dead, review.
    base: str = "waiting"
    #: Number of the dispatch whose line it has.
    line_order: int = 0
    # ── its group ──
    state: str = "waiting"
    cause: str = ""
    task: str = ""
    workflow: str = ""
    backlog: str = ""
    node: str = ""
    # ── not kept ──
    g: int = 0
    is_new: bool = False

    @property
    def group(self) -> tuple[str, str, str, str, str, str]:
        return (self.state, self.cause, self.task, self.workflow, self.backlog, self.node)

    @property
    def at(self) -> float:
        """When it came to be what it is."""
        if self.state in ("waiting", "cancelled") and self.base in ("waiting", "cancelled"):
            return self.dispatched_at or self.ended_at or 0.0
        return self.ended_at or self.dispatched_at or 0.0

    def take(self, receipt: Receipt, message: int) -> bool:
        """False: it was known, or says nothing of the job as a whole."""
        if receipt.outcome == "verdict":
            return False
        sign = f"{_SIGN[receipt.outcome]}{receipt.body}"
        known = self.bodies.split()
        # The verdict may be read before the line that asked for it.
        is_answered = sign[0] == REVIEW and {OK + sign[1:], FAILED + sign[1:]} & set(known)
        if sign in known or is_answered:
            return False
        before = self._accepted(known)
        known.append(sign)
        self.bodies = " ".join(known)
        accepted = self._accepted(known)
        is_last = receipt.ended_at >= (self.ended_at or 0.0)
        is_fact = receipt.body == accepted if accepted else is_last and receipt.outcome != "superseded"
        if is_fact:
            self._facts(receipt, message)
        if not self.task:
            self.task, self.workflow = receipt.task, receipt.workflow
        if not self.file and receipt.outputs:
            self.file = file_name(receipt.outputs[0].path)
        if accepted:
            self.base = "done"
        elif receipt.outcome == "review" and is_last and receipt.attempt > self.forgiven:
            self.base = "review"
        elif receipt.outcome == "failed" and is_last and receipt.attempt > self.forgiven:
            self.base = "dead" if receipt.is_lasting else "failed"
        elif before:
            self.base = "waiting"  # What was accepted is taken back: it is made again.
        return True

    def _facts(self, receipt: Receipt, message: int) -> None:
        self.message, self.cause = message, receipt.cause or ""
        self.node, self.device = receipt.node, ",".join(receipt.devices)
        self.started_at, self.ended_at, self.seconds = receipt.started_at, receipt.ended_at, receipt.seconds
        self.used_vram, self.used_ram = receipt.usage.vram_mib, receipt.usage.rss_mib
        if receipt.asked is not None:
            self.asked_vram = receipt.asked.vram_mib or receipt.asked.needs.vram_mib or None
            self.asked_ram = receipt.asked.ram_mib or receipt.asked.needs.ram_mib or None

    def _accepted(self, known: list[str]) -> str:
        """The body whose receipt counts; empty: none does."""
        taken_back = {sign[1:] for sign in known if sign[0] == SUPERSEDED}
        oks = [sign[1:] for sign in known if sign[0] == OK and sign[1:] not in taken_back]
        return min(oks, key=lambda body: int(body.partition(".")[0]), default="")

    @property
    def proof(self) -> str:
        known = self.bodies.split()
        if self._accepted(known):
            return "proved"
        return "refuted" if any(sign[0] == SUPERSEDED for sign in known) else "unproved"

    def was_retried(self, attempts: int) -> None:
        self.forgiven = max(self.forgiven, attempts)
        if self.base in ("failed", "dead", "cancelled", "review"):
            self.base = "waiting"

    def was_cancelled(self, cause: str | None) -> None:
        if self.base != "done":
            self.base, self.cause = ("dead", cause) if cause else ("cancelled", "cancelled")

    def settle(self, live: LiveState | None, *, was_asked: bool) -> None:
        """What is shown. `live`: what the ledger says where it is neither waiting nor done; `was_asked`: it
        was asked once."""
        if live is None and self.cause in _OF_THE_LEDGER and self.base == "waiting":
            self.cause = ""
        if self.base == "done":
            self.state = "done"
        elif live is not None:
            self.state, self.cause = live.state, live.cause or self.cause
        elif self.base == "failed":
            # Without the ledger nobody knows whether it is tried again.
            self.state = "waiting" if was_asked else "dead"
        else:
            self.state = self.base


COLUMNS = IndexedJob.__struct_fields__[: IndexedJob.__struct_fields__.index("state")]
GROUP = ("state", "cause", "task", "workflow", "backlog", "node")


def row_of(job: IndexedJob) -> tuple[object, ...]:
    return msgspec.structs.astuple(job)[: len(COLUMNS)]
