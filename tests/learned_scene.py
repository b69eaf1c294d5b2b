"""Receipts as workers write them, for what is learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builders import NOW, a_class

from conductor.core.needs.estimates import LearnedNeeds, Policy
from conductor.core.needs.samples import Memory
from conductor.model.receipt import AdmittedNeeds, Receipt, Usage
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs, TaskDecl

CODE, OLD = "1.0+new", "1.0+old"
#: 4 GiB declared, as a task does that nobody measured.
DECLARED = Needs(vram_mib=4096)
DECL = TaskDecl(name="media.cut", lane="gpu", needs=DECLARED, module="workers.tasks.media_cut")


def a_receipt(n: int, /, **changes: Any) -> Receipt:
    """Of a success of the class `of_size` gives: 5 s long, the n-th second of the day. `vram`, `rss`,
    `scratch`: peaks; `size`, `needs`, `kind`, `reserved`: what it was admitted as."""
    use = Usage(
        vram_mib=changes.pop("vram", None),
        rss_mib=changes.pop("rss", None),
        scratch_bytes=changes.pop("scratch", None),
    )
    asked = AdmittedNeeds(
        kind=changes.pop("kind", ""),
        size=changes.pop("size", 0.0),
        duration_s=changes.pop("duration_s", 0.0),
        needs=changes.pop("needs", DECLARED),
        writes_bytes=changes.pop("writes_bytes", 0),
        vram_mib=changes.pop("reserved", None),
    )
    seconds = changes.pop("seconds", 5.0)
    values: dict[str, Any] = {
        "v": 1,
        "job_id": f"job-{n:08d}",
        "attempt": 1,
        "workflow": "w",
        "task": "media.cut",
        "outcome": "ok",
        "started_at": NOW + n,
        "ended_at": NOW + n + seconds,
        "node": "node1",
        "worker": "w1",
        "code_version": CODE,
        "usage": use,
        "asked": asked,
    }
    return Receipt(**{**values, **changes})


def out_of_vram(n: int, /, **changes: Any) -> Receipt:
    return a_receipt(n, outcome="failed", cause="cuda_oom", **changes)


def of_size(size: float = 0.0, /, **changes: Any) -> JobClass:
    """The class that such receipts are of."""
    return a_class("gpu", **{"vram_mib": 4096, "size": size, **changes})


def learned(
    receipts: Sequence[Receipt], *, floor: Needs | None = None, lane: Any = "gpu", **policy: Any
) -> LearnedNeeds:
    memory = Memory()
    for receipt in receipts:
        memory.learn(receipt)
    decl = TaskDecl(name="media.cut", lane=lane, needs=DECLARED, floor=floor or Needs(), module="m")
    return LearnedNeeds(memory, {"media.cut": decl}, Policy(**policy), {"media.cut": CODE})
